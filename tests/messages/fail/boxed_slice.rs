//! One missing derive is one error, in a boxed slice as well.

use netshm::ShmData;

struct Point(u32);

#[derive(ShmData)]
struct Line {
    first: Point,
    others: Box<[Point]>,
}

fn main() {}

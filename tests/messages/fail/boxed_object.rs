//! Objects behind a `dyn` cannot be stored.

use netshm::ShmData;

trait Shape {}

#[derive(ShmData)]
struct Picture {
    shapes: Vec<Box<dyn Shape>>,
}

fn main() {}

use netshm::ShmData;

struct Position {
    line: u32,
}

#[derive(ShmData)]
struct Span {
    start: Position,
    end: Position,
    marks: Vec<Position>,
}

fn main() {}

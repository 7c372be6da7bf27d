use netshm::ShmData;

#[derive(ShmData)]
struct Node {
    value: u64,
    next: Option<Node>,
}

fn main() {}

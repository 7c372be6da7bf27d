use netshm::ShmData;

#[derive(ShmData)]
struct Node {
    next: *const Node,
}

fn main() {}

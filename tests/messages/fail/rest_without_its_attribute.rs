use netshm::{Rest, ShmData};

#[derive(ShmData)]
#[shm(extensible)]
struct Row {
    value: u64,
    rest: Rest,
}

fn main() {}

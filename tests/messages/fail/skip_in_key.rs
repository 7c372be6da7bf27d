use netshm::{ShmData, ShmKey};

#[derive(ShmData, ShmKey, PartialEq, Eq)]
struct Id {
    id: u64,
    #[shm(skip)]
    cached: u64,
}

fn main() {}

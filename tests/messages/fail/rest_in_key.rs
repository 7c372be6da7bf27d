use netshm::{Rest, ShmData, ShmKey};

#[derive(ShmData, ShmKey, PartialEq, Eq)]
#[shm(extensible)]
struct Address {
    street: String,
    #[shm(rest)]
    rest: Rest,
}

fn main() {}

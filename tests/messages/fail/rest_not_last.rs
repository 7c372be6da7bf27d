use netshm::{Rest, ShmData};

#[derive(ShmData)]
#[shm(extensible)]
struct Address {
    #[shm(rest)]
    rest: Rest,
    street: String,
}

fn main() {}

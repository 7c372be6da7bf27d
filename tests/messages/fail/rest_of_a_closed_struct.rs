use netshm::{Rest, ShmData};

#[derive(ShmData)]
struct Address {
    street: String,
    #[shm(rest)]
    rest: Rest,
}

fn main() {}

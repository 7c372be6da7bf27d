use netshm::{Rest, ShmData};

#[derive(ShmData)]
enum State {
    Idle,
    #[shm(other)]
    Other(Rest),
}

fn main() {}

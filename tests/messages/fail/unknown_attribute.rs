use netshm::ShmData;

#[derive(ShmData)]
struct Session {
    #[shm(cached)]
    user: u64,
}

fn main() {}

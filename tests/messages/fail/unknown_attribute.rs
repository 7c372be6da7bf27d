use netshm::ShmData;

#[derive(ShmData)]
struct Session {
    #[shm(skipped)]
    user: u64,
}

fn main() {}

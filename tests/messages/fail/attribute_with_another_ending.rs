use netshm::ShmData;

#[derive(ShmData)]
struct User {
    id: u64,
    #[shm(skipped)]
    cached: u64,
}

fn main() {}

use netshm::ShmData;

#[derive(ShmData)]
struct User {
    #[shm]
    id: u64,
}

fn main() {}

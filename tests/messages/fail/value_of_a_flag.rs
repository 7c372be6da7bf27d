use netshm::ShmData;

#[derive(ShmData)]
struct User {
    #[shm(skip = true)]
    id: u64,
}

fn main() {}

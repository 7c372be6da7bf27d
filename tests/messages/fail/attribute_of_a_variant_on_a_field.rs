use netshm::ShmData;

#[derive(ShmData)]
struct User {
    #[shm(index = 3)]
    id: u64,
}

fn main() {}

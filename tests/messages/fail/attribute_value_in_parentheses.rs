use netshm::ShmData;

#[derive(ShmData)]
struct User {
    #[shm(rename("uid"))]
    id: u64,
}

fn main() {}

use netshm::ShmData;

#[derive(ShmData)]
struct User {
    #[shm(renmae = "uid")]
    id: u64,
}

fn main() {}

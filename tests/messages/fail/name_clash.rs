use netshm::ShmData;

#[derive(ShmData)]
struct User {
    id: u64,
    #[shm(rename = "id")]
    number: u64,
}

fn main() {}

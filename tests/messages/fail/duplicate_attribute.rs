use netshm::ShmData;

#[derive(ShmData)]
struct Session {
    #[shm(rename = "uid", rename = "id")]
    user: u64,
}

fn main() {}

use netshm::ShmData;

#[derive(ShmData)]
struct Session {
    #[shm(default)]
    hits: u32,
    name: String,
}

fn main() {}

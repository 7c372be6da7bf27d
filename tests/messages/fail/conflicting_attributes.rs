use netshm::ShmData;

#[derive(ShmData)]
struct Session {
    #[shm(as = u64, with = seconds)]
    started: std::time::Duration,
    #[shm(skip, rename = "c")]
    cache: u64,
}

fn main() {}

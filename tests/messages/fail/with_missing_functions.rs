use netshm::ShmData;

mod seconds {}

#[derive(ShmData)]
struct Session {
    #[shm(with = seconds)]
    started: std::time::Duration,
}

fn main() {}

use netshm::ShmData;

#[derive(ShmData)]
struct Session {
    #[shm(with = no_such_module)]
    started: std::time::Duration,
}

fn main() {}

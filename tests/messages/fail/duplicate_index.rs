use netshm::ShmData;

#[derive(ShmData)]
enum State {
    Idle,
    Running,
    #[shm(index = 1)]
    Failed,
}

fn main() {}

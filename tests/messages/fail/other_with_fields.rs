use netshm::ShmData;

#[derive(ShmData)]
#[shm(extensible)]
enum State {
    Idle,
    #[shm(other)]
    Other,
}

fn main() {}

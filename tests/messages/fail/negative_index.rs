use netshm::ShmData;

#[derive(ShmData)]
enum State {
    #[shm(index = -1)]
    Unknown,
    Known,
}

fn main() {}

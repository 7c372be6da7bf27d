use netshm::ShmData;

#[derive(ShmData)]
#[shm(extensible)]
struct Address {
    street: String,
    #[shm(rest)]
    rest: Vec<u64>,
}

fn main() {}

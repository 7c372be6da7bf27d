use netshm::ShmData;

#[derive(ShmData)]
struct Row {
    a: u64,
    #[shm(default: 3)]
    b: u64,
    #[shm(skip; default)]
    c: u64,
}

fn main() {}

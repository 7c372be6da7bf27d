use netshm::ShmData;

#[derive(ShmData)]
#[shm(transparent)]
struct Pair(u64, u64);

fn main() {}

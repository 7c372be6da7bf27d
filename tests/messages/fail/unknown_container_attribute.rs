use netshm::ShmData;

#[derive(ShmData)]
#[shm(transparant)]
struct Id(u64);

fn main() {}

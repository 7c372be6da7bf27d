use netshm::ShmData;

#[derive(ShmData)]
#[shm(extensible)]
struct Meters(f64);

fn main() {}

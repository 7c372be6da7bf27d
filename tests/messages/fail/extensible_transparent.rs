use netshm::ShmData;

#[derive(ShmData)]
#[shm(transparent, extensible)]
struct Meters {
    meters: f64,
}

fn main() {}

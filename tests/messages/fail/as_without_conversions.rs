use netshm::ShmData;

struct Celsius(f64);

#[derive(ShmData)]
struct Reading {
    #[shm(as = f64)]
    outside: Celsius,
}

fn main() {}

use netshm::ShmData;

#[derive(ShmData)]
struct Job(fn(u64) -> u64);

fn main() {}

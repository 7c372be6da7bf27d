use netshm::ShmKey;

#[derive(ShmKey, PartialEq, Eq)]
struct Id(u64);

fn main() {}

use netshm::ShmKey;

#[derive(ShmKey)]
struct Id(u64);

fn main() {}

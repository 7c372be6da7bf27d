use netshm::{ShmData, ShmKey};

#[derive(ShmData, ShmKey)]
struct Id(u64);

fn main() {}

use std::sync::atomic::AtomicU64;

use netshm::ShmData;

#[derive(ShmData)]
struct Counter {
    hits: AtomicU64,
}

fn main() {}

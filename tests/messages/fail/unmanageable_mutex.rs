use std::sync::Mutex;

use netshm::ShmData;

#[derive(ShmData)]
enum Shared {
    Counter(Mutex<u64>),
}

fn main() {}

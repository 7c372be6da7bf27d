//! A default is written after an equals sign.

use netshm::ShmData;

#[derive(ShmData)]
struct Limits {
    rows: u32,
    #[shm(default(5))]
    columns: u32,
}

fn main() {}

//! No index comes after the last one.

use netshm::ShmData;

#[derive(ShmData)]
enum Event {
    #[shm(index = 0xffff_ffff_ffff_ffff)]
    Other,
    New,
}

fn main() {}

//! A field is stored as a type that has a size.

use netshm::ShmData;

#[derive(ShmData)]
struct Person {
    #[shm(as = str)]
    name: String,
}

fn main() {}

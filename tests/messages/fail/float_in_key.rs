use netshm::{ShmData, ShmKey};

#[derive(ShmData, ShmKey, PartialEq)]
struct Place {
    name: String,
    latitude: f64,
}

impl Eq for Place {}

fn main() {}

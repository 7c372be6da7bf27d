use netshm::{ShmData, ShmKey};

#[derive(ShmData, PartialEq, Eq)]
struct Country(String);

#[derive(ShmData, ShmKey, PartialEq, Eq)]
struct City {
    country: Country,
    name: String,
}

fn main() {}

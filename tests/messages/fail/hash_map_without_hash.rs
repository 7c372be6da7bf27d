//! The keys of maps and sets in a value are what their types ask for.

use std::collections::{BTreeSet, HashMap};

use netshm::ShmData;

#[derive(ShmData)]
struct Place(u32);

#[derive(ShmData)]
struct Visits {
    by_place: HashMap<Place, u64>,
}

#[derive(ShmData)]
struct Seen {
    places: BTreeSet<Place>,
}

fn main() {}

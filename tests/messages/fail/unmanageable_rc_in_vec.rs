use std::collections::BTreeMap;
use std::sync::Arc;

use netshm::ShmData;

#[derive(ShmData)]
struct Names {
    all: BTreeMap<u64, Vec<Arc<str>>>,
}

fn main() {}

use std::collections::HashMap;

use netshm::{ShmData, ShmKey};

#[derive(ShmData, ShmKey, PartialEq, Eq)]
struct Labels {
    labels: HashMap<String, String>,
}

fn main() {}

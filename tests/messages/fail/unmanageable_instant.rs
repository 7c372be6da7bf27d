use std::time::Instant;

use netshm::ShmData;

#[derive(ShmData)]
struct Session {
    begun: Option<Instant>,
}

fn main() {}

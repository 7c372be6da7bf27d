//! What `#[shm(shared)]` points to has a manager.

use std::sync::{Arc, Mutex};

use netshm::ShmData;

#[derive(ShmData)]
struct Job {
    #[shm(shared)]
    state: Arc<Mutex<u32>>,
}

fn main() {}

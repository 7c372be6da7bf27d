//! Names of objects are texts or a `ShmName`.

use std::path::Path;

use netshm::{Result, Shm};

fn open(path: &Path) -> Result<Shm> {
    Shm::open(path)
}

fn main() {}

//! A schema has objects.

use netshm::ShmSchema;

#[derive(ShmSchema)]
#[shm(prefix = "/app")]
struct App {}

fn main() {}

use netshm::{Array, HashTable, Locking, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/app", locking = Locking::Futex, mode = 400)]
struct State {
    rows: HashTable<String, u64>,
    totals: Array<u64>,
}

fn main() {}

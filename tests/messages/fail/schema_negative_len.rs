use netshm::{Array, HashTable, Locking, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/app", locking = Locking::Futex)]
struct State {
    rows: HashTable<String, u64>,
    #[shm(len = -16)]
    totals: Array<u64>,
}

fn main() {}

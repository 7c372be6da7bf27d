use netshm::{Array, HashTable, Locking, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/app", locking = Locking::Futex)]
struct State {
    #[shm(stripes = 1 << 20)]
    rows: HashTable<String, u64>,
    totals: Array<u64>,
}

fn main() {}

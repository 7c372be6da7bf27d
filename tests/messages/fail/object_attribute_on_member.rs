use netshm::{Array, HashTable, Locking, ShmSchema};

#[derive(ShmSchema)]
#[shm(object = "/app", prefix = "/other")]
struct App {
    #[shm(mode = 0o600, locking = Locking::Futex, slots = 8)]
    rows: HashTable<u64, u64>,
    #[shm(max_size = 1 << 20, pagesize = 512, name = "a/b")]
    counters: Array<u64>,
}

#[derive(ShmSchema)]
#[shm(prefix = "/app", slots = 8)]
struct Several {
    rows: HashTable<u64, u64>,
}

fn main() {}

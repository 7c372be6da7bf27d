use netshm::{HashTable, Locking, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/app", locking = Locking::Futex, mode = 0x180)]
struct State {
    rows: HashTable<String, u64>,
}

fn main() {}

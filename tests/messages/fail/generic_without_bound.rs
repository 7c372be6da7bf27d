use netshm::{HashTable, Locking, Result, Shm, ShmData};

#[derive(ShmData)]
struct Versioned<T> {
    version: u64,
    value: T,
}

fn open<T>(shm: Shm) -> Result<HashTable<u64, Versioned<T>>> {
    HashTable::manage(shm, Locking::Futex)
}

fn main() {
    let _ = open::<u8>;
}

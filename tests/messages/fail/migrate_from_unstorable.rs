use netshm::{Array, HashTable, Result, Shm};

struct Old {
    cents: u32,
}

fn table(shm: Shm) -> Result<HashTable<u64, u64>> {
    HashTable::options()
        .migrate_from::<u64, Old>(|old| old.cents.into())
        .progress(|done, all| println!("{done} of {all}"))
        .manage(shm)
}

fn array(shm: Shm) -> Result<Array<u64>> {
    Array::options().migrate_from(|old: Old| old.cents.into()).manage(shm, 0)
}

fn main() {
    let _ = (table, array);
}

use netshm::{HashTable, Locking, Shm, ShmData};

#[derive(ShmData, PartialEq, Eq)]
struct Id(u64);

fn main() -> netshm::Result<()> {
    let shm = Shm::open("posix:/ids")?;
    let _tab: HashTable<Id, String> = HashTable::manage(shm, Locking::Futex)?;
    Ok(())
}

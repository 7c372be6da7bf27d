use netshm::{Array, HashTable, Locking, Shm, group};

struct Account {
    cents: u64,
}

/// One mistake, and many operations.
fn table() -> netshm::Result<()> {
    let tab: HashTable<u64, Account> = HashTable::manage(Shm::open("posix:/accounts")?, Locking::Futex)?;
    tab.add(&1, &Account { cents: 1 })?;
    if let Some(account) = tab.find(&1)? {
        println!("{}", account.cents);
    }
    tab.update(&1, |account| account.map(|account| Account { cents: account.cents + 1 }))?;
    for row in tab.scan() {
        let (key, account) = row?;
        println!("{key}: {}", account.cents);
    }
    let all = tab.len()? as u64;
    group!(retry tab => {
        tab.remove(&1)?;
        tab.replace(&2, &Account { cents: all })?;
    })?;
    Ok(())
}

fn key() -> netshm::Result<()> {
    let tab: HashTable<f64, String> = HashTable::options().stripes(2).manage(Shm::open("posix:/keys")?)?;
    tab.add(&1.5, "x")?;
    println!("{}", tab.find(&1.5)?.map_or(0, |text| text.len()));
    Ok(())
}

fn array() -> netshm::Result<()> {
    let array: Array<Account> = Array::options().manage(Shm::open("posix:/array")?, Account { cents: 0 })?;
    array.set(1, &Account { cents: 1 })?;
    println!("{}", array.get(1)?.cents);
    Ok(())
}

/// Nothing else in this function is wrong.
fn part(tab: &HashTable<u64, Account>) -> netshm::Result<bool> {
    tab.remove(&1)
}

fn main() {
    let _ = (table, key, array, part);
}

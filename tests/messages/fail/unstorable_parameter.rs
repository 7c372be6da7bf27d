use netshm::{Array, HashTable, Result, group};

struct Account {
    cents: u64,
}

/// Nothing in these functions is wrong but the type.
fn table(tab: &HashTable<u64, Account>) -> Result<u64> {
    tab.add(&1, &Account { cents: 1 })?;
    group!(retry tab => {
        tab.update(&1, |account| account.map(|account| Account { cents: account.cents + 1 }))?;
        tab.remove(&2)?;
    })?;
    for row in tab.scan() {
        println!("{}", row?.1.cents);
    }
    Ok(tab.find(&1)?.map_or(0, |account| account.cents))
}

fn array(array: &mut Array<Account>) -> Result<()> {
    array.resize(5)?;
    array.set(1, &Account { cents: 1 })?;
    println!("{}", array.get(1)?.cents);
    Ok(())
}

fn main() {
    let _ = (table, array);
}

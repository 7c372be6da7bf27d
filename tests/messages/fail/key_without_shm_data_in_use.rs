use netshm::{HashTable, Result, ShmKey};

#[derive(ShmKey, PartialEq, Eq)]
struct Id(u64);

// The second error: functions are checked apart.
fn count(tab: &HashTable<Id, u64>) -> Result<u64> {
    tab.add(&Id(1), &1)?;
    tab.replace(&Id(1), &2)?;
    Ok(tab.find(&Id(1))?.unwrap_or(0))
}

fn main() {
    let _ = count;
}

use netshm::{HashTable, Result, group};

fn change(tab: &HashTable<String, u64>, other: &HashTable<String, u64>) -> Result<()> {
    other.clear()?;
    group!(tab)?;
    Ok(())
}

fn main() {}

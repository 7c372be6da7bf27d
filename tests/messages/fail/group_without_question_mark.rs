use netshm::{HashTable, Result, group};

fn change(tab: &HashTable<String, u64>, other: &HashTable<String, u64>) -> Result<()> {
    other.clear()?;
    group!(tab => tab.add("k", &1))?;
    Ok(())
}

fn main() {}

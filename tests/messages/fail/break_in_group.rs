use netshm::{HashTable, Result, group};

fn change(tab: &HashTable<String, u64>, other: &HashTable<String, u64>) -> Result<()> {
    other.clear()?;
    for i in 0..9 { group!(tab => { if i == 5 { break; } tab.add("k", &i)?; })?; }
    Ok(())
}

fn main() {}

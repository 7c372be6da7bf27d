use netshm::{HashTable, Result};

fn add(tab: &HashTable<String, u64>) -> Result<()> {
    tab.add("k", "one")
}

fn main() {
    let _ = add;
}

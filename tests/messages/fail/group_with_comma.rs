//! No comma stands in a group.

use netshm::{HashTable, Result, group};

fn add(tab: &HashTable<u64, u64>) -> Result<()> {
    group!(retry, tab => {
        tab.add(&1, &2)?;
    })
}

fn add_through(tab: &HashTable<u64, u64>) -> Result<()> {
    group!(only retry tab => {
        tab.add(&1, &2)?;
    })
}

fn main() {}

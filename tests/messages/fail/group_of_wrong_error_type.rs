use netshm::{HashTable, Result, group};

struct MyError;

fn add(tab: &HashTable<String, u64>) -> Result<(), MyError> {
    group!(tab: MyError => {
        tab.add("k", &1)?;
    })
}

fn main() {
    let _ = add;
}

use netshm::{HashTable, Result, group};

struct MyError;

fn add(tab: &HashTable<String, u64>) -> Result<(), MyError> {
    group!(tab: MyError => {
        tab.add("k", &1)?;
        tab.replace("k", &2)?;
        if tab.len()? > 3 {
            tab.clear()?;
        }
    })
}

fn retry(tab: &HashTable<String, u64>) -> Result<(), MyError> {
    group!(retry only tab: MyError => {
        tab.add("k", &1)?;
        tab.replace("k", &2)?;
    })
}

fn main() {
    let _ = (add, retry);
}

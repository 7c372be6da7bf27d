use netshm::{Error, HashTable, group};

struct MyError;

impl From<Error> for MyError {
    fn from(_: Error) -> Self {
        MyError
    }
}

fn change(tab: &HashTable<String, u64>) -> Result<(), MyError> {
    group!(retry tab: MyError => {
        tab.add("k", &1)?;
    })
}

fn main() {}

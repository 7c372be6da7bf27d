use netshm::{HashTable, Result, group};

struct State {
    tab: HashTable<String, u64>,
}

fn add(state: &State) -> Result<()> {
    group!(only state.tab => {
        state.tab.add("k", &1)?;
    })
}

fn main() {
    let _ = add;
}

use netshm::{HashTable, ShmSchema};

#[derive(ShmSchema)]
struct AppState {
    sessions: HashTable<String, u64>,
}

fn main() {
    let _ = AppState::open_or_create();
}

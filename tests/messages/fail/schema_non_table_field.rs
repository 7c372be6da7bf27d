use netshm::{HashTable, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
struct AppState {
    sessions: HashTable<String, u64>,
    started: u64,
    cache: std::collections::HashMap<String, u64>,
}

fn main() {
    let _ = AppState::open_or_create();
}

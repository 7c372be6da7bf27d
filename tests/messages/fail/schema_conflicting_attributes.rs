use netshm::{Array, HashTable, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/myapp", dir = "data")]
struct AppState {
    #[shm(name = "rows", file = "data/rows")]
    sessions: HashTable<String, u64>,
    #[shm(read_only, init = 100, mode = 0o600)]
    cities: HashTable<u32, u32>,
    #[shm(len = 16, read_only)]
    counters: Array<u64>,
}

fn main() {
    let _ = AppState::open_or_create();
}

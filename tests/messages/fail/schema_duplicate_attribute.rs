use netshm::{HashTable, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/myapp", mode = 0o600, mode = 0o640)]
struct AppState {
    #[shm(init = 10, stripes = 8)]
    #[shm(init = 20)]
    sessions: HashTable<String, u64>,
    #[shm(read_only, read_only)]
    cities: HashTable<u32, u32>,
}

fn main() {
    let _ = AppState::open_or_create();
}

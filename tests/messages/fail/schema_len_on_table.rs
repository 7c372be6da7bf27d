use netshm::{HashTable, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
struct AppState {
    #[shm(len = 16)]
    sessions: HashTable<String, u64>,
    #[shm(default = 0)]
    hits: HashTable<String, u64>,
}

fn main() {
    let _ = AppState::open_or_create();
}

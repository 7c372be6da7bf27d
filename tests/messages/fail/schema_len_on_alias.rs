use netshm::{HashTable, ShmSchema};

type Sessions = HashTable<String, u64>;

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
struct AppState {
    #[shm(len = 16)]
    sessions: Sessions,
}

fn main() {
    let _ = AppState::open_or_create();
}

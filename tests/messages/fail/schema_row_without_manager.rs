use netshm::{Array, HashTable, ShmSchema};

struct Session {
    user: u64,
}

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
struct AppState {
    sessions: HashTable<String, Session>,
    scores: HashTable<f64, u64>,
    #[shm(default = Session { user: 0 })]
    recent: Array<Session>,
}

fn main() {
    let _ = AppState::open_or_create();
}

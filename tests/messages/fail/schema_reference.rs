use netshm::{HashTable, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
struct AppState<'a> {
    sessions: &'a HashTable<String, u64>,
}

fn main() {
    let _ = AppState::open_or_create();
}

use netshm::{HashTable, ShmSchema, Table};

const PREFIX: &str = "/myapp";

#[derive(ShmSchema)]
#[shm(prefix = "myapp")]
struct NoSlash {
    sessions: HashTable<String, u64>,
}

#[derive(ShmSchema)]
#[shm(prefix = PREFIX)]
struct NoText {
    sessions: HashTable<String, u64>,
}

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
struct AppState {
    #[shm(name = "a/b")]
    part: Table,
    #[shm(name = "/a/b")]
    whole: Table,
    #[shm(file = "data/")]
    file: Table,
    #[shm(name = "whose")]
    one: Table,
    #[shm(name = "/myapp.whose")]
    two: Table,
}

fn main() {
    let _ = (NoSlash::open(), NoText::open(), AppState::open());
}

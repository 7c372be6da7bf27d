use netshm::{Array, HashTable, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefx = "/myapp")]
struct Container {
    sessions: HashTable<String, u64>,
}

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
struct Field {
    #[shm(lenght = 16)]
    counters: Array<u64>,
}

fn main() {
    let _ = (Container::open(), Field::open());
}

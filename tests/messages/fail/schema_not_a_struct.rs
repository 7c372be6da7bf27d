use netshm::{HashTable, ShmSchema};

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
enum Choice {
    Table(HashTable<String, u64>),
}

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
struct Tuple(HashTable<String, u64>);

fn main() {
    let _ = (Choice::open(), Tuple::open());
}

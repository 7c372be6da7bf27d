use netshm::{HashTable, ShmSchema, group};

#[derive(ShmSchema)]
#[shm(prefix = "/app")]
struct App {
    rows: HashTable<u64, u64>,
}

fn main() {
    let app = App::open().unwrap();
    let _: netshm::Result<()> = group!(retry app => { app.rows.add(&1, &2)? });
}

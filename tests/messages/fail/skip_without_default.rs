use netshm::ShmData;

struct Connection(u8);

#[derive(ShmData)]
struct Session {
    user: u64,
    #[shm(skip)]
    connection: Connection,
}

fn main() {}

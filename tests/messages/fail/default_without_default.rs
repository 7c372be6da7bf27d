use netshm::ShmData;

#[derive(ShmData)]
struct Level(u8);

#[derive(ShmData)]
struct User {
    name: String,
    #[shm(default)]
    level: Level,
}

fn main() {}

use netshm::ShmData;

#[derive(ShmData)]
struct Session {
    name: &'static str,
}

fn main() {}

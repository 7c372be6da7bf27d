use netshm::ShmData;

#[derive(ShmData)]
struct Name {
    text: str,
}

fn main() {}

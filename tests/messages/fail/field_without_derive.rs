use netshm::ShmData;

struct Address {
    city: String,
}

#[derive(ShmData)]
struct Person {
    addresses: Vec<Address>,
}

fn main() {}

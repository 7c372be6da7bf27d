use netshm::ShmData;

struct Stored;

/// `Stored` has neither a manager nor the conversions: the manager comes first.
#[derive(ShmData)]
struct Row {
    #[shm(as = Stored)]
    number: u64,
}

fn main() {}

use netshm::ShmKey;

#[derive(ShmKey)]
union Number {
    whole: u64,
    real: f64,
}

fn main() {}

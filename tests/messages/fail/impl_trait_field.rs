use netshm::ShmData;

#[derive(ShmData)]
struct Row {
    list: Vec<impl Copy>,
}

#[derive(ShmData)]
struct Other {
    number: _,
}

fn main() {}

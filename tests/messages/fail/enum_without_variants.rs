use netshm::ShmData;

#[derive(ShmData)]
enum Never {}

fn main() {}

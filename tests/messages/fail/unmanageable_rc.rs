use std::rc::Rc;

use netshm::ShmData;

#[derive(ShmData)]
struct Session {
    user: u64,
    name: Rc<String>,
}

fn main() {}

use std::cell::Cell;
use std::rc::Rc;

use netshm::ShmData;

#[derive(ShmData)]
struct Node<T> {
    value: T,
    shared: Rc<T>,
}

#[derive(ShmData)]
struct Reference<'a, T> {
    value: Vec<&'a T>,
}

// A type of one's own that has the name of one of those.
mod own {
    #[derive(netshm::ShmData)]
    pub(crate) struct Mutex<T>(T);
}

#[derive(ShmData)]
struct Fine<T> {
    mutex: own::Mutex<T>,
    many: Vec<own::Mutex<T>>,
}

#[derive(ShmData)]
struct Cells<T> {
    cells: Option<Cell<T>>,
}

fn main() {}

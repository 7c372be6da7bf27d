use netshm::ShmData;

#[derive(ShmData)]
struct NoValue {
    #[shm(as =)]
    letter: char,
}

#[derive(ShmData)]
struct NoDefault {
    #[shm(default =)]
    hits: u64,
}

#[derive(ShmData)]
struct NoType {
    #[shm(as = "String ++")]
    letter: char,
}

#[derive(ShmData)]
struct NoPath {
    #[shm(with = 5)]
    letter: char,
}

#[derive(ShmData)]
#[shm(bound = "T Clone")]
struct NoBound<T> {
    content: T,
}

#[derive(ShmData)]
struct PathAsName {
    #[shm(serde::skip)]
    letter: char,
}

#[derive(ShmData)]
struct TwoWays {
    #[shm(shared, as = String)]
    name: std::rc::Rc<str>,
}

#[derive(ShmData)]
struct NotShared {
    #[shm(shared)]
    hits: u64,
}

fn main() {}

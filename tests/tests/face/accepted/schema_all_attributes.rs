//! Every attribute of a declared schema, and no trait in scope.
#![deny(warnings)]

use std::time::Duration;

use netshm::{Array, HashTable, Locking, ShmData, Table};

#[derive(ShmData)]
struct Session {
    user: u64,
}

#[derive(ShmData)]
struct City {
    name: String,
}

#[derive(netshm::ShmSchema)]
#[shm(prefix = "/myapp", locking = Locking::Futex, mode = 0o600)]
struct AppState {
    /// One row for each signed-in user.
    #[shm(init = 10_000)]
    sessions: HashTable<String, Session>,
    #[shm(file = "data/geo", locking = Locking::None, read_only)]
    cities: HashTable<u32, City>,
    #[shm(len = 16, default = 0)]
    counters: Array<u64>,
}

#[derive(netshm::ShmSchema)]
#[shm(dir = "data", crate = netshm, lock_timeout = Duration::from_secs(1))]
pub(crate) struct Files {
    #[shm(name = "r", init = 10, pagesize = 512, max_size = 1 << 30, stripes = 16, stripe_room = 32)]
    #[shm(slots = 32, give_back_live)]
    #[shm(locking = Locking::Record, mode = 0o640, lock_timeout = Duration::from_millis(5))]
    raw: Table,
    #[shm(name = "posix:/elsewhere", default = Session { user: 1 })]
    one: Array<Session>,
    #[shm(default)]
    r#type: Array<Option<String>>,
    #[shm(read_only)]
    none: Array<(u8, u8)>,
}

#[derive(netshm::ShmSchema)]
#[shm(object = "file:data/all", slots = 32, max_size = 1 << 30, pagesize = 512, stripe_room = 100)]
#[shm(locking = Locking::Record, mode = 0o640, lock_timeout = Duration::from_secs(1), require_owner, give_back_live)]
struct Whole {
    #[shm(name = "r", init = 10, stripes = 16, lock_timeout = Duration::from_millis(5))]
    raw: Table,
}

fn main() {
    assert_eq!(AppState::names().len(), 3);
    assert!(Files::describe().contains("posix:/elsewhere"));
    assert_eq!(Files::at("/posix").names().unwrap()[2].1.to_string(), "posix:/posix.type");
    let _ = |session: Session, city: City| (session.user, city.name);
    let _ = |state: AppState| (state.sessions, state.cities, state.counters);
    let _ = |whole: Whole| whole.raw;
    let _ = |files: Files| (files.raw, files.one, files.r#type, files.none);
}

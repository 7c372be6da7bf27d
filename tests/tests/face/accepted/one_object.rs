use netshm::{Array, HashTable, Locking, Shm, ShmData, ShmName, ShmSchema, group};

#[derive(Debug, Clone, ShmData)]
struct User {
    name: String,
}
type Session = User;

#[derive(ShmSchema)]
#[shm(object = "/myapp", locking = Locking::Futex, mode = 0o600)]
struct App {
    sessions: HashTable<String, Session>,
    #[shm(len = 16, default = 0)]
    counters: Array<u64>,
}

#[allow(dead_code)]
fn contract(name: ShmName, s: Session) -> netshm::Result<()> {
    let shm = Shm::options().create(true).open(&name)?;
    let users: HashTable<String, User> = HashTable::options().named("users").manage(shm.clone())?;
    let hits: Array<u64> = Array::options().named("hits").manage(shm.clone(), 0)?;
    shm.members()?;
    shm.remove_member("old")?;
    let _ = (users.clone(), hits.clone());

    let app = App::open_or_create()?;
    group!(retry app => {
        app.sessions.add("k", &s)?;
        app.counters.update(0, |n| n + 1)?;
    })?;
    app.check()?;
    app.sync()?;
    app.stats()?;
    App::describe();
    Ok(())
}

fn main() {}

//! Migrations of all objects of a declaration.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use netshm::{Array, Error, HashTable, Shm};
use netshm_tests::Child;

use super::schema_migration::{User, before, convert, old};

/// Two versions of a whole schema.
mod schemas {
    macro_rules! version {
        ($name:ident: $place:ident = $path:literal, $User:ty, $Hits:ty { $($further:tt)* }) => {
            pub(crate) mod $name {
                use netshm::{Array, HashTable};
                #[derive(netshm::ShmSchema)]
                #[shm($place = $path)]
                pub(crate) struct State {
                    #[shm(stripes = 2)]
                    pub(crate) users: HashTable<u32, $User>,
                    #[shm(len = 10, stripes = 2)]
                    pub(crate) hits: Array<$Hits>,
                    #[shm(stripes = 2)]
                    pub(crate) same: HashTable<String, u64>,
                    $($further)*
                }
            }
        };
    }
    version!(old: object = "/state", crate::schema_migration::before::User, u32 {});
    version!(new: object = "/state", crate::schema_migration::User, (u64, String) {
        #[shm(stripes = 2)]
        pub(crate) further: HashTable<u8, u8>,
    });
    version!(old_apart: prefix = "/state", crate::schema_migration::before::User, u32 {});
    version!(new_apart: prefix = "/state", crate::schema_migration::User, (u64, String) {});
}

const USERS: u32 = 6;

macro_rules! filled {
    ($version:ident, $place:expr) => {{
        let state = schemas::$version::State::at($place).create().unwrap();
        (0..USERS).for_each(|key| state.users.add(&key, &old(key)).unwrap());
        (0..5).for_each(|index| state.hits.set(index, &(index as u32 + 1)).unwrap());
        state.same.add("same", &7).unwrap();
        state
    }};
}

macro_rules! migrated {
    ($version:ident, $place:expr, $convert:expr) => {
        schemas::$version::State::at($place)
            .migrate()
            .field("users", HashTable::<u32, User>::options().migrate_from::<u32, before::User>($convert))
            .field("hits", hits().default_value((0, String::new())))
    };
}

fn hits<'a>() -> netshm::ArrayMigration<'a, (u64, String), u32> {
    Array::options().migrate_from(|hits: u32| (hits.into(), hits.to_string()))
}

macro_rules! check_state {
    ($state:expr) => {{
        let state = $state;
        (0..USERS).for_each(|key| assert_eq!(state.users.find(&key).unwrap(), Some(convert(old(key)))));
        let hits: Vec<_> = state.hits.scan().map(|hits| hits.unwrap().1).collect();
        assert_eq!(hits, ["1", "2", "3", "4", "5", "0", "0", "0", "0", "0"]);
        assert_eq!(state.same.find("same").unwrap(), Some(7));
        state.check().unwrap().iter().for_each(|(field, report)| assert!(report.is_clean(), "{field}: {report}"));
        state
    }};
}

macro_rules! check_old_state {
    ($version:ident, $place:expr) => {{
        let state = schemas::$version::State::at($place).open().unwrap();
        assert_eq!(state.users.len().unwrap(), USERS as usize);
        assert_eq!(state.users.find(&3).unwrap(), Some(old(3)));
        assert_eq!(state.hits.get(4).unwrap(), 5);
        assert_eq!(state.same.find("same").unwrap(), Some(7));
    }};
}

/// A place whose objects go away with it.
struct Somewhere(String);

impl Somewhere {
    fn new(subject: &str) -> Somewhere {
        Somewhere(format!("/{}", netshm_tests::unique(subject)))
    }
}

impl Drop for Somewhere {
    fn drop(&mut self) {
        let _ = schemas::new::State::at(self.0.as_str()).unlink();
        let _ = schemas::new_apart::State::at(self.0.as_str()).unlink();
    }
}

#[test]
fn a_schema_is_migrated_as_a_whole() {
    let place = Somewhere::new("migrate-schema");
    let place = place.0.as_str();
    let state = filled!(old, place);
    assert!(matches!(migrated!(new, place, convert).open_or_create(), Err(Error::InUse { .. })));
    drop(state);
    let panics = migrated!(new, place, |user: before::User| {
        assert!(user.cents < 4, "it is not convertible");
        convert(user)
    });
    assert!(catch_unwind(AssertUnwindSafe(|| panics.open_or_create().map(drop))).is_err());
    check_old_state!(old, place);
    // What the old default becomes is not what the schema declares: it could not be opened.
    let users = HashTable::<u32, User>::options().migrate_from::<u32, before::User>(convert);
    let other = schemas::new::State::at(place).migrate().field("users", users).field("hits", hits());
    match other.open_or_create().map(drop) {
        Err(Error::SchemaMismatch { object, stored, .. }) => {
            assert!(object.ends_with(place) && stored.contains("with default (0, \"0\")"), "{object} {stored}");
        }
        outcome => panic!("{outcome:?}"),
    }
    check_old_state!(old, place);
    let last = Cell::new((0, 0));
    let migration = migrated!(new, place, convert).progress(|done, all| last.set((done, all)));
    let state = check_state!(migration.open_or_create().unwrap());
    assert!(last.get().0 == last.get().1 && last.get().1 >= u64::from(USERS) + 5, "{last:?}");
    assert!(state.further.is_empty().unwrap());
    let again = migrated!(new, place, |_| unreachable!());
    check_state!(again.open_or_create().unwrap());
    drop(state);
    check_state!(migrated!(new, place, |_| unreachable!()).open_or_create().unwrap());
    check_state!(schemas::new::State::at(place).open().unwrap());
}

#[test]
fn objects_of_their_own_are_migrated_together() {
    let place = Somewhere::new("migrate-apart");
    let place = place.0.as_str();
    let state = filled!(old_apart, place);
    // One that is in use is enough.
    let schemas::old_apart::State { users, hits, .. } = state;
    drop(users);
    assert!(matches!(migrated!(new_apart, place, convert).open_or_create(), Err(Error::InUse { .. })));
    drop(hits);
    let reentrant = migrated!(new_apart, place, |user| {
        // Code that uses another of the objects would wait for itself, too.
        assert!(matches!(schemas::old_apart::State::at(place).open(), Err(Error::Reentrant { .. })));
        assert!(user.cents < 4, "it is not convertible");
        convert(user)
    });
    assert!(catch_unwind(AssertUnwindSafe(|| reentrant.open_or_create().map(drop))).is_err());
    check_old_state!(old_apart, place);
    // Some are migrated already, as after a kill between them.
    drop(
        HashTable::<u32, User>::options()
            .migrate_from::<u32, before::User>(convert)
            .manage(Shm::open(format!("posix:{place}.users")).unwrap())
            .unwrap(),
    );
    check_state!(migrated!(new_apart, place, |_| unreachable!()).open_or_create().unwrap());
    check_state!(schemas::new_apart::State::at(place).open().unwrap());
    let fresh = Somewhere::new("migrate-fresh");
    let state = migrated!(new_apart, fresh.0.as_str(), |_| unreachable!()).open_or_create().unwrap();
    assert!(state.users.is_empty().unwrap());
}

#[test]
fn a_migration_names_fields_that_there_are() {
    let place = Somewhere::new("migrate-names");
    let at = schemas::new::State::at(place.0.as_str());
    let unknown =
        at.migrate().field("user", HashTable::<u32, User>::options().migrate_from::<u32, before::User>(convert));
    let error = unknown.open_or_create().map(drop).unwrap_err().to_string();
    assert!(error.contains("users, hits, same, further"), "{error}");
    let other =
        at.migrate().field("users", HashTable::<u64, User>::options().migrate_from::<u32, before::User>(convert));
    let error = other.open_or_create().map(drop).unwrap_err().to_string();
    assert!(error.contains("HashTable<u32, User") && error.contains("HashTable<u64, User"), "{error}");
    assert!(at.open().is_err(), "nothing has been created");
}

/// A migration is stopped, and killed, at each of its conversions.
#[test]
fn a_schema_is_as_before_or_after_whenever_it_is_killed() {
    let place = Somewhere::new("migrate-schema-kill");
    let place = place.0.as_str();
    drop(filled!(old, place));
    for stop in 0.. {
        let mut child = Child::start("schema_migration_whole::stop", &[place, &stop.to_string()]);
        let line = child.line();
        child.kill();
        if line.as_deref() != Some("stopped") {
            assert_eq!((line.as_deref(), stop), (Some("migrated"), USERS + 5 + 1));
            break;
        }
        check_old_state!(old, place);
    }
    check_state!(schemas::new::State::at(place).open().unwrap());
}

fn stop_at(place: &str, stop: u32) {
    let calls = Cell::new(0);
    let call = || {
        if calls.replace(calls.get() + 1) == stop {
            println!("> stopped");
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
    };
    let state = schemas::new::State::at(place)
        .migrate()
        .field(
            "users",
            HashTable::<u32, User>::options().migrate_from::<u32, before::User>(|user| {
                call();
                convert(user)
            }),
        )
        .field(
            "hits",
            Array::<(u64, String)>::options()
                .migrate_from(|hits: u32| {
                    call();
                    (hits.into(), hits.to_string())
                })
                .default_value((0, String::new())),
        );
    check_state!(state.open_or_create().unwrap());
    println!("> migrated");
}

pub(crate) fn child(_: &str, arguments: &[String]) {
    stop_at(&arguments[0], arguments[1].parse().unwrap());
}

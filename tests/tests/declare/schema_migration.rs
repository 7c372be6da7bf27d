//! Rewriting objects into those of another type.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use netshm::{Array, Error, HashTable, Locking, Result, Shm, ShmData, group};
use netshm_tests::{Child, Scratch};

mod before {
    #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
    pub(super) struct User {
        pub(super) name: String,
        pub(super) cents: u32,
    }
}

mod extended {
    #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
    pub(super) struct User {
        pub(super) name: String,
        pub(super) cents: u32,
        #[shm(default)]
        pub(super) admin: bool,
    }
}

/// Fields in another order, of other types.
#[derive(ShmData, Debug, PartialEq, Clone)]
struct User {
    cents: i64,
    names: Vec<String>,
}

const ROWS: u32 = 1000;

fn old(key: u32) -> before::User {
    before::User { name: format!("first{key} last"), cents: key }
}

fn convert(old: before::User) -> User {
    User { cents: i64::from(old.cents) * 10, names: old.name.split(' ').map(str::to_owned).collect() }
}

fn fill(object: &Scratch) {
    let tab: HashTable<u32, before::User> = HashTable::options().stripes(4).manage(object.open()).unwrap();
    (0..ROWS).for_each(|key| tab.add(&key, &old(key)).unwrap());
    tab.add(&7, &old(7000)).unwrap();
}

fn migrate(shm: Shm) -> Result<HashTable<u64, User>> {
    HashTable::options().migrate_from::<u32, before::User>(convert).manage(shm)
}

#[track_caller]
fn check_migrated(tab: &HashTable<u64, User>) {
    assert_eq!(tab.len().unwrap(), ROWS as usize + 1);
    for key in (0..ROWS).filter(|key| *key != 7) {
        assert_eq!(tab.find(&key.into()).unwrap(), Some(convert(old(key))), "{key}");
    }
    assert_eq!(tab.find_all(&7).unwrap(), [convert(old(7000)), convert(old(7))]);
    let report = tab.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[track_caller]
fn check_unchanged(object: &Scratch) {
    let tab: HashTable<u32, before::User> = HashTable::options().manage(object.open()).unwrap();
    assert_eq!(tab.len().unwrap(), ROWS as usize + 1);
    assert_eq!(tab.find_all(&7).unwrap(), [old(7000), old(7)]);
    assert!(tab.check().unwrap().is_clean());
}

#[test]
fn all_rows_are_converted_once() {
    for object in [Scratch::posix("migrate"), Scratch::file("migrate")] {
        fill(&object);
        let (last, reports) = (Cell::new((0, 0)), Cell::new(0));
        let tab = HashTable::options()
            .migrate_from::<u32, before::User>(convert)
            .progress(|done, all| {
                assert!(done <= all && all == u64::from(ROWS) + 1);
                last.set((done, all));
                reports.set(reports.get() + 1);
            })
            .manage(object.open())
            .unwrap();
        assert!(last.get() == (1001, 1001) && reports.get() > 3);
        check_migrated(&tab);
        // Nothing is left to be done, here or for a program that starts again.
        let again = HashTable::<u64, User>::options().migrate_from::<u32, before::User>(|_| unreachable!());
        check_migrated(&again.manage(object.open()).unwrap());
    }
    let fresh = Scratch::posix("migrate-fresh");
    assert!(migrate(fresh.open()).unwrap().is_empty().unwrap());
}

#[test]
fn an_object_in_use_is_left_alone() {
    let object = Scratch::posix("migrate-in-use");
    fill(&object);
    let tab: HashTable<u32, before::User> = HashTable::options().manage(object.open()).unwrap();
    assert!(matches!(migrate(object.open()), Err(Error::InUse { .. })));
    drop(tab);
    let other = HashTable::<u64, User>::options().migrate_from::<u64, (u8, u8)>(|_| unreachable!());
    assert!(matches!(other.manage(object.open()), Err(Error::SchemaMismatch { .. })));
    check_unchanged(&object);
}

#[test]
fn code_that_fails_changes_nothing() {
    let object = Scratch::posix("migrate-panic");
    fill(&object);
    let at = Cell::new(0);
    let panics = HashTable::<u64, User>::options().migrate_from::<u32, before::User>(|old| {
        at.set(at.get() + 1);
        assert!(at.get() < 500, "it is not convertible");
        convert(old)
    });
    catch_unwind(AssertUnwindSafe(|| panics.manage(object.open()))).unwrap_err();
    check_unchanged(&object);
    // Code that uses the object would wait for itself.
    let reentrant = HashTable::<u64, User>::options().migrate_from::<u32, before::User>(|old| {
        let inside = HashTable::<u32, before::User>::options().manage(object.open());
        assert!(matches!(inside, Err(Error::Reentrant { .. })), "{inside:?}");
        assert!(matches!(object.open().describe(), Err(Error::Reentrant { .. })));
        convert(old)
    });
    check_migrated(&reentrant.manage(object.open()).unwrap());
    assert_eq!(
        std::fs::read_dir("/dev/shm").unwrap().filter(|entry| is_left(entry.as_ref().unwrap(), &object)).count(),
        0
    );
}

fn is_left(entry: &std::fs::DirEntry, object: &Scratch) -> bool {
    let name = entry.file_name().to_string_lossy().into_owned();
    name.contains("migrate-panic") && !object.name().to_string().ends_with(&name)
}

#[test]
fn members_are_migrated_one_by_one() {
    let object = Scratch::posix("migrate-members");
    let shm = object.open();
    let plain: HashTable<String, u8> = HashTable::manage(shm.clone(), Locking::Futex).unwrap();
    let users: HashTable<u32, before::User> = HashTable::options().named("users").manage(shm.clone()).unwrap();
    let hits: Array<u64> = Array::options().named("hits").manage(shm.clone(), 3).unwrap();
    group!(users => {
        users.add(&1, &old(1))?;
        hits.resize(5)?;
        plain.add("a", &1)?;
    })
    .unwrap();
    hits.set(2, &9).unwrap();
    drop((users, hits, plain, shm));
    let users = HashTable::<u64, User>::options()
        .named("users")
        .migrate_from::<u32, before::User>(convert)
        .manage(object.open());
    let users = users.unwrap();
    assert_eq!(users.find(&1).unwrap(), Some(convert(old(1))));
    let hits: Array<u64> = Array::options().named("hits").manage(users.shm().clone(), 3).unwrap();
    assert_eq!(hits.scan().collect::<Result<Vec<_>>>().unwrap(), [3, 3, 9, 3, 3]);
    let plain: HashTable<String, u8> = HashTable::manage(users.shm().clone(), Locking::Futex).unwrap();
    assert_eq!(plain.find("a").unwrap(), Some(1));
    assert!(plain.check().unwrap().is_clean());
}

#[test]
fn what_newer_programs_have_added_is_dropped_only_if_asked() {
    let object = Scratch::posix("migrate-trim");
    fill(&object);
    let extended: HashTable<u32, extended::User> = HashTable::options().manage(object.open()).unwrap();
    extended.add(&7, &extended::User { name: "first7000 last".to_owned(), cents: 7000, admin: true }).unwrap();
    assert_eq!(extended.remove_all(&7).unwrap(), 3);
    extended.add(&7, &extended::User { name: "first7 last".to_owned(), cents: 7, admin: true }).unwrap();
    extended.add(&7, &extended::User { name: "first7000 last".to_owned(), cents: 7000, admin: true }).unwrap();
    drop(extended);
    assert!(matches!(migrate(object.open()), Err(Error::SchemaMismatch { .. })));
    // The same type, without what was added.
    let options = || HashTable::<u32, before::User>::options();
    let trimmed = options().migrate_from::<u32, before::User>(|row| row).trim(true).manage(object.open()).unwrap();
    assert!(!trimmed.shm().describe().unwrap().schema.to_string().contains("admin"));
    drop(trimmed);
    check_unchanged(&object);
    check_migrated(&migrate(object.open()).unwrap());
}

#[test]
fn whatever_is_killed_the_object_is_as_before_or_after() {
    let object = Scratch::file("migrate-kill");
    fill(&object);
    for round in 0..8u64 {
        let mut child = Child::start("schema_migration::slow", &[&object.name().to_string()]);
        assert_eq!(child.line().as_deref(), Some("begun"));
        (0..round * 20).for_each(|_| drop(child.line()));
        child.kill();
        check_unchanged(&object);
    }
    // Several that start at once.
    let children: Vec<_> =
        (0..3).map(|_| Child::start("schema_migration::start", &[&object.name().to_string()])).collect();
    children.into_iter().for_each(Child::succeed);
    check_migrated(&migrate(object.open()).unwrap());
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    let shm = Shm::open(arguments[0].as_str()).unwrap();
    if part == "slow" {
        let slow = HashTable::<u64, User>::options().migrate_from::<u32, before::User>(|old| {
            println!("> begun");
            std::thread::sleep(std::time::Duration::from_millis(2));
            convert(old)
        });
        slow.manage(shm).unwrap();
        unreachable!("it is killed before");
    }
    // One that finds another with the object open has nothing to migrate.
    check_migrated(&migrate(shm).unwrap());
}

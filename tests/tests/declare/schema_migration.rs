//! Rewriting objects into those of another type.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use netshm::{Array, Error, HashTable, Locking, Result, Shm, ShmData, group};
use netshm_tests::{Child, Scratch};

pub(crate) mod before {
    #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
    pub(crate) struct User {
        pub(crate) name: String,
        pub(crate) cents: u32,
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
pub(crate) struct User {
    cents: i64,
    names: Vec<String>,
}

const ROWS: u32 = 1000;

pub(crate) fn old(key: u32) -> before::User {
    before::User { name: format!("first{key} last"), cents: key }
}

pub(crate) fn convert(old: before::User) -> User {
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
    // Many that start at once: one migrates, and none stands in another's way.
    let children: Vec<_> =
        (0..20).map(|_| Child::start("schema_migration::start", &[&object.name().to_string()])).collect();
    children.into_iter().for_each(Child::succeed);
    check_migrated(&migrate(object.open()).unwrap());
}

/// Who migrates may wait for the group: so nobody in a group on another object waits for long to open the object.
#[test]
fn opening_is_bounded_in_a_group_on_another_object() {
    let (object, beside) = (Scratch::file("migrate-stopped"), Scratch::posix("migrate-beside"));
    fill(&object);
    let other: Array<u64> = Array::manage(beside.open(), 0, Locking::Futex).unwrap();
    let child = Child::start("schema_migration::slow", &[&object.name().to_string()]);
    assert_eq!(child.line().as_deref(), Some("begun"));
    child.stop();
    type Opening = fn(Shm) -> Result<()>;
    let ways: [Opening; 4] = [
        |shm| migrate(shm).map(drop),
        |shm| shm.members().map(drop),
        |shm| HashTable::<u64, User>::options().manage(shm).map(drop),
        |shm| {
            let shm = Shm::options().read_only(true).open(shm.name())?;
            HashTable::<u64, User>::options().manage(shm).map(drop)
        },
    ];
    let (ended, outcomes) = std::sync::mpsc::channel();
    for way in ways {
        let (ended, other, shm) = (ended.clone(), other.clone(), object.open());
        std::thread::spawn(move || ended.send(other.group(|| way(shm))));
    }
    for _ in ways {
        let outcome = outcomes.recv_timeout(std::time::Duration::from_secs(30)).expect("it waits for ever");
        assert!(matches!(outcome, Err(Error::LockTimeout { may_be_deadlock: true, .. })), "{outcome:?}");
    }
}

fn fill_array<T: ShmData>(object: &Scratch, default: T, set: impl Fn(usize) -> T) {
    let array = Array::options().stripes(4).manage(object.open(), default).unwrap();
    array.resize(1000).unwrap();
    (0..1000).step_by(7).for_each(|index| array.set(index, &set(index)).unwrap());
}

#[test]
fn all_elements_are_converted_once() {
    // From and to elements that lie in their chunks, and in records of their own.
    let object = Scratch::file("migrate-array");
    fill_array(&object, 0u8, |index| index as u8);
    let (calls, last) = (Cell::new(0), Cell::new((0, 0)));
    let texts: Array<String> = Array::options()
        .migrate_from(|old: u8| {
            calls.set(calls.get() + 1);
            format!("{old}")
        })
        .progress(|done, all| {
            assert!(done <= all);
            last.set((done, all));
        })
        .manage(object.open(), "0".to_owned())
        .unwrap();
    // Those that differ from the default, and that itself.
    let differing = (0..1000).step_by(7).filter(|index| *index as u8 != 0).count();
    assert!(
        calls.get() == differing + 1 && last.get().0 == last.get().1 && last.get().1 > 0,
        "{} {last:?}",
        calls.get()
    );
    assert_eq!(texts.len().unwrap(), 1000);
    for index in 0..1000 {
        let expected = if index % 7 == 0 { index as u8 } else { 0 };
        assert_eq!(texts.get(index).unwrap(), expected.to_string());
    }
    assert!(texts.check().unwrap().is_clean());
    assert_eq!(texts.check().unwrap().bindings, differing as u64, "what has not been set takes no memory");
    drop(texts);
    let pairs = || {
        let options = Array::<(u64, bool)>::options();
        options.migrate_from(|old: String| (old.parse().unwrap(), old == "0")).manage(object.open(), (0, true))
    };
    let check = |pairs: Array<(u64, bool)>| {
        for index in 0..1000 {
            let expected = if index % 7 == 0 { u64::from(index as u8) } else { 0 };
            assert_eq!(pairs.get(index).unwrap(), (expected, expected == 0));
        }
        assert!(pairs.check().unwrap().is_clean());
    };
    check(pairs().unwrap());
    let again = Array::<(u64, bool)>::options().migrate_from(|_: String| unreachable!());
    check(again.manage(object.open(), (0, true)).unwrap());
    // Another default: what has never been set is what it was.
    let other =
        Array::<i32>::options().migrate_from(|old: (u64, bool)| old.0 as i32).manage(object.open(), -1).unwrap();
    other.resize(1001).unwrap();
    assert_eq!([0, 1, 7, 8, 1000].map(|index| other.get(index).unwrap()), [0, 0, 7, 0, -1]);
    assert!(other.check().unwrap().is_clean());
    assert!(matches!(pairs(), Err(Error::InUse { .. })));
    drop(other);
    assert!(matches!(pairs(), Err(Error::SchemaMismatch { .. })));
    let fresh = Scratch::posix("migrate-array-fresh");
    let empty = Array::<u8>::options().migrate_from(|_: u16| unreachable!()).manage(fresh.open(), 3).unwrap();
    assert!(empty.is_empty().unwrap());
}

#[test]
fn a_stored_type_is_cut_back_to_what_a_program_knows() {
    let object = Scratch::posix("migrate-trim-schema");
    fill(&object);
    let shm = object.open();
    assert!(!shm.trim_schema::<HashTable<u32, before::User>>(None).unwrap());
    let extended = HashTable::<u32, extended::User>::options().manage(object.open()).unwrap();
    extended.add(&7, &extended::User { name: "x".to_owned(), cents: 1, admin: true }).unwrap();
    assert_eq!(extended.pop(&7).unwrap().unwrap().cents, 1);
    assert!(matches!(shm.trim_schema::<HashTable<u32, before::User>>(None), Err(Error::InUse { .. })));
    drop(extended);
    let another = shm.trim_schema::<HashTable<u32, (u8, u8)>>(None);
    assert!(matches!(another, Err(Error::SchemaMismatch { .. })));
    assert!(matches!(shm.trim_schema::<HashTable<u32, before::User>>(Some("no")), Err(Error::NoMember { .. })));
    assert!(shm.trim_schema::<HashTable<u32, before::User>>(None).unwrap());
    check_unchanged(&object);
    assert!(!object.open().trim_schema::<HashTable<u32, before::User>>(None).unwrap());
    assert!(!object.open().describe().unwrap().schema.to_string().contains("admin"));
    // Members, and elements.
    mod part {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
        #[shm(extensible)]
        pub(super) struct Part {
            pub(super) a: u8,
        }
    }
    mod longer {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
        #[shm(extensible)]
        pub(super) struct Part {
            pub(super) a: u8,
            #[shm(default)]
            pub(super) b: String,
        }
    }
    let object = Scratch::posix("migrate-trim-schema");
    let long = longer::Part { a: 1, b: "b".to_owned() };
    let array = Array::options().named("parts").manage(object.open(), long.clone()).unwrap();
    array.resize(3).unwrap();
    array.set(1, &longer::Part { a: 2, ..long }).unwrap();
    drop(array);
    assert!(object.open().trim_schema::<Array<part::Part>>(Some("parts")).unwrap());
    let array = Array::options().named("parts").manage(object.open(), part::Part { a: 1 }).unwrap();
    assert_eq!([0, 1, 2].map(|index| array.get(index).unwrap().a), [1, 2, 1]);
    drop(array);
    let array = Array::options().named("parts").manage(object.open(), longer::Part { a: 1, b: String::new() }).unwrap();
    assert_eq!(array.get(1).unwrap(), longer::Part { a: 2, b: String::new() });
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

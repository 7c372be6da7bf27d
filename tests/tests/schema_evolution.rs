//! Opening objects across two versions of a type, and type mismatches.

use netshm::{Error, HashTable, Locking, Result, Shm, ShmData, Table};
use netshm_tests::{Child, Scratch, part};

mod first {
    use super::ShmData;

    #[derive(ShmData, Debug, PartialEq, Clone)]
    pub(super) struct Session {
        pub(super) user: u64,
        pub(super) name: String,
    }

    #[derive(ShmData, Debug, PartialEq)]
    pub(super) enum State {
        Idle,
        Running(u32),
    }

    /// Takes one word, so that it lies in the bucket of a key of one word.
    #[derive(ShmData, Debug, PartialEq)]
    pub(super) struct Count {
        pub(super) count: u64,
    }
}

mod second {
    use super::ShmData;

    #[derive(ShmData, Debug, PartialEq, Clone)]
    pub(super) struct Session {
        pub(super) user: u64,
        pub(super) name: String,
        #[shm(default)]
        pub(super) hits: u32,
        #[shm(default = "en".to_owned())]
        pub(super) language: String,
    }

    #[derive(ShmData, Debug, PartialEq)]
    pub(super) enum State {
        Idle,
        Running(u32),
        Failed { why: String },
    }

    #[derive(ShmData, Debug, PartialEq)]
    pub(super) struct Count {
        pub(super) count: u64,
        #[shm(default)]
        pub(super) most: u64,
    }
}

fn open<V: ShmData>(object: &Scratch) -> Result<HashTable<String, V>> {
    HashTable::manage(object.open(), Locking::Futex)
}

fn old_session() -> first::Session {
    first::Session { user: 7, name: "Ada".to_owned() }
}

fn new_session(hits: u32, language: &str) -> second::Session {
    second::Session { user: 7, name: "Ada".to_owned(), hits, language: language.to_owned() }
}

#[test]
fn new_fields_are_read_with_their_defaults() {
    let object = Scratch::posix("evolution-fields");
    let old = open::<first::Session>(&object).unwrap();
    old.add("a", &old_session()).unwrap();
    old.add("b", &old_session()).unwrap();
    drop(old);
    let new = open::<second::Session>(&object).unwrap();
    assert_eq!(new.find("a").unwrap(), Some(new_session(0, "en")));
    assert!(new.check().unwrap().is_clean());
    // The stored schema is still the old one.
    drop(new);
    assert_eq!(open::<first::Session>(&object).unwrap().find("a").unwrap(), Some(old_session()));
    // A change makes it the new one, for all rows.
    let new = open::<second::Session>(&object).unwrap();
    new.replace("a", &new_session(5, "de")).unwrap();
    assert_eq!(new.find("a").unwrap(), Some(new_session(5, "de")));
    assert_eq!(new.find("b").unwrap(), Some(new_session(0, "en")));
    let report = new.check().unwrap();
    assert!(report.is_clean(), "{report}");
    drop(new);
    match open::<first::Session>(&object) {
        Err(Error::SchemaMismatch { stored, expected, .. }) => {
            assert!(stored.contains("hits: u32, language: String"), "{stored}");
            assert!(!expected.contains("hits"), "{expected}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(open::<second::Session>(&object).unwrap().len().unwrap(), 2);
}

#[test]
fn values_outgrow_their_buckets() {
    let object = Scratch::posix("evolution-pairs");
    let old: HashTable<u32, first::Count> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    (0..100).for_each(|key| old.add(&key, &first::Count { count: key.into() }).unwrap());
    old.add(&7, &first::Count { count: 1000 }).unwrap();
    drop(old);
    let new: HashTable<u32, second::Count> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let count = |count, most| second::Count { count, most };
    assert_eq!(new.find(&5).unwrap(), Some(count(5, 0)));
    (0..50).step_by(2).for_each(|key| new.replace(&key, &count(key.into(), 9)).unwrap());
    new.add(&7, &count(2000, 3)).unwrap();
    new.add(&8, &count(1, 1)).unwrap();
    new.add(&500, &count(5, 5)).unwrap();
    let check = |expected: usize| {
        let report = new.check().unwrap();
        assert!(report.is_clean() && report.bindings == expected as u64, "{report}");
    };
    check(104);
    assert_eq!(new.find(&4).unwrap(), Some(count(4, 9)));
    assert_eq!(new.find_all(&7).unwrap(), [count(2000, 3), count(1000, 0), count(7, 0)]);
    assert_eq!(new.find_all(&8).unwrap(), [count(1, 1), count(8, 9)]);
    // Down to the last binding, which is one of two words, of one word, and alone from the start.
    assert_eq!(new.pop(&8).unwrap(), Some(count(1, 1)));
    assert_eq!(new.find_all(&8).unwrap(), [count(8, 9)]);
    assert_eq!(new.remove_all(&7).unwrap(), 3);
    assert_eq!(new.pop(&500).unwrap(), Some(count(5, 5)));
    check(99);
    let mut keys = new.keys().collect::<Result<Vec<_>>>().unwrap();
    keys.sort_unstable();
    assert!(keys.into_iter().eq((0..100).filter(|key| *key != 7)));
}

#[test]
fn new_variants_come_at_the_end() {
    let object = Scratch::posix("evolution-variants");
    let old = open::<first::State>(&object).unwrap();
    old.add("a", &first::State::Running(3)).unwrap();
    old.add("b", &first::State::Idle).unwrap();
    drop(old);
    let new = open::<second::State>(&object).unwrap();
    new.add("c", &second::State::Failed { why: "tired".to_owned() }).unwrap();
    assert_eq!(new.find("a").unwrap(), Some(second::State::Running(3)));
    assert_eq!(new.find("b").unwrap(), Some(second::State::Idle));
    drop(new);
    assert!(matches!(open::<first::State>(&object), Err(Error::SchemaMismatch { .. })));
}

#[test]
fn nobody_with_the_old_type_may_have_the_object_open() {
    let object = Scratch::posix("evolution-in-use");
    let old = open::<first::Session>(&object).unwrap();
    old.add("a", &old_session()).unwrap();
    // In this process.
    let new = open::<second::Session>(&object).unwrap();
    assert!(matches!(new.add("b", &new_session(1, "fr")), Err(Error::InUse { .. })));
    assert_eq!(new.find("a").unwrap(), Some(new_session(0, "en")));
    drop((old, new));
    // In another one.
    let child = Child::start("hold", &[&object.name().to_string()]);
    assert_eq!(child.line().as_deref(), Some("open"));
    let new = open::<second::Session>(&object).unwrap();
    assert!(matches!(new.add("b", &new_session(1, "fr")), Err(Error::InUse { .. })));
    assert_eq!(new.len().unwrap(), 1);
    drop(child);
    new.add("b", &new_session(1, "fr")).unwrap();
    assert_eq!(new.find("b").unwrap(), Some(new_session(1, "fr")));
}

#[test]
#[ignore = "runs in the children of the other tests"]
fn child() {
    let Some((_, arguments)) = part() else { return };
    let shm = Shm::open(&arguments[0].parse().unwrap()).unwrap();
    let tab: HashTable<String, first::Session> = HashTable::manage(shm, Locking::Futex).unwrap();
    println!("> open");
    loop {
        tab.find("a").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_mismatch_shows_both_types_and_the_difference() {
    let object = Scratch::posix("evolution-mismatch");
    drop(open::<first::Session>(&object).unwrap());
    let Err(error) = HashTable::<String, (u64, String)>::manage(object.open(), Locking::Futex) else { panic!() };
    let text = error.to_string();
    for part in [&object.name().to_string(), "Session { user: u64, name: String }", "(u64, String)", "^"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(matches!(Table::manage(object.open(), Locking::Futex), Err(Error::SchemaMismatch { .. })));
    let Err(error) = netshm::Array::<u8>::manage(object.open(), 0, Locking::Futex) else { panic!() };
    assert!(error.to_string().contains("Array<u8>"), "{error}");
}

#[test]
fn a_read_only_program_of_the_new_version_reads_the_old_object() {
    let object = Scratch::posix("evolution-read-only");
    let old = open::<first::Session>(&object).unwrap();
    old.add("a", &old_session()).unwrap();
    let shm = Shm::options().read_only(true).open(object.name()).unwrap();
    let new: HashTable<String, second::Session> = HashTable::manage(shm, Locking::Futex).unwrap();
    assert_eq!(new.find("a").unwrap(), Some(new_session(0, "en")));
    assert!(matches!(new.add("b", &new_session(0, "")), Err(Error::ReadOnly { .. })));
}

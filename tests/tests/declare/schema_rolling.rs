//! Programs of several versions of a type that use one object side by side.

use netshm::dynamic::{DynTable, Value};
use netshm::{Error, HashTable, Locking, Result, Shm, ShmData, group};
use netshm_tests::Scratch;

/// Versions of one struct, each with a further field.
pub(crate) mod versions {
    macro_rules! version {
        ($name:ident: $($(#[$default:meta])* $field:ident: $of:ty,)*) => {
            pub(crate) mod $name {
                #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
                pub(crate) struct Row { $($(#[$default])* pub(crate) $field: $of,)* }
            }
        };
    }
    version!(first: name: String, a: u64,);
    version!(second: name: String, a: u64, #[shm(default)] b: u64,);
    version!(third: name: String, a: u64, #[shm(default)] b: u64, #[shm(default)] c: Vec<String>,);
    // Another successor of the first.
    version!(branch: name: String, a: u64, #[shm(default)] z: u64,);
    pub(super) mod numbers {
        version!(first: a: u64,);
        version!(second: a: u64, #[shm(default)] b: u64,);
    }
    pub(super) mod empty {
        version!(first:);
        version!(second: #[shm(default)] b: u64,);
    }
}
use versions::{branch, first, numbers, second, third};

mod states {
    pub(super) mod first {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
        pub(crate) enum State {
            Idle,
            Running(u32),
        }
    }
    pub(super) mod second {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
        pub(crate) enum State {
            Idle,
            Running(u32),
            Failed { why: String },
        }
    }
    pub(super) mod branch {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
        pub(crate) enum State {
            Idle,
            Running(u32),
            Done { at: u64 },
        }
    }
}

pub(crate) const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

fn open<V: ShmData>(object: &Scratch) -> HashTable<u64, V> {
    open_with(object, Locking::Futex)
}

pub(crate) fn open_with<V: ShmData>(object: &Scratch, locking: Locking) -> HashTable<u64, V> {
    HashTable::options().locking(locking).stripes(2).manage(object.open()).unwrap()
}

fn old(a: u64) -> first::Row {
    first::Row { name: "Ada".to_owned(), a }
}

fn new(a: u64, b: u64) -> second::Row {
    second::Row { name: "Ada".to_owned(), a, b }
}

fn newest(a: u64, b: u64, c: &[&str]) -> third::Row {
    third::Row { name: "Ada".to_owned(), a, b, c: c.iter().map(|&text| text.to_owned()).collect() }
}

#[track_caller]
fn mismatch<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::SchemaMismatch { .. })), "{outcome:?}");
}

#[test]
fn what_an_old_program_does_not_know_it_carries_on() {
    for locking in METHODS {
        let object = Scratch::posix("rolling-tails");
        let (one, two): (HashTable<u64, first::Row>, _) =
            (open_with(&object, locking), open_with::<second::Row>(&object, locking));
        one.add(&1, &old(1)).unwrap();
        assert_eq!(two.find(&1).unwrap(), Some(new(1, 0)));
        two.add(&2, &new(2, 20)).unwrap();
        two.replace(&1, &new(1, 10)).unwrap();
        // All ways to read.
        assert_eq!(one.find(&1).unwrap(), Some(old(1)));
        assert_eq!(one.find_all(&2).unwrap(), [old(2)]);
        assert_eq!(one.find_many([&1, &2, &3]).unwrap(), [Some(old(1)), Some(old(2)), None]);
        assert_eq!(one.scan().collect::<Result<Vec<_>>>().unwrap().len(), 2);
        assert_eq!(one.values().map(|row| row.unwrap().a).sum::<u64>(), 3);
        assert_eq!(one.fold(0, |sum, _, row| sum + row.a).unwrap(), 3);
        assert_eq!(group!(one => { one.find(&2)? }).unwrap(), Some(old(2)));
        assert!(one.check().unwrap().is_clean() && two.check().unwrap().is_clean());
        // All ways to change a binding.
        one.replace(&1, &old(3)).unwrap();
        assert_eq!(two.find(&1).unwrap(), Some(new(3, 10)));
        one.update(&2, |row| Some(old(row.unwrap().a * 2))).unwrap();
        assert_eq!(two.find(&2).unwrap(), Some(new(4, 20)));
        one.replace(&2, &first::Row { name: "a much longer name than there was before".repeat(20), a: 5 }).unwrap();
        assert_eq!(two.find(&2).unwrap().unwrap().b, 20);
        one.replace(&2, &first::Row { name: String::new(), a: 6 }).unwrap();
        assert_eq!(two.find(&2).unwrap(), Some(second::Row { name: String::new(), a: 6, b: 20 }));
        group!(one => {
            one.replace(&2, &old(7))?;
            one.update(&2, |row| row.map(|row| old(row.a + 1)))?;
        })
        .unwrap();
        assert_eq!(two.find(&2).unwrap(), Some(new(8, 20)));
        assert_eq!(one.get_or_insert_with(&2, || old(0)).unwrap(), old(8));
        assert_eq!(one.swap(&2, &old(7)).unwrap(), Some(old(8)));
        assert_eq!(one.compare_exchange(&2, &old(8), &old(9)).unwrap(), Err(Some(old(7))));
        assert_eq!(one.compare_exchange(&2, &old(7), &old(8)).unwrap(), Ok(()));
        assert_eq!(two.find(&2).unwrap(), Some(new(8, 20)));
        // What begins anew has what the new program takes by default.
        one.add(&2, &old(9)).unwrap();
        assert_eq!(two.find_all(&2).unwrap(), [new(9, 0), new(8, 20)]);
        assert_eq!(one.pop(&2).unwrap(), Some(old(9)));
        one.replace(&2, &old(10)).unwrap();
        assert_eq!(two.find(&2).unwrap(), Some(new(10, 20)));
        assert!(one.remove(&2).unwrap() && one.add_if_absent(&2, &old(11)).unwrap());
        assert_eq!(two.find(&2).unwrap(), Some(new(11, 0)));
        assert!(one.check().unwrap().is_clean() && two.check().unwrap().is_clean());
    }
}

#[test]
fn an_old_program_opens_what_a_newer_one_has_extended() {
    let object = Scratch::posix("rolling-downgrade");
    open::<first::Row>(&object).add(&1, &old(1)).unwrap();
    open::<second::Row>(&object).replace(&1, &new(1, 10)).unwrap();
    open::<third::Row>(&object).replace(&1, &newest(1, 10, &["x"])).unwrap();
    let one = open::<first::Row>(&object);
    assert_eq!(one.find(&1).unwrap(), Some(old(1)));
    one.replace(&1, &old(2)).unwrap();
    one.add(&2, &old(2)).unwrap();
    assert!(one.check().unwrap().is_clean());
    drop(one);
    let read_only = Shm::options().read_only(true).open(object.name()).unwrap();
    let two: HashTable<u64, second::Row> = HashTable::options().manage(read_only).unwrap();
    assert_eq!(two.find(&1).unwrap(), Some(new(2, 10)));
    assert_eq!(two.scan().count(), 2);
    drop(two);
    let two = open::<second::Row>(&object);
    two.replace(&1, &new(3, 30)).unwrap();
    two.replace(&2, &new(3, 30)).unwrap();
    drop(two);
    let three = open::<third::Row>(&object);
    assert_eq!(three.find(&1).unwrap(), Some(newest(3, 30, &["x"])));
    assert_eq!(three.find(&2).unwrap(), Some(newest(3, 30, &[])));
}

#[test]
fn an_old_program_opens_what_a_newer_one_has_created() {
    for locking in METHODS {
        let object = Scratch::posix("rolling-created");
        let three: HashTable<u64, third::Row> = open_with(&object, locking);
        three.add(&1, &newest(1, 10, &["x"])).unwrap();
        assert!(stored(&object).contains("Row { name: String, a: u64, b: u64 = .., c: Vec<String> = .. }"));
        // Reading changes nothing.
        let read_only = Shm::options().read_only(true).open(object.name()).unwrap();
        let one: HashTable<u64, first::Row> = HashTable::options().manage(read_only).unwrap();
        assert_eq!(one.find(&1).unwrap(), Some(old(1)));
        assert_eq!(one.scan().collect::<Result<Vec<_>>>().unwrap(), [(1, old(1))]);
        let (one, two): (HashTable<u64, first::Row>, _) =
            (open_with(&object, locking), open_with::<second::Row>(&object, locking));
        assert_eq!(two.find(&1).unwrap(), Some(new(1, 10)));
        assert!(stored(&object).contains("b: u64 = .., c: Vec<String> = .."));
        two.replace(&1, &new(2, 20)).unwrap();
        two.add(&2, &new(2, 20)).unwrap();
        assert!(stored(&object).contains("b: u64 = .., c?: Vec<String> }"));
        one.replace(&1, &old(3)).unwrap();
        one.add(&3, &old(3)).unwrap();
        assert!(stored(&object).contains("b?: u64, c?: Vec<String> }"));
        for three in [three, open_with(&object, locking)] {
            let rows = [1, 2, 3].map(|key| three.find(&key).unwrap().unwrap());
            assert_eq!(rows, [newest(3, 20, &["x"]), newest(2, 20, &[]), newest(3, 0, &[])]);
            assert!(three.check().unwrap().is_clean());
        }
        assert_eq!(one.fold(0, |sum, _, row| sum + row.a).unwrap(), 8);
        assert!(one.check().unwrap().is_clean() && two.check().unwrap().is_clean());
    }
    // Numbers, which the newer type has in records, and the older one would have in buckets.
    let object = Scratch::posix("rolling-created");
    let two: HashTable<u64, numbers::second::Row> = open(&object);
    two.add(&1, &numbers::second::Row { a: 1, b: 2 }).unwrap();
    let one: HashTable<u64, numbers::first::Row> = open(&object);
    one.update(&1, |row| row.map(|row| numbers::first::Row { a: row.a + 1 })).unwrap();
    (2..50).for_each(|key| one.add(&key, &numbers::first::Row { a: key }).unwrap());
    assert_eq!(two.find(&1).unwrap(), Some(numbers::second::Row { a: 2, b: 2 }));
    assert_eq!(two.fold(0, |sum, _, row| sum + row.a + row.b).unwrap(), (2..50).sum::<u64>() + 4);
    assert!(one.check().unwrap().is_clean() && two.check().unwrap().is_clean());
}

fn stored(object: &Scratch) -> String {
    object.open().describe().unwrap().schema.to_string()
}

/// A program that needs a field that the first one has a default for, and one that does not know it, exclude each other: the first
/// to write wins.
#[test]
fn a_field_may_be_needed_or_unknown_but_not_both() {
    mod needing {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
        pub(super) struct Row {
            pub(super) name: String,
            pub(super) a: u64,
            pub(super) b: u64,
        }
    }
    for needing_is_first in [true, false] {
        let object = Scratch::posix("rolling-needed");
        let two = open::<second::Row>(&object);
        two.add(&1, &new(1, 10)).unwrap();
        let (one, needing) = (open::<first::Row>(&object), open::<needing::Row>(&object));
        assert_eq!(needing.find(&1).unwrap().unwrap().b, 10);
        assert_eq!(one.find(&1).unwrap(), Some(old(1)));
        if needing_is_first {
            needing.replace(&1, &needing::Row { b: 11, ..needing::Row::default() }).unwrap();
            mismatch(one.add(&2, &old(2)));
            mismatch(one.find(&1));
            mismatch(HashTable::<u64, first::Row>::manage(object.open(), Locking::Futex));
            assert_eq!(two.find(&1).unwrap().unwrap().b, 11);
        } else {
            one.add(&2, &old(2)).unwrap();
            mismatch(needing.add(&3, &needing::Row::default()));
            mismatch(needing.find(&1));
            mismatch(HashTable::<u64, needing::Row>::manage(object.open(), Locking::Futex));
            assert_eq!(two.find(&2).unwrap(), Some(new(2, 0)));
        }
        two.replace(&1, &new(5, 5)).unwrap();
        assert!(two.check().unwrap().is_clean());
    }
}

#[test]
fn numbers_in_buckets_get_further_words() {
    let object = Scratch::posix("rolling-pairs");
    let one: HashTable<u64, numbers::first::Row> = open(&object);
    let two: HashTable<u64, numbers::second::Row> = open(&object);
    let (old, new) = (|a| numbers::first::Row { a }, |a, b| numbers::second::Row { a, b });
    (0..100).for_each(|key| one.add(&key, &old(key)).unwrap());
    (0..100).step_by(3).for_each(|key| two.replace(&key, &new(key, 7)).unwrap());
    for key in 0..100 {
        one.update(&key, |row| row.map(|row| old(row.a + 1))).unwrap();
    }
    (0..100).for_each(|key| one.replace(&key, &old(one.find(&key).unwrap().unwrap().a + 1)).unwrap());
    // Values are equal if they are so for the program.
    for key in 0..100 {
        let b = if key % 3 == 0 { 7 } else { 0 };
        assert_eq!(two.compare_exchange(&key, &new(key + 2, b), &new(key, b)).unwrap(), Ok(()));
        assert_eq!(one.compare_exchange(&key, &old(key), &old(key + 2)).unwrap(), Ok(()));
    }
    for key in 0..100 {
        assert_eq!(two.find(&key).unwrap(), Some(new(key + 2, if key % 3 == 0 { 7 } else { 0 })));
    }
    assert_eq!(one.fold(0, |sum, _, row| sum + row.a).unwrap(), (0..100).sum::<u64>() + 200);
    assert!(one.check().unwrap().is_clean() && two.check().unwrap().is_clean());
}

#[test]
fn a_struct_without_fields_gets_some() {
    let object = Scratch::posix("rolling-empty");
    let one: HashTable<u64, versions::empty::first::Row> = open(&object);
    one.add(&1, &versions::empty::first::Row {}).unwrap();
    let two: HashTable<u64, versions::empty::second::Row> = open(&object);
    two.add(&2, &versions::empty::second::Row { b: 2 }).unwrap();
    one.replace(&2, &versions::empty::first::Row {}).unwrap();
    assert_eq!(two.find(&1).unwrap().unwrap().b + two.find(&2).unwrap().unwrap().b, 2);
    drop((one, two));
    assert!(open::<versions::empty::first::Row>(&object).contains(&1).unwrap());
}

#[test]
fn an_enum_gets_variants_that_old_programs_do_not_know() {
    use states::{branch, first, second};
    let object = Scratch::posix("rolling-variants");
    let (one, two) = (open::<first::State>(&object), open::<second::State>(&object));
    one.add(&1, &first::State::Running(3)).unwrap();
    two.add(&2, &second::State::Failed { why: "tired".to_owned() }).unwrap();
    let again = open::<first::State>(&object);
    for one in [one, again] {
        assert_eq!(one.find(&1).unwrap(), Some(first::State::Running(3)));
        assert!(matches!(one.find(&2), Err(Error::Decode { .. })));
        // The rest is there, and the unknown is no damage.
        assert_eq!(one.scan().filter_map(Result::ok).count(), one.len().unwrap() - 1);
        assert!(one.check().unwrap().is_clean());
        one.replace(&3, &first::State::Idle).unwrap();
    }
    let failed = Some(second::State::Failed { why: "tired".to_owned() });
    assert_eq!((two.find(&2).unwrap(), two.find(&3).unwrap()), (failed, Some(second::State::Idle)));
    mismatch(HashTable::<u64, branch::State>::manage(object.open(), Locking::Futex));
}

#[test]
fn of_two_programs_that_add_different_fields_the_first_to_write_wins() {
    for (reads_before, in_group) in [(false, false), (true, false), (false, true), (true, true)] {
        let object = Scratch::posix("rolling-branch");
        let one = open::<first::Row>(&object);
        one.add(&1, &old(1)).unwrap();
        let (two, other) = (open::<second::Row>(&object), open::<branch::Row>(&object));
        if reads_before {
            assert_eq!(other.find(&1).unwrap().unwrap().z, 0);
            assert_eq!(two.find(&1).unwrap(), Some(new(1, 0)));
        }
        two.replace(&1, &new(1, 10)).unwrap();
        // Nothing is read as what it is not, in whatever way.
        if in_group {
            mismatch(other.group(|| other.find(&1)));
            mismatch(other.group(|| other.update(&1, |row| panic!("{row:?}"))));
            mismatch(other.group(|| other.pop(&1)));
        }
        mismatch(other.find(&1));
        mismatch(other.find_many([&1]));
        mismatch(other.find_all(&1));
        mismatch(other.scan().collect::<Result<Vec<_>>>());
        mismatch(other.for_each(|key, row| panic!("{key}: {row:?}")));
        mismatch(other.update(&1, |row| panic!("{row:?}")));
        mismatch(other.replace(&1, &branch::Row::default()));
        mismatch(other.pop(&1));
        mismatch(other.check());
        drop(other);
        mismatch(HashTable::<u64, branch::Row>::manage(object.open(), Locking::Futex));
        assert_eq!(two.find(&1).unwrap(), Some(new(1, 10)));
        assert_eq!(one.find(&1).unwrap(), Some(old(1)));
    }
}

#[test]
fn workers_of_one_program_extend_the_type_once() {
    let object = Scratch::posix("rolling-workers");
    open::<first::Row>(&object).add(&1, &old(1)).unwrap();
    let workers = [open::<second::Row>(&object), open(&object), open(&object)];
    workers.iter().for_each(|worker| assert_eq!(worker.find(&1).unwrap(), Some(new(1, 0))));
    for (key, worker) in (2..).zip(&workers) {
        worker.add(&key, &new(key, key)).unwrap();
    }
    for worker in &workers {
        assert_eq!(worker.fold(0, |sum, _, row| sum + row.b).unwrap(), 9);
    }
}

#[test]
fn dynamic_tables_learn_the_new_type() {
    let object = Scratch::posix("rolling-dynamic");
    let one = open::<first::Row>(&object);
    one.add(&1, &old(1)).unwrap();
    let dynamic = DynTable::open(object.open()).unwrap();
    let given = DynTable::options().manage(object.open(), dynamic.schema().clone()).unwrap();
    let mut shown = dynamic.find(&Value::from(1)).unwrap().unwrap();
    let two = open::<second::Row>(&object);
    two.replace(&1, &new(1, 10)).unwrap();
    assert_eq!(one.find(&1).unwrap(), Some(old(1)));
    // A value of the old form lacks the field: it is another value.
    dynamic.replace(&Value::from(2), &shown).unwrap();
    assert_eq!(two.find(&2).unwrap(), Some(new(1, 0)));
    for table in [dynamic, given, DynTable::open(object.open()).unwrap()] {
        shown = table.find(&Value::from(1)).unwrap().unwrap();
        assert!(format!("{shown:?}").contains("\"b\""), "{shown:?}");
        assert!(table.schema().to_string().contains("b?: u64"), "{}", table.schema());
        table.add(&Value::from(3), &shown).unwrap();
        assert_eq!(two.find(&3).unwrap(), Some(new(1, 10)));
        table.replace(&Value::from(1), &shown).unwrap();
        assert_eq!(table.swap(&Value::from(1), &shown).unwrap().as_ref(), Some(&shown));
        assert_eq!(table.compare_exchange(&Value::from(1), &shown, &shown).unwrap(), Ok(()));
        assert_eq!(two.find(&1).unwrap(), Some(new(1, 10)));
        assert_eq!(table.scan().filter_map(Result::ok).count(), table.len().unwrap());
        assert!(table.check().unwrap().is_clean());
    }
    // One that was given the old type finds the newer one as it opens the object.
    let old_type = "HashTable<u64, Row { name: String, a: u64 }>".parse().unwrap();
    let given = DynTable::options().manage(object.open(), old_type).unwrap();
    given.replace(&Value::from(1), &shown).unwrap();
    assert_eq!(two.find(&1).unwrap(), Some(new(1, 10)));
}

#[test]
fn members_with_names_are_extended_each_by_itself() {
    let object = Scratch::posix("rolling-members");
    let shm = object.open();
    fn member<V: ShmData>(shm: &Shm, name: &str) -> HashTable<u64, V> {
        HashTable::options().named(name).manage(shm.clone()).unwrap()
    }
    let (one, other) = (member::<first::Row>(&shm, "one"), member::<first::Row>(&shm, "other"));
    one.add(&1, &old(1)).unwrap();
    other.add(&1, &old(1)).unwrap();
    let two = member::<second::Row>(&shm, "one");
    two.replace(&1, &new(1, 10)).unwrap();
    one.replace(&1, &old(2)).unwrap();
    other.replace(&1, &old(2)).unwrap();
    assert_eq!(two.find(&1).unwrap(), Some(new(2, 10)));
    assert_eq!(member::<branch::Row>(&shm, "other").find(&1).unwrap().unwrap().z, 0);
    assert!(two.check().unwrap().is_clean());
}

//! Extending the stored schema, stopped after every store.

use std::fs;

use super::{Case, METHODS};
use crate::ShmData;
use crate::error::Result;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::shm::Shm;
use crate::testing::{Image, Scratch};

#[derive(ShmData, Clone, Debug, PartialEq)]
#[shm(crate = crate, rename = "Row")]
struct First {
    a: u64,
}

#[derive(ShmData, Clone, Debug, PartialEq)]
#[shm(crate = crate, rename = "Row")]
struct Second {
    a: u64,
    #[shm(default)]
    b: u64,
}

#[derive(ShmData, Clone, Debug, PartialEq)]
#[shm(crate = crate, rename = "Row")]
struct Third {
    a: u64,
    #[shm(default)]
    b: u64,
    #[shm(default)]
    long_enough_for_the_text_to_fill_its_run_up_to_the_end: Vec<Option<(u64, i64, String)>>,
}

type Rows<V> = HashTable<u64, V>;

fn open<V: ShmData>(shm: Shm, locking: Locking) -> Result<Rows<V>> {
    Rows::options().locking(locking).stripes(1).slots(2).init(1).max_size(1 << 26).manage(shm)
}

fn dump<V: ShmData>(table: &Rows<V>) -> Result<Vec<(u64, V)>> {
    let mut all = table.scan().collect::<Result<Vec<_>>>()?;
    all.sort_by_key(|(key, _)| *key);
    Ok(all)
}

/// Programs of the type `Old` and of the type `New`, which extends it, find what the death of one of the latter leaves.
fn extend<Old: ShmData + PartialEq + std::fmt::Debug, New: ShmData + PartialEq + std::fmt::Debug>(
    prepared: &[u8],
    locking: Locking,
    old: &Old,
    new: &New,
) -> Vec<u8> {
    let open_new = |shm| open::<New>(shm, locking);
    let case = Case {
        name: format!("extend the schema, {locking}"),
        open: &open_new,
        prepare: &|_| Ok(()),
        act: &|table: &Rows<New>| table.replace(&3, new),
        dump: &dump::<New>,
        check: &Rows::<New>::check,
    };
    let prepared = &Image::of(prepared);
    let both = case.both(prepared);
    for step in 0.. {
        let copy = Scratch::new();
        let stopped = case.stopped(prepared, &copy, step);
        let left = fs::read(&copy.0).unwrap();
        // What can be learnt without recovering anything is what was committed.
        let name = crate::name::ShmName::file(&copy.0).unwrap();
        let read_only = || Shm::options().read_only(true).open(&name).unwrap();
        let described = read_only().describe().unwrap_or_else(|error| panic!("{}, step {step}: {error}", case.name));
        assert!(open::<New>(read_only(), locking).is_ok(), "{}, step {step}: {}", case.name, described.schema);
        assert_eq!(fs::read(&copy.0).unwrap(), left);
        // The older program goes on.
        let table =
            open::<Old>(copy.open(), locking).unwrap_or_else(|error| panic!("{}, step {step}: {error}", case.name));
        assert!(table.check().unwrap().is_clean());
        assert_eq!(dump(&table).unwrap().len(), both[0].len());
        table.replace(&8, old).unwrap();
        drop(table);
        assert_eq!(copy.open().describe().unwrap().schema, described.schema);
        assert!(open::<Old>(read_only(), locking).is_ok(), "{}, step {step}", case.name);
        // And the newer one, which finds it first.
        Image::of(&left).write(&copy.0);
        case.found(&copy, &both, step);
        if !stopped {
            assert!(step > 20);
            return left;
        }
    }
    unreachable!("the operation ends some time")
}

#[test]
fn extending_the_schema() {
    for locking in METHODS {
        let copy = Scratch::new();
        let table = open::<First>(copy.open(), locking).unwrap();
        (0..9).try_for_each(|key| table.add(&key, &First { a: key })).unwrap();
        drop(table);
        let first = fs::read(&copy.0).unwrap();
        let second = extend::<First, Second>(&first, locking, &First { a: 3 }, &Second { a: 3, b: 4 });
        // The second time the run of the older text is given back.
        let new = Third { a: 3, b: 4, long_enough_for_the_text_to_fill_its_run_up_to_the_end: vec![None] };
        extend::<Second, Third>(&second, locking, &Second { a: 3, b: 4 }, &new);
    }
}

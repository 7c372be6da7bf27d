//! Operations that replace an object, need long logs, or reach far into an array.

use std::fs;

use super::{Case, METHODS, STOPPED};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::os::fork::tests::status_of_child;
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::{Directory, Scratch};

type Pairs = HashTable<u64, u64>;
type Texts = HashTable<String, String>;

/// A log of several segments, which is cut afterwards.
#[test]
fn a_long_log() {
    let open = |shm: Shm| Pairs::options().stripes(2).slots(2).init(1).max_size(1 << 26).manage(shm);
    let dump = |table: &Pairs| {
        let mut all = table.scan().collect::<Result<Vec<_>>>()?;
        all.sort_unstable();
        Ok(all)
    };
    let act = |table: &Pairs| {
        table.group(|| {
            for key in 0..500 {
                table.replace(&key, &7)?;
                table.add(&(key + 1000), &key)?;
            }
            (0..200).try_for_each(|key| table.remove(&key).map(drop))?;
            (0..200).try_for_each(|key| table.replace(&key, &8))
        })
    };
    let prepare = |table: &Pairs| (0..300).try_for_each(|key| table.add(&key, &key));
    let name = "a long log".to_owned();
    Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &Pairs::check }.run_each(83);
}

/// Directories that grow in height, and are cut.
#[test]
fn heights() {
    const SPOTS: [usize; 5] = [0, 40_000, 3_000_000, 200_000_000, 40_000_000_000];
    let open = |shm: Shm| Array::<u64>::options().stripes(2).slots(2).max_size(1 << 26).manage(shm, 5);
    let dump = |array: &Array<u64>| {
        let length = array.len()?;
        let spots = SPOTS.iter().filter(|spot| **spot < length);
        Ok((length, spots.map(|spot| array.get(*spot)).collect::<Result<Vec<_>>>()?))
    };
    for (low, high) in [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)] {
        let prepare = |array: &Array<u64>| {
            array.resize(50_000_000_000)?;
            array.set(SPOTS[low], &1)
        };
        let act = |array: &Array<u64>| array.set(SPOTS[high], &2);
        let name = format!("height {low} to {high}");
        let check = Array::<u64>::check;
        Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &check }.run_each(3);
        let prepare = |array: &Array<u64>| {
            prepare(array)?;
            array.set(SPOTS[high], &1)
        };
        let act = |array: &Array<u64>| array.resize(SPOTS[low] + 3);
        let name = format!("cut from {high} to {low}");
        Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &check }.run_each(13);
    }
}

/// An object that is recreated with another type is the old one, or a new one that is empty.
#[test]
fn recreation() {
    for step in 0.. {
        let copy = Scratch::new();
        let table = Pairs::options().stripes(2).slots(2).manage(copy.open()).unwrap();
        (0..100).for_each(|key| table.add(&key, &key).unwrap());
        drop(table);
        let open = || Texts::options().stripes(4).slots(3).recreate(true).manage(copy.open());
        let status = status_of_child(|| {
            steps::stop_after(Some(step));
            let outcome = open();
            steps::stop_after(None);
            if outcome.is_ok() { 0 } else { 3 }
        });
        assert!(matches!(status, 0 | STOPPED), "step {step}: {status}");
        match Pairs::manage(copy.open(), Locking::Futex) {
            Ok(old) => {
                let keys = old.len().unwrap();
                assert!([0, 100].contains(&keys) && old.check().unwrap().is_clean(), "step {step}: {keys}");
            }
            Err(error) => assert!(matches!(error, Error::SchemaMismatch { .. }), "step {step}: {error}"),
        }
        let table = open().unwrap();
        assert!(table.is_empty().unwrap() && table.check().unwrap().is_clean(), "step {step}");
        if status == 0 {
            break;
        }
    }
}

/// A repair that is stopped has changed nothing, or is done. What it leaves beside the object is deleted by the next one.
#[test]
fn repair() {
    let directory = Directory::new();
    let name = directory.name("object");
    let files = || fs::read_dir(directory.path("")).unwrap().count();
    let mut left = 0;
    for step in (0..).step_by(41) {
        let _ = fs::remove_file(directory.path("object"));
        let new = Shm::options().create(true).open(&name).unwrap();
        let table = Texts::options().stripes(2).slots(2).manage(new).unwrap();
        (0..30).for_each(|i| table.add(&i.to_string(), &"v".repeat(i * 50)).unwrap());
        drop(table);
        let status = status_of_child(|| {
            steps::stop_after(Some(step));
            let outcome = crate::repair(&name);
            steps::stop_after(None);
            if outcome.is_ok() { 0 } else { 3 }
        });
        assert!(matches!(status, 0 | STOPPED), "step {step}: {status}");
        let table = Texts::manage(Shm::open(&name).unwrap(), Locking::Futex).unwrap();
        assert_eq!(table.len().unwrap(), 30, "step {step}");
        assert!(table.check().unwrap().is_clean(), "step {step}");
        assert!(files() <= 2, "step {step}: what repairs have left piles up");
        left += files() - 1;
        if status == 0 {
            break;
        }
    }
    assert!(left > 0, "no repair was stopped before its end");
    assert_eq!(files(), 1);
}

/// Rows that are changed by the stored schema, without their types.
#[test]
fn dynamic_rows() {
    use crate::dynamic::{DynTable, Value};
    for locking in METHODS {
        let create =
            |shm: Shm| Texts::options().locking(locking).stripes(2).slots(2).init(1).max_size(1 << 26).manage(shm);
        let open = |shm: Shm| {
            let typed = create(shm)?;
            DynTable::open(Shm::open(typed.shm().name())?)
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let prepare = |table: &DynTable| {
            (0..12).try_for_each(|i: usize| table.add(&text(&i.to_string()), &text(&"v".repeat(i * 30))))
        };
        let act = |table: &DynTable| {
            table.group(|| {
                table.remove(&text("3"))?;
                table.replace(&text("4"), &text(&"w".repeat(3000)))?;
                table.add(&text("new"), &text("x"))
            })
        };
        let dump = |table: &DynTable| {
            let keys = (0..12).map(|i| i.to_string()).chain(["new".to_owned()]);
            keys.map(|key| Ok(format!("{:?}", table.find(&text(&key))?))).collect::<Result<Vec<_>>>()
        };
        let name = format!("dynamic rows, {locking}");
        Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &DynTable::check }.run_each(7);
    }
}

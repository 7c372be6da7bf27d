//! Dying while recovering from a death, and while creating.

use std::fs;

use super::{Case, METHODS, STOPPED, stride_for};
use crate::error::Result;
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::os::fork::tests::status_of_child;
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::{Image, Scratch};

type Texts = HashTable<String, String>;

/// After every third step of a group, whoever recovers it is stopped after every single step of its own; after some of them each
/// time, unless all are to be tried.
#[test]
fn recovery() {
    for locking in METHODS {
        let open =
            move |shm: Shm| Texts::options().locking(locking).stripes(2).slots(2).init(1).max_size(1 << 26).manage(shm);
        let dump = |table: &Texts| {
            let mut all = table.scan().collect::<Result<Vec<_>>>()?;
            all.sort();
            Ok(all)
        };
        let case = Case {
            name: format!("recovery, {locking}"),
            open: &open,
            prepare: &|table: &Texts| (0..9).try_for_each(|number| table.add(&number.to_string(), "v")),
            act: &|table: &Texts| {
                group!(retry table => {
                    table.remove("1")?;
                    table.add("2", &"w".repeat(3000))?;
                    table.replace("3", "x")?;
                })
            },
            dump: &dump,
            check: &Texts::check,
        };
        let prepared = case.prepared();
        let prepared = Image::of(&prepared);
        let both = case.both(&prepared);
        for first in (0..).step_by(3) {
            let copy = Scratch::new();
            if !case.stopped(&prepared, &copy, first) {
                assert!(first > 30);
                break;
            }
            let left = fs::read(&copy.0).unwrap();
            let left = Image::of(&left);
            let stride = stride_for(locking, 2);
            for second in (first % stride..).step_by(stride as usize) {
                let copy = Scratch::new();
                left.write(&copy.0);
                let status = status_of_child(|| {
                    steps::stop_after(Some(second));
                    let outcome = (case.open)(copy.open()).and_then(|table| (case.dump)(&table));
                    steps::stop_after(None);
                    if outcome.is_ok() { 0 } else { 3 }
                });
                assert!(matches!(status, 0 | STOPPED), "{}, steps {first}, {second}: {status}", case.name);
                case.found(&copy, &both, first * 1000 + second);
                if status == 0 {
                    break;
                }
            }
        }
    }
}

/// Whoever comes after a creator that died creates the object, or uses what is there.
#[test]
fn creation() {
    for locking in METHODS {
        let open = move |shm: Shm| Texts::options().locking(locking).stripes(2).slots(2).max_size(1 << 26).manage(shm);
        for step in 0.. {
            let copy = Scratch::new();
            let status = status_of_child(|| {
                steps::stop_after(Some(step));
                let outcome = open(copy.open());
                steps::stop_after(None);
                if outcome.is_ok() { 0 } else { 3 }
            });
            assert!(matches!(status, 0 | STOPPED), "{locking}, step {step}: {status}");
            let table = open(copy.open()).unwrap();
            assert!(table.is_empty().unwrap());
            table.add("k", "v").unwrap();
            assert!(table.check().unwrap().is_clean());
            if status == 0 {
                assert!(step > 1);
                break;
            }
        }
    }
}

/// The next writer is another process, which must not wait for the dead one.
#[test]
fn every_way_to_meet_a_dead_writer() {
    for locking in [Locking::Record, Locking::Futex] {
        let open =
            move |shm: Shm| Texts::options().locking(locking).stripes(1).slots(2).init(1).max_size(1 << 26).manage(shm);
        let copy = Scratch::new();
        let table = open(copy.open()).unwrap();
        table.add("k", "v").unwrap();
        let ways: [&dyn Fn() -> Result<()>; 6] = [
            &|| table.find("k").map(drop),
            &|| table.replace("k", "w"),
            &|| table.len().map(drop),
            &|| table.scan().try_for_each(|item| item.map(drop)),
            &|| table.clear(),
            &|| group!(table => table.add("k", "v")?),
        ];
        for way in ways {
            table.replace("k", "v").unwrap();
            for step in 0..25 {
                // This process holds the object open all the while, so that opening recovers nothing.
                let status = status_of_child(|| {
                    let Ok(other) = open(copy.open()) else { return 2 };
                    steps::stop_after(Some(step));
                    let _ = other.replace("k", &"long".repeat(100));
                    0
                });
                assert!(matches!(status, 0 | STOPPED), "{locking}, step {step}: {status}");
                way().unwrap();
                let report = table.check().unwrap();
                assert!(report.is_clean(), "{locking}, step {step}: {report}");
            }
        }
    }
}

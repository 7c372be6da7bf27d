//! Copying an object: killed at any step, and beside writers.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{fs, thread};

use super::{METHODS, STOPPED};
use crate::array::Array;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::name::ShmName;
use crate::os::fork::tests::status_of_child;
use crate::os::{pause, steps};
use crate::shm::Shm;
use crate::shm::new_file::tests::NAMED;
use crate::store::open::Header;
use crate::testing::{Directory, Scratch};

type Counts = HashTable<u64, u64>;

fn counts(copy: &Scratch, locking: Locking) -> Counts {
    Counts::options().locking(locking).stripes(2).slots(2).init(1).max_size(1 << 20).manage(copy.open()).unwrap()
}

fn name(copy: &Scratch) -> ShmName {
    ShmName::file(&copy.0).unwrap()
}

/// Opens a copy and checks that it is what it should be; returns its pairs.
fn opened(copy: &Scratch, locking: Locking) -> Vec<(u64, u64)> {
    let shm = Shm::open(name(copy)).unwrap();
    let table = Counts::options().locking(locking).manage(shm).unwrap();
    assert!(!table.stats().unwrap().dirty);
    let report = table.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let mut pairs = Vec::new();
    table.for_each(|key, value| pairs.push((key, value))).unwrap();
    pairs.sort_unstable();
    table.add(&1000, &1).unwrap();
    pairs
}

#[test]
fn killed_at_every_step() {
    for locking in METHODS {
        let original = Scratch::new();
        let table = counts(&original, locking);
        (0..50).for_each(|i| table.add(&i, &i).unwrap());
        for named in [false, true] {
            // Unfinished copies may be left beside the one that is made.
            let directory = Directory::new();
            for step in 0..u64::MAX {
                let copy = Scratch(directory.path(&step.to_string()));
                let status = status_of_child(|| {
                    NAMED.set(named);
                    let shm = original.open();
                    // A handle of its own, so that the child is no owner of the parent's.
                    steps::stop_after(Some(step));
                    let outcome = shm.copy_to(name(&copy));
                    steps::stop_after(None);
                    i32::from(outcome.is_err())
                });
                assert!(matches!(status, 0 | STOPPED), "step {step} ends with {status}");
                assert_eq!(copy.0.exists(), status == 0, "step {step}");
                if status == 0 {
                    assert!(step > 3, "{step} steps are too few to be true");
                    assert_eq!(opened(&copy, locking).len(), 50);
                    let left = fs::read_dir(directory.path("")).unwrap().count() - 1;
                    assert!(if named { left > 0 } else { left == 0 }, "{left} files are left");
                    break;
                }
                assert!(table.check().unwrap().is_clean(), "step {step}");
                table.replace(&step, &step).unwrap();
                table.remove(&(step + 50)).unwrap();
            }
        }
    }
}

#[test]
fn changes_after_the_first_pass_are_there() {
    for locking in METHODS {
        let original = Scratch::new();
        let table = counts(&original, locking);
        let array: Array<u64> = Array::options().named("array").stripes(2).manage(table.shm().clone(), 0).unwrap();
        array.resize(1000).unwrap();
        (0..50).for_each(|i| table.add(&i, &i).unwrap());
        let copy = Scratch::new();
        let (writer, other) = (table.clone(), array.clone());
        pause::once_at("a copy has been made without locks", move || {
            let changes = move || {
                (0..300).for_each(|i| writer.replace(&i, &(i + 1)).unwrap());
                (0..1000).for_each(|i| other.set(i, &7).unwrap());
                let late: Array<u64> =
                    Array::options().named("late").stripes(2).manage(other.shm().clone(), 3).unwrap();
                late.resize(10).unwrap();
            };
            thread::spawn(changes).join().unwrap();
        });
        table.shm().copy_to(name(&copy)).unwrap();
        (0..100).for_each(|i| assert!(table.remove(&i).unwrap()));
        assert_eq!(opened(&copy, locking), (0..300).map(|i| (i, i + 1)).collect::<Vec<_>>());
        let shm = Shm::open(name(&copy)).unwrap();
        let array: Array<u64> = Array::options().named("array").manage(shm.clone(), 0).unwrap();
        assert!((0..1000).all(|i| array.get(i).unwrap() == 7));
        let late: Array<u64> = Array::options().named("late").manage(shm, 3).unwrap();
        assert_eq!((late.len().unwrap(), late.get(9).unwrap()), (10, 3));
    }
}

#[test]
fn a_name_that_is_taken_meanwhile_is_left_alone() {
    for named in [false, true] {
        NAMED.set(named);
        let original = Scratch::new();
        let table = counts(&original, Locking::Futex);
        let copy = Scratch::new();
        let path = copy.0.clone();
        pause::once_at("a copy is about to get its name", move || fs::write(path, b"taken").unwrap());
        let error = table.shm().copy_to(name(&copy)).unwrap_err();
        assert!(error.to_string().contains("File exists"), "{error}");
        assert_eq!(fs::read(&copy.0).unwrap(), b"taken");
        NAMED.set(false);
    }
}

/// The words of those that use the object are not in the copy, and it has an id and a place of its own.
#[test]
fn a_copy_is_nobodys() {
    use crate::layout::header::{DIRTY, FILE, ID};

    let original = Scratch::new();
    let table = counts(&original, Locking::Futex);
    table.add(&1, &1).unwrap();
    let copy = Scratch::new();
    table.shm().copy_to(name(&copy)).unwrap();
    let words = |copy: &Scratch| -> Vec<u64> {
        fs::read(&copy.0).unwrap().as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect()
    };
    let (from, to) = (words(&original), words(&copy));
    let at = |words: &[u64], offset: u64| words[(offset / 8) as usize];
    assert_ne!(at(&from, ID.bytes()), at(&to, ID.bytes()));
    assert_ne!(at(&from, FILE.bytes()), at(&to, FILE.bytes()));
    assert_eq!((at(&from, DIRTY.bytes()), at(&to, DIRTY.bytes())), (1, 0));
    let shm = Shm::open(name(&copy)).unwrap();
    let geometry = Header::read(shm.object()).unwrap().geometry;
    let region = crate::region::Region::map(shm.object().clone(), geometry).unwrap();
    let numbers = 0..=crate::layout::PROCESSES;
    assert!(numbers.clone().all(|number| region.field32(geometry.process(number)).load(Relaxed) == 0));
    assert!((0..geometry.slots).all(|slot| region.field32(geometry.slot(slot).owner()).load(Relaxed) == 0));
    assert!((0..3).all(|stripe| region.field32(geometry.stripe(stripe).lock()).load(Relaxed) == 0));
}

/// An object may have a single slot: whoever writes gets it while runs are copied without locks.
#[test]
fn writers_go_on_while_runs_are_copied() {
    let (copy, made) = (Scratch::new(), Scratch::new());
    let options = || Counts::options().locking(Locking::Futex).stripes(2).slots(1).lock_timeout(Duration::from_secs(5));
    let table = options().manage(copy.open()).unwrap();
    table.add(&1, &1).unwrap();
    let writer = options().manage(copy.open()).unwrap();
    pause::once_at("runs are about to be copied without locks", move || writer.replace(&1, &2).unwrap());
    copy.open().copy_to(name(&made)).unwrap();
    assert_eq!(opened(&made, Locking::Futex), [(1, 2)]);
}

//! The mark of changes that storage may lack, whoever dies.

use std::fs;

use super::{METHODS, STOPPED};
use crate::error::Result;
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::header::{DIRTY, WATCH};
use crate::layout::method::Locking;
use crate::layout::{Geometry, PROCESSES};
use crate::os::fork::tests::status_of_child;
use crate::os::map::tests::FLUSHES;
use crate::os::steps;
use crate::shm::Shm;
use crate::store::open::Header;
use crate::testing::Scratch;

type Texts = HashTable<String, String>;

fn open(copy: &Scratch, locking: Locking) -> Result<Texts> {
    Texts::options().locking(locking).stripes(2).slots(3).init(1).max_size(1 << 26).manage(copy.open())
}

fn mark(copy: &Scratch) -> u64 {
    let bytes = fs::read(&copy.0).unwrap();
    u64::from_ne_bytes(bytes[DIRTY.bytes() as usize..][..8].try_into().unwrap())
}

/// Whoever notes the mark first dies before it is in storage: the next one must not rely on it.
#[test]
fn a_mark_that_nobody_flushed_is_flushed() {
    for locking in METHODS {
        let mut met = false;
        for step in 0..12 {
            let copy = Scratch::new();
            let table = open(&copy, locking).unwrap();
            table.add("k", "v").unwrap();
            table.sync().unwrap();
            assert_eq!(mark(&copy), 0);
            let status = status_of_child(|| {
                let Ok(other) = open(&copy, locking) else { return 2 };
                steps::stop_after(Some(step));
                let _ = other.replace("k", "w");
                0
            });
            assert!(matches!(status, 0 | STOPPED), "{locking}, step {step}: {status}");
            let left = mark(&copy);
            met |= left == 2;
            let before = FLUSHES.get();
            table.replace("k", "x").unwrap();
            assert_eq!(FLUSHES.get() - before, u64::from(left != 1), "{locking}, step {step}: {left}");
            assert_eq!(mark(&copy), 1);
        }
        assert!(met, "{locking}: nobody died between noting the mark and flushing it");
    }
}

/// Returns whether a word means nothing once nobody has the object open.
fn is_of_this_boot(geometry: &Geometry, offset: u64) -> bool {
    let is_in = |start: u64, bytes: u64| (start..start + bytes).contains(&offset);
    is_in(geometry.process(0).bytes(), (u64::from(PROCESSES) + 1) * 4)
        || is_in(WATCH.bytes(), 8)
        || (0..geometry.slots).any(|slot| is_in(geometry.slot(slot).owner().bytes(), 16))
        || (0..=geometry.stripe_room).any(|stripe| is_in(geometry.stripe(stripe).lock().bytes(), 8))
}

/// Writers die and leave runs, logs and locks behind; what is done about them later is a change like any other, so after a
/// sync there is nothing to be done.
#[test]
fn nothing_changes_under_a_clean_mark() {
    for locking in METHODS {
        for step in (0..).step_by(7) {
            let copy = Scratch::new();
            let table = open(&copy, locking).unwrap();
            (0..9).try_for_each(|number| table.add(&number.to_string(), &"v".repeat(3000 * number))).unwrap();
            let status = status_of_child(|| {
                let Ok(other) = open(&copy, locking) else { return 2 };
                steps::stop_after(Some(step));
                let outcome = group!(other => {
                    (0..9).try_for_each(|number| other.remove_all(&number.to_string()).map(drop))?;
                    other.add("new", &"n".repeat(20_000))?;
                });
                steps::stop_after(None);
                if outcome.is_ok() { 0 } else { 3 }
            });
            assert!(matches!(status, 0 | STOPPED), "{locking}, step {step}: {status}");
            table.sync().unwrap();
            assert_eq!(mark(&copy), 0);
            let synced = fs::read(&copy.0).unwrap();
            let geometry = Header::read(Shm::open(copy.open().name()).unwrap().object()).unwrap().geometry;

            // None of this is a change, though it takes slots and locks.
            let read = |table: &Texts| {
                for _ in 0..4 {
                    table.group(|| table.scan().try_for_each(|item| item.map(drop)))?;
                }
                assert!(table.check()?.is_clean());
                table.len()
            };
            read(&table).unwrap();
            assert_eq!(status_of_child(|| open(&copy, locking).and_then(|other| read(&other)).map_or(3, |_| 0)), 0);
            drop(table);
            read(&open(&copy, locking).unwrap()).unwrap();
            assert_eq!(mark(&copy), 0, "{locking}, step {step}");
            let now = fs::read(&copy.0).unwrap();
            assert_eq!(synced.len(), now.len());
            let differ = |offset: &u64| synced[*offset as usize..][..8] != now[*offset as usize..][..8];
            let changed = (0..now.len() as u64 / 8).map(|word| word * 8).filter(differ);
            let changed: Vec<_> = changed.filter(|&offset| !is_of_this_boot(&geometry, offset)).collect();
            assert_eq!(changed, [0_u64; 0], "{locking}, step {step}");
            if status == 0 {
                assert!(step > 100);
                break;
            }
        }
    }
}

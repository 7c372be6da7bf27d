//! What dead writers leave is used again, by whoever comes after them, whatever that one knows of it.

use std::fs;

use super::STOPPED;
use crate::error::Result;
use crate::hash_table::HashTable;
use crate::os::fork::tests::status_of_child;
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::{Random, Scratch};

type Pairs = HashTable<u64, u64>;

/// Opens with few slots, so that the next writer has the slot of the dead one.
fn open(shm: Shm, slots: u32) -> Result<Pairs> {
    Pairs::options().stripes(4).slots(slots).init(1).max_size(1 << 28).manage(shm)
}

/// Changes that number of rows, with about eight log entries each. The content stays the same.
fn change(table: &Pairs, rows: u64) -> Result<()> {
    table.group(|| {
        (0..rows).try_for_each(|key| table.remove(&key).map(drop))?;
        (0..rows).try_for_each(|key| table.add(&key, &key))
    })
}

/// The next owner of a slot needs fewer segments of the log than the dead one, but enough to cut the log.
#[test]
fn a_longer_log() {
    let copy = Scratch::new();
    let table = open(copy.open(), 1).unwrap();
    table.group(|| (0..2000).try_for_each(|key| table.add(&key, &key))).unwrap();
    let before = table.check().unwrap();
    drop(table);
    let status = status_of_child(|| {
        let Ok(table) = open(copy.open(), 1) else { return 2 };
        let _ = table.group(|| {
            (0..2000).try_for_each(|key| table.remove(&key).map(drop))?;
            (0..2000).try_for_each(|key| table.add(&key, &key))?;
            steps::stop_after(Some(0));
            table.remove(&0).map(drop)
        });
        3
    });
    assert_eq!(status, STOPPED);
    let table = open(copy.open(), 1).unwrap();
    change(&table, 500).unwrap();
    let after = table.check().unwrap();
    assert!(after.is_clean(), "{after}");
    assert_eq!((after.keys, after.lost), (before.keys, before.lost));
}

/// However many writers die, of changes of whatever length, nothing is lost.
#[test]
fn many_deaths() {
    const ROWS: u64 = 1200;
    let copy = Scratch::new();
    let table = open(copy.open(), 3).unwrap();
    table.group(|| (0..ROWS).try_for_each(|key| table.add(&key, &key))).unwrap();
    drop(table);
    let mut random = Random::new(7);
    let mut size = 0;
    for death in 0..120 {
        let rows = [20, 300, 700, ROWS][random.below(4) as usize];
        let step = random.below(rows * 26);
        let status = status_of_child(|| {
            let Ok(table) = open(copy.open(), 3) else { return 2 };
            steps::stop_after(Some(step));
            let outcome = change(&table, rows);
            steps::stop_after(None);
            if outcome.is_ok() { 0 } else { 3 }
        });
        assert!(matches!(status, 0 | STOPPED), "death {death}: {status}");
        if death % 10 == 9 {
            let table = open(copy.open(), 3).unwrap();
            let report = table.check().unwrap();
            assert!(report.is_clean(), "after {death} deaths: {report}");
            assert_eq!(report.keys, ROWS);
            drop(table);
        }
        if death == 40 {
            size = fs::metadata(&copy.0).unwrap().len();
        }
    }
    // Room for the log of each slot, at its longest.
    let end = fs::metadata(&copy.0).unwrap().len();
    assert!(end <= size + 3 * (1 << 19), "{end} bytes, {size} after the first deaths");
}

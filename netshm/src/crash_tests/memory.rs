//! Giving memory back, and taking it again: killed at any step, and where there is none.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{METHODS, STOPPED, stride_for};
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::layout::run::{Hole, RunAt, RunHead};
use crate::os::fork::tests::status_of_child;
use crate::os::steps;
use crate::region::Region;
use crate::region::tests::FULL;
use crate::store::open::Header;
use crate::testing::Scratch;

type Texts = HashTable<u64, Vec<u8>>;

fn open(copy: &Scratch, locking: Locking) -> Result<Texts> {
    Texts::options().locking(locking).stripes(2).slots(2).init(1).max_size(4 << 20).manage(copy.open())
}

/// Fills a table with values of several sizes and removes most of them.
fn worn(copy: &Scratch, locking: Locking) -> Texts {
    let table = open(copy, locking).unwrap();
    (0..12).for_each(|i| table.add(&i, &vec![i as u8; 9_000 + 3_000 * i as usize]).unwrap());
    for i in [0, 2, 3, 4, 6, 7, 8, 9, 10] {
        assert!(table.remove(&i).unwrap());
    }
    table
}

/// Checks that what has no memory is noted as a hole, as far as the sums tell.
#[track_caller]
fn assert_noted(copy: &Scratch) {
    let shm = copy.open();
    let geometry = Header::read(shm.object()).unwrap().geometry;
    let region = Region::map(shm.object().clone(), geometry).unwrap();
    let (mut at, mut noted) = (geometry.data_start(), 0);
    let load = |place| region.word(place).unwrap().load(std::sync::atomic::Ordering::Relaxed);
    let end = region.field(geometry.stripe(geometry.meta()).top()).load(std::sync::atomic::Ordering::Relaxed);
    while at < end {
        let head = RunHead(load(at));
        let behind = at + head.pages() * geometry.pagesize;
        if head.is_free() {
            noted += Hole::from_word(load(RunAt(at).hole().bytes()), at, behind).bytes();
        }
        at = behind;
    }
    let data = (end - geometry.data_start()) / 4096 * 4096;
    let file = fs::metadata(&copy.0).unwrap();
    assert!(file.blocks() * 512 + noted >= data, "{} blocks, {noted} bytes of holes, but {data} bytes", file.blocks());
}

#[test]
fn giving_memory_back_is_killed_at_every_step() {
    for locking in METHODS {
        let original = Scratch::new();
        drop(worn(&original, locking));
        let bytes = fs::read(&original.0).unwrap();
        for step in (0..).step_by(stride_for(locking, 1) as usize) {
            let copy = Scratch::new();
            fs::write(&copy.0, &bytes).unwrap();
            let status = status_of_child(|| {
                let Ok(table) = open(&copy, locking) else { return 2 };
                steps::stop_after(Some(step));
                let outcome = table.shm().trim();
                steps::stop_after(None);
                i32::from(outcome.is_err())
            });
            assert!(matches!(status, 0 | STOPPED), "{locking}, step {step}: {status}");
            let table = open(&copy, locking).unwrap();
            // Whatever is left in slots is settled.
            table.sync().unwrap();
            assert_noted(&copy);
            let report = table.check().unwrap();
            assert!(report.is_clean(), "{locking}, step {step}: {report}");
            (0..4).for_each(|i| table.replace(&i, &vec![9; 20_000 * i as usize]).unwrap());
            let report = table.check().unwrap();
            assert!(report.is_clean(), "{locking}, step {step}: {report}");
            drop(table);
            if status == 0 {
                assert!(step > 20, "{step} steps are too few to be true");
                break;
            }
        }
    }
}

#[test]
fn taking_memory_again_is_killed_at_every_step() {
    let original = Scratch::new();
    let table = worn(&original, Locking::Futex);
    assert!(table.shm().trim().unwrap() > 50_000);
    for step in 0.. {
        let copy = Scratch::new();
        table.shm().copy_to(copy.name()).unwrap();
        let status = status_of_child(|| {
            let Ok(table) = open(&copy, Locking::Futex) else { return 2 };
            steps::stop_after(Some(step));
            let outcome = table.add(&3, &vec![3; 30_000]);
            steps::stop_after(None);
            i32::from(outcome.is_err())
        });
        assert!(matches!(status, 0 | STOPPED), "step {step}: {status}");
        let table = open(&copy, Locking::Futex).unwrap();
        assert_eq!(table.find(&3).unwrap().is_some(), status == 0 || table.contains(&3).unwrap());
        table.sync().unwrap();
        assert_noted(&copy);
        let report = table.check().unwrap();
        assert!(report.is_clean(), "step {step}: {report}");
        if status == 0 {
            assert!(step > 10, "{step} steps are too few to be true");
            break;
        }
    }
}

#[test]
fn where_there_is_no_memory_nothing_changes() {
    let copy = Scratch::new();
    let table = worn(&copy, Locking::Futex);
    table.shm().trim().unwrap();
    let before = table.len().unwrap();
    FULL.set(true);
    // Nothing can grow either.
    let full = table.add(&3, &vec![3; 40_000]);
    assert!(matches!(full, Err(Error::NoSpace { .. })), "{full:?}");
    assert_eq!(table.len().unwrap(), before);
    let report = table.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(table.remove(&1).unwrap());
    // What has just become free has memory.
    table.add(&1, &vec![1; 9_000]).unwrap();
    FULL.set(false);
    table.add(&3, &vec![3; 40_000]).unwrap();
    assert_noted(&copy);
    assert!(table.check().unwrap().is_clean());
}

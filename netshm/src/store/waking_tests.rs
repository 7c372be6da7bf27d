//! Waking waiters: after the last lock of a group is free, and not too often.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::watch_tests::{LONG, until_asleep};
use crate::error::{Error, Result};
use crate::group;
use crate::layout::method::Locking;
use crate::os::fork::tests::status_of_child;
use crate::os::steps;
use crate::testing::Scratch;

/// The writer may die between freeing any two of its locks, and before it wakes.
#[test]
fn a_group_is_reported_whenever_its_writer_dies() {
    const KEYS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
    for step in 0.. {
        let scratch = Scratch::new();
        let table = scratch.watched(Locking::Futex);
        table.add_many(KEYS.map(|key| (key, 1))).unwrap();
        let watches = [table.watch_key(&1), table.watch(), table.shm().watch()];
        let status = thread::scope(|scope| {
            let waiting = watches.map(|watch| scope.spawn(|| watch.unwrap().changed(LONG)));
            until_asleep(&table, 2);
            let status = status_of_child(|| {
                steps::pretend_id(0);
                let table = scratch.watched(Locking::Futex);
                steps::stop_after(Some(step));
                let outcome: Result<()> = group!(table => KEYS.iter().try_for_each(|key| table.replace(key, &2))?);
                steps::stop_after(None);
                i32::from(outcome.is_err())
            });
            assert!(matches!(status, 0 | 99), "step {step}: {status}");
            if table.find(&1).unwrap() == Some(1) {
                assert_eq!(status, 99, "step {step}");
                group!(table => KEYS.iter().try_for_each(|key| table.replace(key, &3))?).unwrap();
            }
            for watch in waiting {
                assert!(watch.join().unwrap().unwrap(), "step {step}: it was not reported");
            }
            status
        });
        if status == 0 {
            assert!(step > 20, "{step} steps are too few");
            break;
        }
    }
}

/// A waiter looks at most once a millisecond, however often what it waits for is changed.
#[test]
fn looks_in_vain_are_rare() {
    let scratch = Scratch::new();
    let table = scratch.watched(Locking::Futex);
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for value in 0.. {
                if ends.load(Relaxed) {
                    break;
                }
                table.replace(&1, &value).unwrap();
            }
        });
        let (start, mut looks) = (Instant::now(), 0);
        let waited = table.wait_until(&1, Some(Duration::from_millis(50)), |_| {
            looks += 1;
            false
        });
        let took = start.elapsed();
        ends.store(true, Relaxed);
        assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
        // The first two, and one after each millisecond.
        assert!(looks <= took.as_millis() + 3, "{looks} looks in {took:?}");
    });
}

/// What goes on being changed is looked at until the time is over, and once more: here each look is followed by a change.
#[test]
fn changes_make_no_wait_longer() {
    let scratch = Scratch::new();
    let table = scratch.watched(Locking::Futex);
    for (millis, most) in [(0, 1), (20, 23)] {
        let mut looks = 0;
        let waited = table.wait_until(&1, Some(Duration::from_millis(millis)), |_| {
            looks += 1;
            assert!(looks <= most, "{millis} ms: {looks} looks");
            table.replace(&1, &looks).unwrap();
            false
        });
        assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
    }
}

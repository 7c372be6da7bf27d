//! Waking waiters: after the last lock of a group is free, and not too often.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::watch_tests::{Numbers, assert_told_whenever_the_writer_dies};
use crate::error::Error;
use crate::group;
use crate::layout::method::Locking;
use crate::testing::Scratch;

/// The writer may die between freeing any two of its locks, and before it wakes.
#[test]
fn a_group_is_told_whenever_its_writer_dies() {
    const KEYS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
    let prepare = |table: &Numbers| table.add_many(KEYS.map(|key| (key, 1))).unwrap();
    assert_told_whenever_the_writer_dies(
        Locking::Futex,
        21,
        prepare,
        |table, value| group!(table => KEYS.iter().try_for_each(|key| table.replace(key, &value))?),
    );
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

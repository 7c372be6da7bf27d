//! Several threads and processes in the middle of something when one of them dies.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::STOPPED;
use crate::error::Result;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::locking::word_of;
use crate::os::fork::tests::status_of_child;
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::{Image, Scratch};

type Texts = HashTable<String, String>;

fn sorted(table: &Texts) -> Result<Vec<(String, String)>> {
    let mut all = table.scan().collect::<Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
}

/// Takes runs, gives others back, and fills the first segment of the log.
fn change(table: &Texts, key: &str) -> Result<()> {
    table.group(|| {
        table.replace(key, &"n".repeat(20_000))?;
        (0..5).try_for_each(|number| table.add(key, &"m".repeat(2000 * number)))?;
        table.remove(key)?;
        table.add(key, &"q".repeat(12_000))
    })
}

/// Two threads of a process are in a change each when it dies: each change has happened as a whole or not at all.
#[test]
fn two_threads_of_a_process() {
    let open = |shm: Shm| {
        let options = Texts::options().locking(Locking::Futex).stripes(8).slots(4).init(1).max_size(1 << 26);
        options.lock_timeout(Duration::from_millis(50)).manage(shm)
    };
    let copy = Scratch::new();
    let table = open(copy.open()).unwrap();
    let stripe = |key: &str| table.handle().with_key(key, |key| Ok(key.stripe)).unwrap();
    let [one, other] =
        [1, 2].map(|wanted| (0..).map(|i| format!("key {i}")).find(|key| stripe(key) == wanted).unwrap());
    (0..9).for_each(|i| table.add(&i.to_string(), &"v".repeat(i * 300)).unwrap());
    [&one, &other].into_iter().for_each(|key| table.add(key, &"o".repeat(9000)).unwrap());
    drop(table);
    let prepared = fs::read(&copy.0).unwrap();
    let prepared = Image::of(&prepared);
    let outcomes = [0, 1, 2, 3].map(|changes| {
        let copy = Scratch::new();
        prepared.write(&copy.0);
        let table = open(copy.open()).unwrap();
        [(1, &one), (2, &other)].iter().filter(|(bit, _)| changes & bit != 0).for_each(|(_, key)| {
            change(&table, key).unwrap();
        });
        sorted(&table).unwrap()
    });
    let mut seen = [0; 4];
    'parked: for first in (0..).step_by(23) {
        for second in (first % 7..).step_by(29) {
            let copy = Scratch::new();
            prepared.write(&copy.0);
            let status = status_of_child(|| {
                steps::pretend_id(0);
                let Ok(table) = open(copy.open()).map(Arc::new) else { return 2 };
                let thread = std::thread::spawn({
                    let (table, one) = (table.clone(), one.clone());
                    move || {
                        steps::park_after(first);
                        change(&table, &one).is_ok()
                    }
                });
                while !steps::PARKED.load(Relaxed) {
                    if thread.is_finished() {
                        return 5;
                    }
                    std::thread::yield_now();
                }
                let region = table.handle().store.region();
                if word_of(region, region.geometry().meta()).load().owner().is_some() {
                    // The other thread would wait for it, for as long as it may.
                    return 6;
                }
                steps::stop_after(Some(second));
                let outcome = change(&table, &other);
                steps::stop_after(None);
                if outcome.is_ok() { 0 } else { 7 }
            });
            assert!(matches!(status, 0 | 5 | 6 | STOPPED), "steps {first}, {second}: {status}");
            if status == 5 {
                break 'parked;
            }
            let table = open(copy.open()).unwrap();
            let found = sorted(&table).unwrap();
            let outcome = outcomes.iter().position(|content| *content == found);
            seen[outcome.unwrap_or_else(|| panic!("steps {first}, {second}: half a change"))] += 1;
            let report = table.check().unwrap();
            assert!(report.is_clean(), "steps {first}, {second}: {report}");
            change(&table, &one).unwrap();
            change(&table, &other).unwrap();
            let report = table.check().unwrap();
            assert!(report.is_clean(), "steps {first}, {second}, anew: {report}");
            if status != STOPPED {
                break;
            }
        }
    }
    // The parked thread is rarely done when the process dies.
    assert!(seen[0] > 0 && seen[2] > 0, "{seen:?}");
}

/// Threads wait for a stripe while its owner dies, and while the one that recovers it dies.
#[test]
fn waiters_meanwhile() {
    for locking in [Locking::Futex, Locking::Record] {
        let open = move |shm: Shm| {
            let options = Texts::options().locking(locking).stripes(1).slots(4).init(1).max_size(1 << 26);
            options.lock_timeout(Duration::from_secs(15)).manage(shm)
        };
        let copy = Scratch::new();
        let table = open(copy.open()).unwrap();
        table.add("k", &"v".repeat(9000)).unwrap();
        for first in (0..160).step_by(31) {
            for second in [0, 5, 14, 30, 70] {
                std::thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| {
                            for _ in 0..3 {
                                table.replace("k", &"w".repeat(7000)).unwrap();
                                assert!(table.find("k").unwrap().is_some());
                            }
                        });
                    }
                    let status = status_of_child(|| {
                        let Ok(other) = open(copy.open()) else { return 2 };
                        steps::stop_after(Some(first));
                        let _ = other.group(|| {
                            other.replace("k", &"x".repeat(15_000))?;
                            other.add("l", &"y".repeat(100))
                        });
                        0
                    });
                    assert!(matches!(status, 0 | STOPPED), "{locking}, step {first}: {status}");
                    let status = status_of_child(|| {
                        steps::stop_after(Some(second));
                        let Ok(other) = open(copy.open()) else { return 2 };
                        let _ = other.replace("k", &"z".repeat(12_000));
                        0
                    });
                    assert!(matches!(status, 0 | STOPPED), "{locking}, steps {first}, {second}: {status}");
                });
            }
            let report = table.check().unwrap();
            assert!(report.is_clean(), "{locking}, step {first}: {report}");
        }
    }
}

//! What others wait for when a process is stopped, and how long.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{fs, thread};

use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::name::ShmName;
use crate::os::fork::tests::Child;
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::Scratch;

pub(super) type Texts = HashTable<u64, String>;

impl Scratch {
    pub(super) fn texts(&self, locking: Locking) -> Result<Texts> {
        Texts::options().locking(locking).stripes(2).slots(4).init(1).manage(self.open())
    }
}

/// Runs `test`, and fails if it takes so long that it must be waiting for ever.
#[track_caller]
pub(super) fn within<R: Send + 'static>(limit: Duration, test: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, is_done) = channel();
    let thread = thread::spawn(move || {
        let result = test();
        let _ = done.send(());
        result
    });
    match is_done.recv_timeout(limit) {
        Err(RecvTimeoutError::Timeout) => panic!("still waiting after {limit:?}"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// Returns what a program does with an object, each operation by itself.
fn use_it(table: &Texts, key: u64) -> Vec<Result<()>> {
    vec![
        table.find(&key).map(drop),
        table.replace(&key, "new"),
        // This needs memory from the heap that all stripes share.
        table.replace(&key, &"v".repeat(3000)),
        table.group_retry(|| {
            table.find(&key)?;
            table.replace(&key, "newer")
        }),
        table.len().map(drop),
    ]
}

#[track_caller]
fn only_timeouts(what: &str, outcomes: Vec<Result<()>>) {
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(()) | Err(Error::LockTimeout { reason: None, .. }) => {}
            Err(error) => panic!("{what}, operation {number}: {error}"),
        }
    }
}

/// Another process is stopped after each of its steps, from those of opening the object on.
#[test]
fn no_wait_for_a_stopped_process_is_longer_than_its_limit() {
    const LIMIT: Duration = Duration::from_millis(2);
    let act = |table: &Texts| {
        table.replace(&1, &"w".repeat(5000))?;
        group!(retry table => {
            table.remove_all(&1)?;
            for key in 2..60 {
                table.add(&key, "v")?;
            }
            table.replace(&2, &"w".repeat(9000))?;
        })?;
        table.remove_all(&2).map(drop)
    };
    for locking in [Locking::Record, Locking::Futex] {
        let mut step = 0;
        let mut limited = 0;
        loop {
            let scratch = Scratch::new();
            let mut child = Child::start(|| {
                steps::pause_after(step);
                i32::from(scratch.texts(locking).and_then(|table| act(&table)).is_err())
            });
            let Some(status) = child.wait() else {
                let name = format!("{locking}, step {step}");
                let (what, path) = (name.clone(), scratch.name());
                limited += within(MINUTE, move || {
                    let open = |read_only: bool| {
                        let shm = Shm::options().create(!read_only).read_only(read_only).open(&path)?;
                        Texts::options().locking(locking).stripes(2).slots(4).init(1).lock_timeout(LIMIT).manage(shm)
                    };
                    for key in [1, 2, 7] {
                        match open(false) {
                            Ok(table) => only_timeouts(&what, use_it(&table, key)),
                            Err(error) => {
                                only_timeouts(&what, vec![Err(error)]);
                                return 1;
                            }
                        }
                    }
                    let table = open(true).unwrap();
                    only_timeouts(&what, vec![table.find(&1).map(drop), table.len().map(drop)]);
                    0
                });
                child.go_on();
                assert_eq!(child.wait(), Some(0), "{name}: the one that had been stopped");
                let table = scratch.texts(locking).unwrap();
                use_it(&table, 2).into_iter().for_each(|outcome| outcome.unwrap());
                let report = table.check().unwrap();
                assert!(report.is_clean(), "{name}: {report}");
                // Every step of opening, and some of those that follow.
                step += if step < 20 { 1 } else { 13 };
                continue;
            };
            assert_eq!(status, 0);
            assert!(step > 100 && limited > 5, "{step} steps, {limited} openings refused");
            break;
        }
    }
}

/// The processes of two groups that wait for each other: this one's group holds one stripe, the child's the other and waits
/// for the first; then the child is stopped, which is the one to give way.
#[test]
fn a_stopped_process_does_not_keep_others_in_a_ring() {
    let scratch = Scratch::new();
    let table: HashTable<u64, u64> =
        HashTable::options().locking(Locking::Futex).stripes(2).slots(2).manage(scratch.open()).unwrap();
    let store = table.handle().store.clone();
    let key_in = |stripe| (0..).find(|key: &u64| store.stripe_of(store.hash(&[*key])) == stripe).unwrap();
    let keys = [1, 2].map(key_in);
    for key in keys {
        table.add(&key, &0).unwrap();
    }
    let name = scratch.name();
    within(MINUTE, move || {
        // Of two members, that with the larger slot gives way first.
        store.prefer_slot(0);
        let mut child = None;
        let outcome = group!(table => {
            table.replace(&keys[0], &1)?;
            let child = child.insert(Child::start(|| {
                let Ok(table) = HashTable::<u64, u64>::manage(Shm::open(&name).unwrap(), Locking::Futex) else { return 1 };
                let outcome = group!(table => {
                    table.replace(&keys[1], &2)?;
                    table.replace(&keys[0], &2)?;
                });
                i32::from(outcome.is_err())
            }));
            let waits = store.field32(store.geometry().slot(1).wait());
            while waits.load(SeqCst) & 0xFFFF == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            child.stop();
            table.replace(&keys[1], &1)?;
        });
        assert!(matches!(outcome, Err(Error::Deadlock { .. })), "{outcome:?}");
        // The stopped one has what it waits for as soon as it goes on.
        let mut child = child.unwrap();
        child.go_on();
        assert_eq!(child.wait(), Some(0));
        assert_eq!(keys.map(|key| table.find(&key).unwrap()), [Some(2); 2]);
    });
}

/// A slot goes from one process to another and back, by the short way that a thread takes to the one that it used last.
#[test]
fn errors_name_the_process_that_holds_the_lock_now() {
    let scratch = Scratch::new();
    let limited = || {
        let options = HashTable::<u64, u64>::options().locking(Locking::Futex).stripes(1).slots(1);
        options.lock_timeout(Duration::from_millis(50)).manage(scratch.open()).unwrap()
    };
    let table = limited();
    table.add(&1, &1).unwrap();
    let mut other = Child::start(|| i32::from(limited().replace(&1, &2).is_err()));
    assert_eq!(other.wait(), Some(0));
    table
        .group(|| -> Result<()> {
            table.replace(&1, &3)?;
            let own = std::process::id();
            let mut stranger = Child::start(|| {
                // There is one slot only; so it is taken by force.
                let table = limited();
                let store = &table.handle().store;
                let holder = crate::locking::Owners::pid(&**store, 0);
                i32::from(holder != Some(own))
            });
            assert_eq!(stranger.wait(), Some(0));
            Ok(())
        })
        .unwrap();
}

/// Somebody who creates or opens the object, or who has it alone, keeps its byte.
#[test]
fn opening_waits_no_longer_than_its_limit() {
    use std::os::fd::AsFd;

    use crate::os::lock::{self, LockKind, bytes};

    for (byte, read_only) in [(bytes::INIT, false), (bytes::INIT, true), (bytes::USE, false), (bytes::USE, true)] {
        let scratch = Scratch::new();
        drop(scratch.texts(Locking::Futex).unwrap());
        let stranger = fs::File::options().read(true).write(true).open(&scratch.0).unwrap();
        let outcome = lock::ofd_lock(stranger.as_fd(), LockKind::Exclusive, byte, false).unwrap();
        assert_eq!(outcome, lock::Outcome::Locked);
        let name = scratch.name();
        let error = within(MINUTE, move || {
            let shm = Shm::options().read_only(read_only).open(&name).unwrap();
            let options = Texts::options().lock_timeout(Duration::from_millis(5));
            options.manage(shm).err().map(|error| error.to_string())
        });
        let expected = "no lock within 5ms: waited for somebody who creates, opens or repairs the object";
        assert!(error.as_ref().is_some_and(|error| error.ends_with(expected)), "{error:?}");
        // Another thread of this process that waits without a limit keeps the process's right to open the object.
        let waiting = thread::spawn({
            let name = scratch.name();
            move || Texts::manage(Shm::open(&name).unwrap(), Locking::Futex).map(drop)
        });
        let name = scratch.name();
        within(MINUTE, move || {
            let options = Texts::options().lock_timeout(Duration::from_millis(5));
            assert!(matches!(options.manage(Shm::open(&name).unwrap()), Err(Error::LockTimeout { .. })));
        });
        drop(stranger);
        waiting.join().unwrap().unwrap();
    }
}

/// Waits in a row count together: each alone would be in time.
#[test]
fn the_limit_is_that_of_all_waits_together() {
    use crate::locking::{Awaited, Deadline};

    let scratch = Scratch::new();
    let table = scratch.texts(Locking::Futex).unwrap();
    let store = &*table.handle().store;
    let deadline = Deadline::after(Duration::from_millis(20));
    let mut ended = None;
    for number in 0..20 {
        let mut wait = deadline.wait(Awaited::Slot);
        thread::sleep(Duration::from_millis(5));
        if wait.check(store, None).is_err() {
            ended = Some(number);
            break;
        }
    }
    assert!(ended.is_some_and(|number| number <= 4), "{ended:?}");
}

/// Two groups, each on an object of its own, that read each other's object through a handle that cannot lock.
#[test]
fn a_circle_through_read_only_handles_ends() {
    let scratches = [Scratch::new(), Scratch::new()];
    for scratch in &scratches {
        scratch.texts(Locking::Futex).unwrap().add(&1, "v").unwrap();
    }
    let names = [0, 1].map(|number: usize| scratches[number].name());
    within(MINUTE, move || {
        let run = |own: &ShmName, other: &ShmName| {
            let own = Texts::manage(Shm::open(own).unwrap(), Locking::Futex).unwrap();
            let other = Shm::options().read_only(true).open(other).unwrap();
            let other = Texts::manage(other, Locking::Futex).unwrap();
            let mut first = true;
            let outcome = group!(retry own => {
                own.replace(&1, "w")?;
                if std::mem::take(&mut first) {
                    // Both have changed theirs before one reads.
                    steps::pause_after(0);
                    steps::step();
                }
                other.find(&1)?
            });
            i32::from(outcome.is_err())
        };
        let mut children = [0, 1].map(|number: usize| Child::start(|| run(&names[number], &names[1 - number])));
        for child in &mut children {
            assert_eq!(child.wait(), None);
        }
        children.iter().for_each(Child::go_on);
        for child in &mut children {
            assert_eq!(child.wait(), Some(0), "of two that are given up by chance, one goes on, then the other");
        }
    });
}

/// Groups on two objects in opposite orders: a deadlock that is not detected.
#[test]
fn groups_on_two_objects_in_opposite_orders_go_on() {
    for locking in [Locking::Record, Locking::Futex] {
        let scratches = [Scratch::new(), Scratch::new()];
        for scratch in &scratches {
            scratch.texts(locking).unwrap().add(&1, "").unwrap();
        }
        let names = [0, 1].map(|number: usize| scratches[number].name());
        let path = names.clone();
        within(MINUTE, move || {
            let run = |first: &ShmName, second: &ShmName, inner_retries: bool| {
                let open = |name| Texts::manage(Shm::open(name).unwrap(), locking).unwrap();
                let (first, second) = (open(first), open(second));
                let mut attempts = 0;
                let outcome = group!(retry first => {
                    attempts += 1;
                    first.update(&1, |old| Some(old.unwrap_or_default() + "x"))?;
                    if attempts == 1 {
                        steps::pause_after(0);
                        steps::step();
                    }
                    let change = || second.update(&1, |old| Some(old.unwrap_or_default() + "y")).map(drop);
                    if inner_retries {
                        second.group_retry(change)?;
                    } else {
                        change()?;
                    }
                });
                i32::from(outcome.is_err())
            };
            for inner_retries in [false, true] {
                let mut children =
                    [0, 1].map(|number: usize| Child::start(|| run(&names[number], &names[1 - number], inner_retries)));
                for child in &mut children {
                    assert_eq!(child.wait(), None);
                }
                children.iter().for_each(Child::go_on);
                for child in &mut children {
                    assert_eq!(child.wait(), Some(0));
                }
            }
        });
        for name in &path {
            let mut text =
                Texts::manage(Shm::open(name).unwrap(), locking).unwrap().find(&1).unwrap().unwrap().into_bytes();
            text.sort_unstable();
            assert_eq!(text, b"xxyy", "each change once");
        }
    }
}

/// A wait for a thread of the own process that is at work is no deadlock, however long it takes.
#[test]
fn threads_under_record_wait_for_each_other() {
    let scratch = Scratch::new();
    let table = scratch.texts(Locking::Record).unwrap();
    table.add(&1, "").unwrap();
    within(MINUTE, move || {
        let (begun, has_begun) = channel();
        let table = &table;
        thread::scope(|scope| {
            scope.spawn(move || {
                group!(table => {
                    table.replace(&1, "first")?;
                    begun.send(()).unwrap();
                    // Longer than the time after which an undetected deadlock is supposed.
                    thread::sleep(Duration::from_millis(2200));
                })
                .unwrap();
            });
            has_begun.recv().unwrap();
            group!(table => table.replace(&1, "second")?).unwrap();
            assert_eq!(table.find(&1).unwrap().as_deref(), Some("second"));
        });
    });
}

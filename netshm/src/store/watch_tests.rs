//! Waiting for changes: nobody is left asleep, whatever kills the writer, and nobody is woken for what was undone.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use crate::array::Array;
use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::header::WATCH;
use crate::layout::method::Locking;
use crate::os::fork::tests::{Child, in_child, status_of_child, stop_here};
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::Scratch;

pub(super) type Numbers = HashTable<u64, u64>;

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];
pub(super) const LONG: Option<Duration> = Some(Duration::from_secs(30));
const SHORT: Option<Duration> = Some(Duration::from_millis(1));

impl Scratch {
    pub(super) fn watched(&self, locking: Locking) -> Numbers {
        Numbers::options().locking(locking).stripes(2).slots(4).manage(self.open()).unwrap()
    }
}

/// Returns the words of all stripes and of the object that watches sleep on.
fn words(table: &Numbers) -> Vec<u32> {
    let store = &table.handle().store;
    let stripes = store.geometry().own().map(|stripe| store.geometry().stripe(stripe).watch());
    stripes.chain([WATCH]).map(|place| store.field32(place).load(Relaxed)).collect()
}

/// Waits until `count` words say that a thread sleeps.
#[track_caller]
pub(super) fn until_asleep(table: &Numbers, sleepers: usize) {
    let start = Instant::now();
    while words(table).iter().filter(|word| **word & 1 != 0).count() < sleepers {
        assert!(start.elapsed() < Duration::from_secs(30), "nobody sleeps");
        thread::sleep(Duration::from_micros(100));
    }
}

/// Lets a writer die after each step of a change of key 1, whose value is 1, and tests that all who wait are told of the change, or of
/// the next one if there was none. The change has at least `steps` steps.
pub(super) fn assert_told_whenever_the_writer_dies(
    locking: Locking,
    steps: u64,
    prepare: impl Fn(&Numbers),
    change: impl Fn(&Numbers, u64) -> Result<()>,
) {
    for step in 0.. {
        let scratch = Scratch::new();
        let table = scratch.watched(locking);
        prepare(&table);
        let watches = [table.watch_key(&1), table.watch(), table.shm().watch()];
        let status = thread::scope(|scope| {
            let waiting = watches.map(|watch| scope.spawn(|| watch.unwrap().changed(LONG)));
            until_asleep(&table, 2);
            let status = status_of_child(|| {
                steps::pretend_id(0);
                let table = scratch.watched(locking);
                steps::stop_after(Some(step));
                let outcome = change(&table, 2);
                steps::stop_after(None);
                i32::from(outcome.is_err())
            });
            assert!(matches!(status, 0 | 99), "{locking}, step {step}: {status}");
            if table.find(&1).unwrap() == Some(1) {
                assert_eq!(status, 99, "{locking}, step {step}");
                change(&table, 3).unwrap();
            }
            for watch in waiting {
                assert!(watch.join().unwrap().unwrap(), "{locking}, step {step}: it was not told");
            }
            status
        });
        if status == 0 {
            assert!(step >= steps, "{locking}: {step} steps are too few");
            break;
        }
    }
}

#[test]
fn a_change_is_told_whenever_its_writer_dies() {
    for locking in METHODS {
        let prepare = |table: &Numbers| table.add(&1, &1).unwrap();
        assert_told_whenever_the_writer_dies(locking, 6, prepare, |table, value| table.replace(&1, &value));
    }
}

/// Starts a child that ends after `step` steps of a change of that key to 2; returns its status, 99 if it got no further.
fn die_in_a_change(scratch: &Scratch, locking: Locking, step: u64, member: Option<&str>) -> i32 {
    status_of_child(|| {
        steps::pretend_id(0);
        let mut options = Numbers::options().locking(locking).stripes(2).slots(4);
        if let Some(member) = member {
            options = options.named(member);
        }
        let Ok(table) = options.manage(scratch.open()) else { return 2 };
        steps::stop_after(Some(step));
        let outcome = table.replace(&1, &2);
        steps::stop_after(None);
        i32::from(outcome.is_err())
    })
}

/// Through read-only handles nothing can be recovered, and nobody else looks at what the dead writer has left.
#[test]
fn read_only_handles_are_told_of_what_the_dead_have_done() {
    for locking in METHODS {
        let prepared = || {
            let scratch = Scratch::new();
            let table = scratch.watched(locking);
            table.add(&1, &1).unwrap();
            let reader = Shm::options().read_only(true).open(&scratch.name()).unwrap();
            let reader = Numbers::options().locking(locking).manage(reader).unwrap();
            (scratch, table, reader)
        };
        let is_done = |step: &u64| {
            let (scratch, _table, reader) = prepared();
            die_in_a_change(&scratch, locking, *step, None);
            reader.find(&1).unwrap() == Some(2)
        };
        let mut left_by_the_dead = 0;
        for step in (0..).find(is_done).unwrap().. {
            let (scratch, _table, reader) = prepared();
            let mut watch = reader.watch().unwrap();
            let status = thread::scope(|scope| {
                let waits = scope.spawn(|| reader.wait_until(&1, LONG, |found| found == Some(&2)));
                let watches = [reader.watch_key(&1).unwrap(), reader.shm().watch().unwrap()];
                let watches = watches.map(|mut watch| scope.spawn(move || watch.changed(LONG)));
                let status = die_in_a_change(&scratch, locking, step, None);
                assert!(matches!(status, 0 | 99), "{locking}, step {step}: {status}");
                assert!(watch.changed(LONG).unwrap(), "{locking}, step {step}");
                assert_eq!(waits.join().unwrap().unwrap(), Some(2), "{locking}, step {step}");
                for watch in watches {
                    assert!(watch.join().unwrap().unwrap(), "{locking}, step {step}");
                }
                status
            });
            let store = &*reader.handle().store;
            if store.all_stripes().any(|stripe| store.sequence(stripe).value() & 1 == 1) {
                left_by_the_dead += 1;
                assert!(!watch.changed(Some(2 * super::watch::PROBE_EACH)).unwrap(), "it is told once");
            }
            if status == 0 {
                break;
            }
        }
        assert!(left_by_the_dead > 0, "{locking}");
    }
}

/// A writer has died after its commit, which only a waiter finds out; but the waiter never sleeps for long, since others
/// change another member all the time, and wake it together with the waiters for that one.
#[test]
fn a_waiter_woken_all_the_time_finds_the_dead_too() {
    for tasks in [false, true] {
        for step in 0.. {
            let scratch = Scratch::new();
            let member = |name| Numbers::options().named(name).stripes(2).slots(4).manage(scratch.open()).unwrap();
            let (quiet, busy) = (member("quiet"), member("busy"));
            quiet.add(&1, &1).unwrap();
            let mut watch = quiet.watch().unwrap();
            let status = die_in_a_change(&scratch, Locking::Futex, step, Some("quiet"));
            assert_eq!(status, 99, "there is no step at which it dies between its commit and its end");
            let store = &*quiet.handle().store;
            let is_under_way = store.geometry().own().any(|stripe| store.sequence(stripe).value() & 1 == 1);
            // A read-only handle recovers nothing.
            let reader = Shm::options().read_only(true).open(&scratch.name()).unwrap();
            let reader: Numbers = HashTable::options().named("quiet").manage(reader).unwrap();
            if !is_under_way || reader.find(&1).unwrap() != Some(2) {
                continue;
            }
            let ends = std::sync::atomic::AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    for value in 0.. {
                        if ends.load(Relaxed) {
                            break;
                        }
                        busy.replace(&1, &value).unwrap();
                        thread::sleep(Duration::from_millis(5));
                    }
                });
                scope.spawn(|| {
                    let mut watch = busy.watch().unwrap();
                    while !ends.load(Relaxed) {
                        watch.changed(Some(Duration::from_millis(10))).unwrap();
                    }
                });
                let told = scope.spawn(move || if tasks { changed_in_a_task(&mut watch) } else { watch.changed(LONG) });
                let told = told.join();
                ends.store(true, Relaxed);
                assert!(told.unwrap().unwrap(), "tasks: {tasks}");
            });
            break;
        }
    }
}

/// Waits for a change as a task does.
fn changed_in_a_task(watch: &mut crate::watch::Watch) -> Result<bool> {
    #[cfg(feature = "tokio")]
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let waits = async { tokio::time::timeout(LONG.unwrap(), watch.changed_async()).await };
        runtime.block_on(waits).map_or(Ok(false), |changed| changed.map(|()| true))
    }
    #[cfg(not(feature = "tokio"))]
    watch.changed(LONG)
}

#[test]
fn small_transactions_are_told() {
    let scratch = Scratch::new();
    let table = scratch.watched(Locking::Futex);
    // So that the next change of this thread is a small transaction.
    table.add(&1, &1).unwrap();
    let changes: [&dyn Fn() -> Result<()>; 2] =
        [&|| table.replace(&1, &2), &|| table.fetch_add(&1, 1).map(|before| assert_eq!(before, 2))];
    for change in changes {
        let mut watch = table.watch_key(&1).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(move || watch.changed(LONG));
            until_asleep(&table, 1);
            let before = words(&table);
            change().unwrap();
            assert_ne!(words(&table), before, "nobody was told");
            assert!(waiting.join().unwrap().unwrap());
        });
    }
}

#[test]
fn what_is_undone_wakes_nobody() {
    for locking in METHODS {
        let scratch = Scratch::new();
        let table = scratch.watched(locking);
        let mut watches = [table.watch_key(&1).unwrap(), table.watch().unwrap()];
        thread::scope(|scope| {
            let [by_key, whole] = &mut watches;
            let waiting = [scope.spawn(|| by_key.changed(LONG)), scope.spawn(|| whole.changed(LONG))];
            until_asleep(&table, 2);
            let before = words(&table);
            let undone: Result<()> = group!(table => {
                table.replace(&1, &1)?;
                return Err(Error::Forked { object: "any error".into() });
            });
            assert!(undone.is_err());
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _: Result<()> = group!(table => {
                    table.replace(&1, &1)?;
                    panic!("on purpose");
                });
            }));
            assert!(panicked.is_err());
            assert_eq!(words(&table), before, "{locking}");
            table.replace(&1, &1).unwrap();
            for thread in waiting {
                assert!(thread.join().unwrap().unwrap());
            }
        });
    }
}

#[test]
fn nothing_is_stored_for_nobody() {
    for locking in METHODS {
        let scratch = Scratch::new();
        let table = scratch.watched(locking);
        let mut watch = table.watch().unwrap();
        group!(table => table.replace(&1, &1)?).unwrap();
        assert!(watch.changed(None).unwrap());
        table.clear().unwrap();
        assert!(watch.changed(SHORT).unwrap());
        assert_eq!(words(&table), [0; 3], "{locking}");
        // Nobody waits any more: the first change clears the bits, and the others store nothing.
        assert!(!watch.changed(SHORT).unwrap());
        table.clear().unwrap();
        let before = words(&table);
        assert!(before.iter().all(|word| word & 3 == 0), "{locking}: {before:x?}");
        table.replace(&1, &1).unwrap();
        assert_eq!(words(&table), before);
    }
}

/// All kinds of watches, and what they report.
#[test]
fn watches_report_what_is_theirs() {
    let scratch = Scratch::new();
    let users: Numbers = HashTable::options().named("users").stripes(2).manage(scratch.open()).unwrap();
    let hits: Array<u64> = Array::options().named("hits").stripes(2).manage(users.shm().clone(), 0).unwrap();
    hits.resize(2).unwrap();
    let mut of_users = users.watch().unwrap();
    let mut of_hits = hits.watch().unwrap();
    let mut of_element = hits.watch_element(1).unwrap();
    let mut of_all = users.shm().watch().unwrap();
    let all =
        |watches: [&mut crate::watch::Watch; 4]| watches.map(|watch| watch.changed(Some(Duration::ZERO)).unwrap());
    let mut told = || all([&mut of_users, &mut of_hits, &mut of_element, &mut of_all]);
    assert_eq!(told(), [false; 4]);
    users.add(&1, &1).unwrap();
    assert_eq!(told(), [true, false, false, true]);
    hits.set(1, &1).unwrap();
    assert_eq!(told(), [false, true, true, true]);
    hits.resize(1000).unwrap();
    assert_eq!(told(), [false, true, true, true]);
    group!(users => {
        users.remove(&1)?;
        hits.fill(.., &7)?;
    })
    .unwrap();
    assert_eq!(told(), [true; 4]);
    let more: Array<u64> = Array::options().named("more").stripes(1).manage(users.shm().clone(), 0).unwrap();
    assert_eq!(told(), [false, false, false, true]);
    more.resize(1).unwrap();
    assert_eq!(told(), [false, false, false, true]);
    drop(more);
    users.shm().remove_member("more").unwrap();
    assert_eq!(told(), [false, false, false, true]);
    assert_eq!(told(), [false; 4]);
}

/// A member is added while somebody waits for changes of the object, and then changed.
#[test]
fn members_that_are_added_are_watched_too() {
    let scratch = Scratch::new();
    let table = scratch.watched(Locking::Futex);
    let mut watch = table.shm().watch().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let added = watch.changed(LONG).unwrap();
            added && watch.changed(LONG).unwrap()
        });
        until_asleep(&table, 1);
        let array: Array<u64> = Array::options().named("new").stripes(1).manage(table.shm().clone(), 0).unwrap();
        until_asleep(&table, 1);
        array.resize(1).unwrap();
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn nobody_waits_in_vain() {
    let scratch = Scratch::new();
    let table = scratch.watched(Locking::Futex);
    let mut watch = table.watch().unwrap();
    let in_group = group!(table => {
        let waited = watch.changed(None);
        assert!(matches!(waited, Err(Error::InGroup { .. })), "{waited:?}");
        let waited = table.wait_until(&1, None, |found| found.is_some());
        assert!(matches!(waited, Err(Error::InGroup { .. })), "{waited:?}");
    });
    in_group.unwrap();
    // In a group on another object others may wait for this thread.
    let another = Scratch::new();
    let another = another.watched(Locking::Futex);
    group!(another => {
        let waited = watch.changed(None);
        assert!(matches!(waited, Err(Error::LockTimeout { may_be_deadlock: true, .. })), "{waited:?}");
    })
    .unwrap();
    assert!(in_child(|| {
        matches!(watch.changed(None), Err(Error::Forked { .. }))
            && matches!(table.wait_until(&1, None, |found| found.is_some()), Err(Error::Forked { .. }))
            && matches!(table.watch(), Err(Error::Forked { .. }))
    }));
    let limited = Numbers::options().lock_timeout(Duration::from_nanos(1)).manage(scratch.open()).unwrap();
    assert!(!limited.watch().unwrap().changed(SHORT).unwrap(), "a limit for locks is none for changes");
    let waited = limited.wait_until(&1, SHORT, |found| found.is_some());
    assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
}

/// The thread that waits for tasks may hold a lock at the moment of the fork, and is not there in the child.
#[cfg(feature = "tokio")]
#[test]
fn a_forked_child_lets_go_of_what_tasks_wait_for() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let scratch = Scratch::new();
    let table = scratch.watched(Locking::Futex);
    let mut watch = Some(table.watch().unwrap());
    let poll = |watch: &mut Option<crate::watch::Watch>| {
        let mut waits = pin!(watch.as_mut().unwrap().changed_async());
        waits.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    assert!(poll(&mut watch).is_pending());
    let entry = watch.as_ref().unwrap().entry.0.clone().unwrap();
    let held = entry.hold();
    assert!(in_child(|| {
        let is_refused = matches!(poll(&mut watch), Poll::Ready(Err(Error::Forked { .. })));
        drop(watch.take());
        is_refused
    }));
    drop(held);
    table.add(&1, &1).unwrap();
    assert!(matches!(poll(&mut watch), Poll::Ready(Ok(()))));
}

/// Nobody will change an object any more that another one has replaced.
#[test]
fn waiting_ends_when_the_object_is_replaced() {
    let replaced: [fn(&crate::store::Store); 2] = [
        |store| store.field(crate::layout::header::STATE_AT).store(crate::layout::header::REPLACED, Relaxed),
        // As another object's bytes in its file do.
        |store| {
            store.field(crate::layout::header::ID).fetch_add(1, Relaxed);
        },
    ];
    for replace in replaced {
        for read_only in [false, true] {
            let scratch = Scratch::new();
            let table = scratch.watched(Locking::Futex);
            let shm = Shm::options().read_only(read_only).open(&scratch.name()).unwrap();
            let waiter: Numbers = HashTable::manage(shm, Locking::Futex).unwrap();
            let mut watches = [waiter.watch().unwrap(), waiter.watch().unwrap()];
            thread::scope(|scope| {
                let [by_thread, by_task] = &mut watches;
                let waiting = [scope.spawn(|| by_thread.changed(LONG)), scope.spawn(|| changed_in_a_task(by_task))];
                thread::sleep(Duration::from_millis(20));
                replace(&table.handle().store);
                for waiting in waiting {
                    let outcome = waiting.join().unwrap();
                    assert!(matches!(outcome, Err(Error::Replaced { .. })), "read-only: {read_only}: {outcome:?}");
                }
            });
        }
    }
}

/// They can store nothing that says that they wait.
#[test]
fn read_only_handles_look_again_and_again() {
    let scratch = Scratch::new();
    let table = scratch.watched(Locking::Futex);
    let reader = Shm::options().read_only(true).open(&scratch.name()).unwrap();
    let reader: Numbers = HashTable::manage(reader, Locking::Futex).unwrap();
    let mut watches = [reader.watch().unwrap(), reader.watch_key(&1).unwrap(), reader.shm().watch().unwrap()];
    assert!(!watches[0].changed(Some(Duration::from_millis(30))).unwrap());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| reader.wait_until(&1, LONG, |found| found.is_some()).unwrap());
        table.add(&1, &5).unwrap();
        assert_eq!(waiting.join().unwrap(), Some(5));
    });
    for watch in &mut watches {
        assert!(watch.changed(LONG).unwrap());
    }
    assert_eq!(words(&table), [0; 3]);
}

/// What is waited for is what a group has done in the end, not what it does on the way.
#[test]
fn a_group_is_one_change() {
    let scratch = Scratch::new();
    let table = scratch.watched(Locking::Futex);
    let mut watch = table.watch_key(&1).unwrap();
    let mut writer = Child::start(|| {
        let table = scratch.watched(Locking::Futex);
        let outcome = group!(table => {
            table.add(&1, &1)?;
            stop_here();
            table.replace(&1, &2)?;
        });
        i32::from(outcome.is_err())
    });
    assert_eq!(writer.wait(), None);
    assert!(!watch.changed(SHORT).unwrap());
    let waited = table.wait_until(&1, SHORT, |found| found.is_some());
    assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
    writer.go_on();
    assert_eq!(table.wait_until(&1, LONG, |found| found.is_some()).unwrap(), Some(2));
    assert!(watch.changed(LONG).unwrap());
    assert_eq!(writer.wait(), Some(0));
}

/// Signals end no wait.
#[test]
fn a_signal_is_no_change() {
    let scratch = Scratch::new();
    let table = scratch.watched(Locking::Futex);
    let mut watch = table.watch().unwrap();
    thread::scope(|scope| {
        let (told, thread) = std::sync::mpsc::channel();
        let waiting = scope.spawn(move || {
            told.send(crate::os::fork::tests::this_thread()).unwrap();
            watch.changed(LONG).unwrap()
        });
        let thread = thread.recv().unwrap();
        for _ in 0..20 {
            until_asleep(&table, 1);
            crate::os::fork::tests::interrupt(thread);
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!waiting.is_finished());
        table.add(&1, &1).unwrap();
        assert!(waiting.join().unwrap());
    });
}

/// Each side waits for what the other does.
#[test]
fn hand_overs_between_two_processes() {
    let turns: u64 = std::env::var("NETSHM_HANDOVERS").map_or(2000, |turns| turns.parse().unwrap());
    for locking in [Locking::Futex, Locking::Record] {
        let scratch = Scratch::new();
        let table = scratch.watched(locking);
        let play = |table: &Numbers, from: u64, to: u64| {
            for turn in 1..=turns {
                table.wait_until(&from, LONG, |found| found.is_some_and(|found| *found >= turn))?;
                table.replace(&to, &turn)?;
            }
            Ok::<(), Error>(())
        };
        let limit = 60 + u32::try_from(turns / 1000).unwrap();
        let mut other = Child::start_for(limit, || i32::from(play(&scratch.watched(locking), 1, 2).is_err()));
        table.replace(&1, &1).unwrap();
        for turn in 1..=turns {
            table.wait_until(&2, LONG, |found| found.is_some_and(|found| *found >= turn)).unwrap();
            table.replace(&1, &(turn + 1)).unwrap();
        }
        assert_eq!(other.wait(), Some(0), "{locking}");
    }
}

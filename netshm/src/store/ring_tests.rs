//! Rings of waiters: groups that take stripes in opposite orders, and operations on several stripes that meet such a group.

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use crate::array::Array;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::locking::{waited_for, waits_of, word_of};
use crate::os::fork::tests::{Child, stop_here};
use crate::os::{proc_locks, steps};
use crate::shm::Shm;
use crate::store::wait_tests::{MINUTE, within};
use crate::testing::Scratch;

/// The slots of the group and of the operation: of a ring, the largest gives way.
const GROUP: u32 = 0;
const OPERATION: u32 = 1;

struct Object {
    shm: Shm,
    table: HashTable<u64, u64>,
    array: Array<u64>,
    _scratch: Scratch,
}

impl Object {
    fn new() -> Result<Object> {
        let scratch = Scratch::new();
        let shm = scratch.open();
        let table = HashTable::options().locking(Locking::Futex).named("table").stripes(2).manage(shm.clone())?;
        let array = Array::options().named("array").stripes(4).manage(shm.clone(), 0)?;
        array.resize(1024)?;
        Ok(Object { shm, table, array, _scratch: scratch })
    }

    /// Runs `operation` while a group that has changed something `last` waits for the stripe of `first`, which `operation` has
    /// locked. Returns how often the group ran.
    fn ring(
        &self,
        stripe: u32,
        last: impl Fn() -> Result<()> + Sync,
        first: impl Fn() -> Result<()> + Sync,
        operation: impl Fn() -> Result<()> + Sync,
    ) -> Result<u32> {
        let handle: &Handle = self.table.handle();
        let word = word_of(handle.store.region(), stripe);
        thread::scope(|scope| {
            let (has_begun, begun) = std::sync::mpsc::channel();
            let (last, first) = (&last, &first);
            let group = scope.spawn(move || -> Result<u32> {
                handle.store.prefer_slot(GROUP);
                let mut runs = 0;
                self.table.group_retry(|| {
                    runs += 1;
                    last()?;
                    let _ = has_begun.send(());
                    while runs == 1 && word.load().owner() != Some(OPERATION) {
                        thread::yield_now();
                    }
                    first()
                })?;
                Ok(runs)
            });
            begun.recv().map_err(|_| Error::Reentrant { object: "the group has failed".into() })?;
            handle.store.prefer_slot(OPERATION);
            let outcome = operation();
            let runs = group.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            outcome.map(|()| runs)
        })
    }

    /// Lets an operation on all stripes of the table, or of the object, meet such a group.
    fn whole(&self, operation: impl Fn() -> Result<()> + Sync) -> Result<u32> {
        let store = &self.table.handle().store;
        let [first, last] = store.geometry().own().collect::<Vec<_>>()[..] else { unreachable!("two stripes") };
        let key_in = |stripe| (0..).find(|key: &u64| store.stripe_of(store.hash(&[*key])) == stripe).unwrap();
        let (first_key, last_key) = (key_in(first), key_in(last));
        self.ring(first, || self.table.replace(&last_key, &1), || self.table.replace(&first_key, &1), operation)
    }

    /// Lets an operation on elements 0 to 511 meet a group that changes two of them.
    fn elements(&self, operation: impl Fn() -> Result<()> + Sync) -> Result<u32> {
        let stripe = self.array.handle().store.geometry().first();
        self.ring(stripe, || self.array.set(300, &1), || self.array.set(0, &1), operation)
    }
}

#[test]
fn operations_outside_groups_end_in_no_deadlock() {
    within(MINUTE, || {
        let object = Object::new().unwrap();
        let Object { shm, table, array, .. } = &object;
        let copy = Scratch::new();
        let outcomes = [
            ("clear", object.whole(|| table.clear())),
            ("for_each", object.whole(|| table.for_each(|_, _| ()))),
            ("check", object.whole(|| table.check().map(|report| assert!(report.is_clean())))),
            ("sync", object.whole(|| table.sync())),
            ("copy_to", object.whole(|| shm.copy_to(copy.name()))),
            ("swap", object.elements(|| array.swap(0, 300))),
            ("set_range", object.elements(|| array.set_range(0..512, &[2; 512]))),
            ("fill", object.elements(|| array.fill(0..512, &2))),
            ("resize", object.elements(|| array.resize(900))),
            ("for_each of an array", object.elements(|| array.for_each(|_, _| ()))),
        ];
        for (what, runs) in outcomes {
            // The operation has given way, not the group.
            assert_eq!(runs.map_err(|error| format!("{what}: {error}")), Ok(1), "{what}");
        }
    });
}

/// A group whose process is stopped never lets an operation go on that gives way to it again and again.
#[test]
fn operations_outside_groups_end_at_their_limit_in_a_ring_as_well() {
    for locking in [Locking::Record, Locking::Futex] {
        within(MINUTE, move || {
            let scratch = Scratch::new();
            let open = |limit| {
                let options = HashTable::<u64, u64>::options().locking(locking).stripes(2).slots(3);
                options.lock_timeout(limit).manage(scratch.open()).unwrap()
            };
            let table = open(Duration::from_millis(300));
            let store = &table.handle().store;
            let geometry = *store.geometry();
            let key_in = |stripe| (0..).find(|key: &u64| store.stripe_of(store.hash(&[*key])) == stripe).unwrap();
            let [first, last] = geometry.own().map(key_in).collect::<Vec<_>>()[..] else { unreachable!() };
            let mut before = Child::start(|| {
                let table = open(60 * MINUTE);
                table.handle().store.prefer_slot(2);
                i32::from(table.group(|| table.replace(&first, &1).inspect(|()| stop_here())).is_err())
            });
            assert_eq!(before.wait(), None);
            let mut group = Child::start(|| {
                let table = open(60 * MINUTE);
                table.handle().store.prefer_slot(GROUP);
                let both = || table.replace(&last, &1).and_then(|()| table.replace(&first, &1));
                i32::from(table.group(both).is_err())
            });
            let waits = || waited_for(store.region().field32(geometry.slot(GROUP).wait()).load(SeqCst));
            while waits() != Some(geometry.first()) {
                thread::yield_now();
            }
            group.stop();
            before.go_on();
            assert_eq!(before.wait(), Some(0));
            store.prefer_slot(OPERATION);
            let outcomes = [
                ("clear", table.clear()),
                ("for_each", table.for_each(|_, _| ())),
                ("check", table.check().map(drop)),
                ("sync", table.sync()),
            ];
            for (what, outcome) in outcomes {
                // Iterations under Futex wait for no group.
                let may_succeed = what == "for_each" && locking == Locking::Futex;
                match outcome {
                    Err(Error::LockTimeout { .. }) => {}
                    Ok(()) if may_succeed => {}
                    other => panic!("{locking:?}, {what}: {other:?}"),
                }
            }
            group.go_on();
            assert_eq!(group.wait(), Some(0));
        });
    }
}

/// With a limit, waits under Record are no waits of the kernel's, which then does not see the ring.
#[test]
fn limits_hide_no_deadlock() {
    for locking in [Locking::Record, Locking::Futex] {
        within(MINUTE, move || {
            let scratch = Scratch::new();
            let open = || {
                let options = HashTable::<u64, u64>::options().locking(locking).stripes(2).slots(2);
                options.lock_timeout(60 * MINUTE).manage(scratch.open()).unwrap()
            };
            let table = open();
            let store = &table.handle().store;
            let key_in = |stripe| (0..).find(|key: &u64| store.stripe_of(store.hash(&[*key])) == stripe).unwrap();
            let [first, last] = store.geometry().own().map(key_in).collect::<Vec<_>>()[..] else { unreachable!() };
            // What two processes begin with, whether by reading it, and what they go on with.
            for (keys, reads) in [([first, last], false), ([first, last], true), ([first, first], true)] {
                let others = if keys[0] == keys[1] { keys } else { [last, first] };
                let run = |key: u64, other: u64| {
                    let table = open();
                    let mut attempts = 0;
                    let outcome = table.group_retry(|| {
                        attempts += 1;
                        if reads {
                            table.find(&key).map(drop)?
                        } else {
                            table.replace(&key, &1)?
                        }
                        if attempts == 1 {
                            steps::pause_after(0);
                            steps::step();
                        }
                        table.fetch_add(&other, 1).map(drop)
                    });
                    i32::from(outcome.is_err())
                };
                let reads_exclusively = reads && locking == Locking::Futex && keys[0] == keys[1];
                if reads_exclusively {
                    continue;
                }
                let mut children = [0, 1].map(|number: usize| Child::start(|| run(keys[number], others[number])));
                for child in &mut children {
                    assert_eq!(child.wait(), None);
                }
                children.iter().for_each(Child::go_on);
                for child in &mut children {
                    assert_eq!(child.wait(), Some(0), "{locking:?}, reads first: {reads}");
                }
            }
        });
    }
}

/// What a group of a process does before it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Reads,
    ReadsAll,
    Writes,
}

/// Lets groups of processes each do something `first`, with the key of their number, then change the next one's key. Returns the ends
/// of those that were in a deadlock.
fn circle(locking: Locking, firsts: &[First], keys: usize, limited: impl Fn(usize) -> bool) -> Vec<bool> {
    circle_in(4, locking, firsts, keys, limited)
}

/// Does the same in tables with that number of stripes.
fn circle_in(
    stripes: u32,
    locking: Locking,
    firsts: &[First],
    keys: usize,
    limited: impl Fn(usize) -> bool,
) -> Vec<bool> {
    let scratch = Scratch::new();
    let open = |has_limit: bool| {
        let shm = scratch.open();
        ["here", "there"].map(|name| {
            let options = HashTable::<u64, u64>::options().named(name).locking(locking).stripes(stripes).slots(4);
            let options = if has_limit { options.lock_timeout(60 * MINUTE) } else { options };
            options.manage(shm.clone()).unwrap()
        })
    };
    let tables = open(true);
    let store = &tables[0].handle().store;
    let keys: Vec<_> = (0..keys as u64)
        .map(|number| {
            (0..).find(|key: &u64| store.stripe_of(store.hash(&[*key])) - store.geometry().first() == number as u32)
        })
        .map(Option::unwrap)
        .collect();
    let run = |number: usize| {
        let tables = open(limited(number));
        // Members in turns.
        let of = |number: usize| (&tables[number % keys.len() % 2], keys[number % keys.len()]);
        let ((table, key), (next, next_key)) = (of(number), of(number + 1));
        let outcome = table.group(|| {
            match firsts[number] {
                First::Reads => table.find(&key).map(drop)?,
                First::ReadsAll => table.for_each(|_, _| ())?,
                First::Writes => table.replace(&key, &1)?,
            }
            steps::pause_after(0);
            steps::step();
            next.fetch_add(&next_key, 1).map(drop)
        });
        match outcome {
            Ok(()) => 0,
            Err(Error::Deadlock { .. }) => 1,
            Err(_) => 2,
        }
    };
    let mut children: Vec<_> = (0..firsts.len()).map(|number| Child::start(|| run(number))).collect();
    for child in &mut children {
        assert_eq!(child.wait(), None);
    }
    children.iter().for_each(Child::go_on);
    let ends = children.iter_mut().map(|child| child.wait());
    ends.map(|end| match end {
        Some(0) => false,
        Some(1) => true,
        other => panic!("{locking:?}, {firsts:?}, {} keys: {other:?}", keys.len()),
    })
    .collect()
}

/// Under Record lock words do not name those who read, and the kernel sees only waits without a limit.
#[test]
fn rings_of_readers_are_found_and_not_guessed() {
    use First::{Reads, ReadsAll, Writes};
    within(MINUTE, || {
        let rings: [(&[First], usize); 7] = [
            (&[Reads, Reads], 1),
            (&[Reads, Reads, Reads], 1),
            (&[Reads, Reads], 2),
            (&[Reads, Writes], 2),
            (&[ReadsAll, Reads], 2),
            (&[Reads, Writes, Reads], 3),
            (&[Reads, Reads, Reads, Writes], 4),
        ];
        for (firsts, keys) in rings {
            let ends = circle(Locking::Record, firsts, keys, |_| true);
            assert!(ends.contains(&true) && ends.contains(&false), "{firsts:?}, {keys} keys: {ends:?}");
        }
        let ends = circle(Locking::Futex, &[Reads, Writes, Reads, Writes], 4, |_| true);
        assert!(ends.contains(&true) && ends.contains(&false), "{ends:?}");
    });
}

/// Who waits in the kernel finds no ring there with others that do not, so these give way.
#[test]
fn who_looks_for_rings_gives_way_to_who_does_not() {
    within(MINUTE, || {
        for limited in [0, 1] {
            for first in [First::Writes, First::Reads] {
                let ends = circle(Locking::Record, &[first; 2], 2, |number| number == limited);
                assert!(ends[limited], "{first:?}, limited: {limited}");
            }
        }
    });
}

/// What a waiter notes of more than three stripes is exact only in objects of up to 61; then the kernel's word counts as well.
#[test]
fn the_kernel_tells_of_rings_of_those_who_read_much() {
    within(MINUTE, || {
        for stripes in [4, 128] {
            let mut ends = circle_in(stripes, Locking::Record, &[First::ReadsAll; 2], 1, |_| false);
            ends.sort_unstable();
            assert_eq!(ends, [false, true], "{stripes} stripes");
        }
    });
}

/// To the kernel a process is one owner: it sees a ring where a thread waits for a group of another process, which waits for a group
/// of another thread.
#[test]
fn a_ring_of_processes_is_none_if_their_threads_form_none() {
    within(MINUTE, || {
        let scratch = Scratch::new();
        let open = || {
            let options = HashTable::<u64, u64>::options().locking(Locking::Record).stripes(2).slots(4);
            options.manage(scratch.open()).unwrap()
        };
        let table = open();
        let store = &table.handle().store;
        let geometry = *store.geometry();
        let key_in = |stripe| (0..).find(|key: &u64| store.stripe_of(store.hash(&[*key])) == stripe).unwrap();
        let [first, last] = geometry.own().map(key_in).collect::<Vec<_>>()[..] else { unreachable!() };
        let mut child = Child::start(|| {
            let table = open();
            let outcome = table.group(|| {
                table.replace(&last, &1)?;
                steps::pause_after(0);
                steps::step();
                table.fetch_add(&first, 1).map(drop)
            });
            i32::from(outcome.is_err())
        });
        assert_eq!(child.wait(), None);
        let waiting = |stripe| {
            let words = (0..4).map(|slot| store.region().field32(geometry.slot(slot).wait()).load(SeqCst));
            words.filter(|word| waited_for(*word) == Some(stripe)).max().map_or(0, waits_of)
        };
        let has_waiter = || {
            let locks = proc_locks::read().unwrap();
            locks.values().flatten().any(|lock| lock.waits && lock.pid == Some(std::process::id()))
        };
        let outcome = thread::scope(|scope| {
            let (end, ends) = std::sync::mpsc::channel();
            let (table, open) = (&table, &open);
            let (has_begun, begun) = std::sync::mpsc::channel();
            scope.spawn(move || {
                table.group(|| -> Result<()> {
                    table.replace(&first, &10)?;
                    has_begun.send(()).unwrap();
                    // Until the child has ended, or waits in another way than in the kernel.
                    ends.recv().unwrap();
                    Ok(())
                })
            });
            begun.recv().unwrap();
            scope.spawn(move || open().replace(&last, &2).unwrap());
            while !has_waiter() {
                thread::yield_now();
            }
            child.go_on();
            let waits = || waiting(geometry.first()) == 2;
            let ended = loop {
                if waits() {
                    break None;
                }
                if let Some(status) = child.poll() {
                    break Some(status);
                }
                thread::yield_now();
            };
            end.send(()).unwrap();
            ended.or_else(|| child.wait())
        });
        assert_eq!(outcome, Some(0));
        assert_eq!((table.find(&first).unwrap(), table.find(&last).unwrap()), (Some(11), Some(2)));
    });
}

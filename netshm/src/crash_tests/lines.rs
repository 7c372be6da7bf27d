//! The cache lines that each operation stores to: writers of different stripes share none, and readers store nothing. So more
//! processors do not get into each other's way, as far as that can be seen without having them.
//!
//! An operation is stopped after each of its steps; what differs from one image of the object to the next has been stored. The
//! process has made a change before, as all but the first ones have: it has a process number and a slot.

use std::collections::BTreeSet;
use std::fs;

use super::STOPPED;
use crate::array::Array;
use crate::error::Result;
use crate::group;
use crate::hash_table::HashTable;
use crate::os::fork::tests::status_of_child;
use crate::os::steps;
use crate::shm::Shm;
use crate::store::Store;
use crate::store::open::SEED;
use crate::testing::{Image, Scratch};

type Numbers = HashTable<u64, u64>;
type Texts = HashTable<u64, String>;
type Elements = Array<u64>;

const LINE: u64 = 64;
const SLOTS: u32 = 4;
const HASH_SEED: u64 = 2;

/// An object, and how a process gets ready for an operation on it.
struct Subject<'a, T> {
    open: &'a dyn Fn(Shm) -> Result<T>,
    prepare: &'a dyn Fn(&T) -> Result<()>,
    warm: &'a dyn Fn(&T) -> Result<()>,
    store: &'a dyn Fn(&T) -> &Store,
}

/// An operation, with the lines that it is to store to: of the slot, the log, the stripe and the data. It gets the number of the
/// stripe.
type Act<'a, T> = (&'a str, [usize; 4], &'a dyn Fn(&T, u32) -> Result<()>);

/// Cache lines that an operation stores to, by part of the object; a stripe with the memory that it owns.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Count {
    slot: usize,
    log: usize,
    stripe: usize,
    data: usize,
    other: usize,
}

impl<T> Subject<'_, T> {
    fn prepared(&self) -> Vec<u8> {
        let scratch = Scratch::new();
        // With another hash a removal may merge buckets, or an addition meet a full one.
        SEED.set(Some(HASH_SEED));
        let object = (self.open)(scratch.open());
        SEED.set(None);
        let object = object.unwrap();
        (self.prepare)(&object).unwrap();
        drop(object);
        fs::read(&scratch.0).unwrap()
    }

    /// Returns the lines that the operation stores to, in a process that uses that slot.
    fn lines(&self, prepared: &[u8], scratch: &Scratch, slot: u32, act: &dyn Fn(&T) -> Result<()>) -> BTreeSet<u64> {
        let start = Image::of(prepared);
        let image = |steps: Option<u64>| {
            start.write(&scratch.0);
            let status = status_of_child(|| {
                steps::pretend_id(slot);
                let object = (self.open)(scratch.open()).unwrap();
                (self.warm)(&object).unwrap();
                steps::stop_after(steps);
                if steps.is_some() {
                    act(&object).unwrap();
                }
                steps::stop_after(None);
                // What closing it stores is not the operation's.
                std::mem::forget(object);
                0
            });
            assert!(matches!(status, 0 | STOPPED), "{status}");
            (fs::read(&scratch.0).unwrap(), status)
        };
        let (mut before, _) = image(None);
        let geometry = *(self.store)(&(self.open)(scratch.open()).unwrap()).geometry();
        // Each child has another process id, which it noted when it got ready.
        let process_table = geometry.process(0).bytes()..geometry.slot(0).owner().bytes();
        let mut lines = BTreeSet::new();
        for steps in 0.. {
            let (after, status) = image(Some(steps));
            assert_eq!(before.len(), after.len(), "the object grows");
            let differ = before.chunks(LINE as usize).zip(after.chunks(LINE as usize)).enumerate();
            lines.extend(differ.filter(|(_, (before, after))| before != after).map(|(line, _)| line as u64 * LINE));
            before = after;
            if status == 0 {
                break;
            }
        }
        lines.into_iter().filter(|line| !process_table.contains(line)).collect()
    }

    /// Counts lines by what they belong to.
    fn count(&self, scratch: &Scratch, lines: &BTreeSet<u64>, slot: u32, stripe: u32) -> Count {
        let object = (self.open)(scratch.open()).unwrap();
        let geometry = *(self.store)(&object).geometry();
        let within = |start: u64, end: u64| lines.range(start..end).count();
        let (slot_at, log_at) = (geometry.slot(slot).owner().bytes(), geometry.log(slot).link().bytes());
        let stripe_at = geometry.stripe(stripe).lock().bytes();
        let mut count = Count {
            slot: within(slot_at, geometry.slot(slot + 1).owner().bytes()),
            log: within(log_at, geometry.log(slot + 1).link().bytes()),
            stripe: within(stripe_at, geometry.stripe(stripe + 1).lock().bytes()),
            data: within(geometry.data_start(), u64::MAX),
            other: 0,
        };
        count.other = lines.len() - count.slot - count.log - count.stripe - count.data;
        count
    }

    /// Checks that operations on two stripes, each by a process of its own, share no line, and that each stores to no more lines
    /// of each part than expected.
    fn check(&self, acts: &[Act<'_, T>]) {
        let (prepared, scratch) = (self.prepared(), Scratch::new());
        let mut all = [BTreeSet::new(), BTreeSet::new()];
        for (name, [slot, log, stripe, data], act) in acts {
            for (number, all) in all.iter_mut().enumerate() {
                let number = number as u32;
                let lines = self.lines(&prepared, &scratch, number, &|object| act(object, number + 1));
                let found = self.count(&scratch, &lines, number, number + 1);
                let expected = Count { slot: *slot, log: *log, stripe: *stripe, data: *data, other: 0 };
                assert_eq!(found, expected, "{name}, stripe {}: {lines:?}", number + 1);
                all.extend(lines);
            }
        }
        let [one, other] = all;
        assert!(one.is_disjoint(&other), "two writers store to the same lines: {:?}", one.intersection(&other));
    }

    /// Checks that a reading stores nothing, by a process that has changed something before.
    fn check_reading(&self, name: &str, read: &dyn Fn(&T) -> Result<()>) {
        let (prepared, scratch) = (self.prepared(), Scratch::new());
        let lines = self.lines(&prepared, &scratch, 0, read);
        assert!(lines.is_empty(), "{name}: {lines:?}");
    }
}

/// Returns the first key of a stripe from `start` on.
fn key_in(store: &Store, stripe: u32, start: u64) -> u64 {
    (start..).find(|key| store.stripe_of(store.hash(&[*key])) == stripe).unwrap()
}

#[test]
fn pairs() {
    let open = |shm: Shm| Numbers::options().stripes(2).slots(SLOTS).max_size(1 << 26).manage(shm);
    let key = |table: &Numbers, stripe: u32| key_in(&table.handle().store, stripe, 0);
    let subject = Subject {
        open: &open,
        // Enough that the index neither grows nor shrinks.
        prepare: &|table: &Numbers| (0..400).try_for_each(|key| table.add(&key, &key)),
        warm: &|table: &Numbers| table.remove(&9999).map(drop),
        store: &|table: &Numbers| &table.handle().store,
    };
    subject.check(&[
        ("replace", [1, 1, 1, 1], &|table, stripe| table.replace(&key(table, stripe), &77)),
        ("fetch_add", [1, 1, 1, 1], &|table, stripe| table.fetch_add(&key(table, stripe), 1).map(drop)),
        ("update", [1, 1, 1, 1], &|table, stripe| table.update(&key(table, stripe), |_| Some(77)).map(drop)),
        ("add", [1, 1, 1, 2], &|table, stripe| table.add(&key_in(&table.handle().store, stripe, 400), &1)),
        ("remove", [1, 1, 1, 2], &|table, stripe| table.remove(&key(table, stripe)).map(drop)),
        ("pop", [1, 1, 1, 2], &|table, stripe| table.pop(&key(table, stripe)).map(drop)),
        ("swap", [1, 1, 1, 1], &|table, stripe| table.swap(&key(table, stripe), &77).map(drop)),
        ("compare_exchange", [1, 1, 1, 1], &|table, stripe| {
            let key = key(table, stripe);
            table.compare_exchange(&key, &key, &77).map(drop)
        }),
        ("add_if_absent", [1, 1, 1, 2], &|table, stripe| {
            table.add_if_absent(&key_in(&table.handle().store, stripe, 400), &1).map(drop)
        }),
        ("get_or_insert_with", [1, 1, 1, 2], &|table, stripe| {
            table.get_or_insert_with(&key_in(&table.handle().store, stripe, 400), || 1).map(drop)
        }),
        ("find and replace as a group", [1, 1, 1, 1], &|table, stripe| {
            let key = key(table, stripe);
            group!(table => {
                let value = table.find(&key)?.unwrap_or_default();
                table.replace(&key, &(value + 1))?;
            })
        }),
    ]);
    subject.check_reading("find", &|table| table.find(&1).map(drop));
    subject.check_reading("find nothing", &|table| table.find(&1000).map(drop));
    subject.check_reading("contains", &|table| table.contains(&1).map(drop));
    subject.check_reading("find_many", &|table| table.find_many(&[1, 2, 3]).map(drop));
    subject.check_reading("scan", &|table| table.scan().collect::<Result<Vec<_>>>().map(drop));
    subject.check_reading("len", &|table| table.len().map(drop));
}

#[test]
fn texts() {
    let open = |shm: Shm| Texts::options().stripes(2).slots(SLOTS).max_size(1 << 26).manage(shm);
    let key = |table: &Texts, stripe: u32| key_in(&table.handle().store, stripe, 0);
    let text = "t".repeat(100);
    let subject = Subject {
        open: &open,
        // What is removed again leaves room, so that nothing has to be asked of the run heap.
        prepare: &|table: &Texts| {
            (0..440).try_for_each(|key| table.add(&key, &text))?;
            (400..440).try_for_each(|key| table.remove(&key).map(drop))
        },
        warm: &|table: &Texts| table.remove(&9999).map(drop),
        store: &|table: &Texts| &table.handle().store,
    };
    subject.check_reading("find", &|table| table.find(&1).map(drop));
    subject.check_reading("find_with", &|table| table.find_with(&1, str::len).map(drop));
    let other = "o".repeat(100);
    let (prepared, scratch) = (subject.prepared(), Scratch::new());
    let apart = |act: &dyn Fn(&Texts, u32) -> Result<()>| {
        let [one, two] = [0, 1].map(|slot| subject.lines(&prepared, &scratch, slot, &|table| act(table, slot + 1)));
        assert!(!one.is_empty() && one.is_disjoint(&two), "{:?}", one.intersection(&two));
    };
    apart(&|table, stripe| table.add(&key_in(&table.handle().store, stripe, 400), &other));
    apart(&|table, stripe| table.replace(&key(table, stripe), &other));
    apart(&|table, stripe| table.replace(&key(table, stripe), "short"));
    apart(&|table, stripe| table.remove(&key(table, stripe)).map(drop));
}

#[test]
fn elements() {
    let open = |shm: Shm| Elements::options().stripes(2).slots(SLOTS).max_size(1 << 26).manage(shm, 0);
    let subject = Subject {
        open: &open,
        prepare: &|array: &Elements| {
            array.resize(1024)?;
            (0..1024).try_for_each(|index| array.set(index, &(index as u64)))
        },
        warm: &|array: &Elements| array.set(1000, &1),
        store: &|array: &Elements| &array.handle().store,
    };
    // The chunks of 256 elements are dealt out in turn.
    let index = |stripe: u32| (stripe as usize - 1) * 256 + 7;
    subject.check(&[
        ("set", [1, 1, 1, 1], &|array, stripe| array.set(index(stripe), &77)),
        ("fetch_add", [1, 1, 1, 1], &|array, stripe| array.fetch_add(index(stripe), 1).map(drop)),
        ("update", [1, 1, 1, 1], &|array, stripe| array.update(index(stripe), |old| old + 1).map(drop)),
        ("compare_exchange", [1, 1, 1, 1], &|array, stripe| {
            array.compare_exchange(index(stripe), &(index(stripe) as u64), &77).map(drop)
        }),
        ("swap", [1, 1, 1, 1], &|array, stripe| array.swap(index(stripe), index(stripe) + 1)),
        ("set_range", [1, 1, 1, 1], &|array, stripe| array.set_range(index(stripe)..index(stripe) + 2, &[77, 78])),
    ]);
    subject.check_reading("get", &|array| array.get(7).map(drop));
    subject.check_reading("read_range", &|array| array.read_range(0..300, &mut [0; 300]));
    subject.check_reading("scan", &|array| array.scan().collect::<Result<Vec<_>>>().map(drop));
}

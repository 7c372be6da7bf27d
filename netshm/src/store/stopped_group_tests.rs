//! Readers of an object on which a stopped group has changed something.

use std::sync::Arc;
use std::time::Duration;

use super::wait_tests::{MINUTE, Texts, within};
use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::os::fork::tests::Child;
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::Scratch;

/// What is committed is read at once, whatever a group does meanwhile.
#[test]
fn a_reading_does_not_wait_for_a_stopped_group() {
    for locking in [Locking::None, Locking::Record, Locking::Futex] {
        let scratch = Scratch::new();
        let table = scratch.texts(locking).unwrap();
        table.add(&1, "v").unwrap();
        let name = scratch.name();
        within(MINUTE, move || {
            let open = |read_only| {
                let shm = Shm::options().read_only(read_only).open(&name).unwrap();
                Texts::options().locking(locking).lock_timeout(Duration::from_nanos(1)).manage(shm).unwrap()
            };
            let readers = [open(true), open(false)];
            let mut child = Child::start(|| {
                let table = Texts::manage(Shm::open(&name).unwrap(), locking).unwrap();
                let outcome = group!(table => {
                    table.replace(&1, "w")?;
                    for key in 2..200 {
                        table.add(&key, "added")?;
                    }
                    steps::pause_after(0);
                    steps::step();
                    table.replace(&1, "x")?;
                });
                i32::from(outcome.is_err())
            });
            assert_eq!(child.wait(), None);
            for reader in &readers {
                assert_eq!(reader.find(&1).unwrap().as_deref(), Some("v"), "{locking}");
                assert_eq!(reader.find(&7).unwrap(), None);
                assert_eq!(reader.find_all(&1).unwrap(), ["v"]);
                assert_eq!(reader.find_many(&[1, 7]).unwrap(), [Some("v".to_owned()), None]);
                assert!(reader.contains(&1).unwrap() && !reader.contains(&7).unwrap());
                assert_eq!(reader.keys().count() + reader.values().count(), 2);
                assert_eq!(reader.len().unwrap(), 1);
                assert_eq!(reader.scan().collect::<Result<Vec<_>>>().unwrap(), [(1, "v".to_owned())]);
            }
            child.go_on();
            assert_eq!(child.wait(), Some(0));
            for reader in &readers {
                assert_eq!(reader.find(&1).unwrap().as_deref(), Some("x"));
                assert_eq!(reader.len().unwrap(), 199);
            }
        });
    }
}

/// What a thread's own group changes is seen through the handle of the group; through another, what was there before.
#[test]
fn another_handle_shows_what_was_before_the_own_group() {
    let scratch = Scratch::new();
    let table = scratch.texts(Locking::Futex).unwrap();
    table.add(&1, "v").unwrap();
    let name = scratch.name();
    within(MINUTE, move || {
        let reader = Texts::manage(Shm::options().read_only(true).open(&name).unwrap(), Locking::Futex).unwrap();
        group!(table => {
            table.replace(&1, "w")?;
            table.add(&2, "w")?;
            assert_eq!((reader.find(&1)?.as_deref(), reader.len()?), (Some("v"), 1));
            assert_eq!((table.find(&1)?.as_deref(), table.len()?), (Some("w"), 2));
            // Entries come to those that the thread has read already; others go.
            let undone: Result<()> = group!(table => {
                table.replace(&1, "a longer one, in another record")?;
                assert_eq!((reader.find(&1)?.as_deref(), reader.len()?), (Some("v"), 1));
                return Err(Error::Forked { object: "any error".into() });
            });
            assert!(undone.is_err());
            assert_eq!((reader.find(&1)?.as_deref(), reader.len()?), (Some("v"), 1));
            table.remove(&1)?;
            assert_eq!((reader.find(&1)?.as_deref(), reader.len()?), (Some("v"), 1));
        })
        .unwrap();
        assert_eq!((reader.find(&1).unwrap(), reader.find(&2).unwrap().as_deref()), (None, Some("w")));
    });
}

/// The log that readers look past says anything: an error where it can be nothing else, and no wait.
#[test]
fn a_hostile_log_is_an_error() {
    use std::sync::atomic::Ordering::Relaxed;

    use crate::layout::LogAt;

    let scratch = Scratch::new();
    let table: HashTable<u64, u64> = HashTable::options().stripes(1).slots(2).manage(scratch.open()).unwrap();
    table.add(&1, &1).unwrap();
    let name = scratch.name();
    within(MINUTE, move || {
        let reader = Shm::options().read_only(true).open(&name).unwrap();
        let reader: HashTable<u64, u64> = HashTable::manage(reader, Locking::Futex).unwrap();
        let (store, geometry) = (&table.handle().store, *table.handle().store.geometry());
        group!(table => {
            table.replace(&1, &2)?;
            let slot = (0..2).find(|slot| store.field(geometry.slot(*slot).log_word()).load(Relaxed) as u32 != 0).unwrap();
            let (word, log) = (store.field(geometry.slot(slot).log_word()), geometry.log(slot));
            let honest = word.load(Relaxed);
            let (entry, link) = (store.field(log.entry(0)), store.field(log.link()));
            let named = entry.load(Relaxed);
            assert_eq!(reader.find(&1)?, Some(1));
            let lie = |state: u64, first: u64, next: u64| {
                word.store(state, Relaxed);
                entry.store(first, Relaxed);
                link.store(next, Relaxed);
                let outcome = reader.find(&1);
                word.store(honest, Relaxed);
                entry.store(named, Relaxed);
                link.store(0, Relaxed);
                outcome
            };
            // Each in an epoch of its own, or else the thread would believe what it has read before.
            let epoch = |number: u64, entries: u64| ((honest >> 32) + number) << 32 | entries;
            let start = geometry.data_start();
            for (state, first, next, what) in [
                (epoch(1, 1), 3, 0, "between two words"),
                (epoch(2, 1), geometry.stripe(0).lock().bytes(), 0, "a lock word"),
                (epoch(3, 1), 8, 0, "the header's fixed part"),
                (epoch(4, 1), u64::MAX - 7, 0, "outside"),
                (epoch(5, u64::from(u32::MAX)), named, 0, "more entries than room"),
                (epoch(6, LogAt::FIRST_CAPACITY + 1), named, start, "a segment that is no segment"),
                (epoch(7, LogAt::FIRST_CAPACITY + 1), named, u64::MAX - 7, "a segment outside"),
            ] {
                let outcome = lie(state, first, next);
                assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{what}: {outcome:?}");
            }
            assert_eq!(reader.find(&1)?, Some(1));
        })
        .unwrap();
        assert_eq!(reader.find(&1).unwrap(), Some(2));
    });
}

/// A binding moves from a stripe that has been counted to one that has not.
#[test]
fn a_count_is_one_that_the_table_had() {
    use crate::layout::StripeAt;
    use crate::os::pause;
    use crate::store::read::View;
    use crate::store::{Limits, sum};

    fn count(view: View<'_>, stripe: StripeAt) -> u64 {
        pause::at("counting a stripe");
        crate::index::bindings_seen(view, stripe)
    }
    let scratch = Scratch::new();
    let table: HashTable<u64, u64> = HashTable::options().stripes(2).manage(scratch.open()).unwrap();
    let reader = Shm::options().read_only(true).open(&scratch.name()).unwrap();
    let reader: HashTable<u64, u64> = HashTable::manage(reader, Locking::Futex).unwrap();
    for key in 0..100 {
        table.add(&key, &key).unwrap();
    }
    let store = table.handle().store.clone();
    let first_in =
        move |stripe, from| (from..).find(|key: &u64| store.stripe_of(store.hash(&[*key])) == stripe).unwrap();
    let (old, new) = (first_in(1, 0), first_in(2, 1000));
    let table = Arc::new(table);
    for counted in [table.handle().store.clone(), reader.handle().store.clone()] {
        let moving = table.clone();
        pause::once_at("counting a stripe", move || {
            pause::once_at("counting a stripe", move || {
                group!(moving => {
                    moving.remove(&old)?;
                    moving.add(&new, &0)?;
                })
                .unwrap();
            });
        });
        assert_eq!(sum::sum(&counted, Limits::default(), count).unwrap(), 100);
        assert!(table.remove(&new).unwrap(), "it has moved");
        table.add(&old, &0).unwrap();
    }
}

/// More changes come than there are passes at first, and then there is a pause.
#[test]
fn a_count_waits_for_a_moment_without_changes() {
    use crate::os::pause;
    use crate::store::sum::LOOKS;
    use crate::store::{Limits, sum};

    /// Moves a binding to the other stripe before each look at one.
    fn move_it(table: Arc<HashTable<u64, u64>>, from: u64, to: u64, times: u32) {
        if times == 0 {
            return;
        }
        pause::once_at(LOOKS, move || {
            group!(table => {
                assert!(table.remove(&from)?);
                table.add(&to, &0)?;
            })
            .unwrap();
            move_it(table, to, from, times - 1);
        });
    }
    let scratch = Scratch::new();
    let table: HashTable<u64, u64> = HashTable::options().stripes(2).manage(scratch.open()).unwrap();
    for key in 0..100 {
        table.add(&key, &key).unwrap();
    }
    let store = table.handle().store.clone();
    let first_in = |stripe, from| (from..).find(|key: &u64| store.stripe_of(store.hash(&[*key])) == stripe).unwrap();
    let (old, new) = (first_in(1, 0), first_in(2, 1000));
    // The last one comes with the first pass of those that have a limit of time, however long that takes.
    move_it(Arc::new(table), old, new, 64 * 2 + 1);
    let count = sum::sum(&store, Limits::default(), crate::index::bindings_seen).unwrap();
    pause::once_at(LOOKS, || ());
    assert_eq!(count, 100);
}

/// The same for arrays.
#[test]
fn reading_an_array_does_not_wait_for_a_stopped_group() {
    use crate::array::Array;

    let scratch = Scratch::new();
    let open = || Array::<u64>::options().stripes(2).manage(scratch.open(), 7);
    let array = open().unwrap();
    array.resize(2000).unwrap();
    array.set_range(0..1000, &[1; 1000]).unwrap();
    let reader = Shm::options().read_only(true).open(&scratch.name()).unwrap();
    let read_only = Array::<u64>::manage(reader, 7, Locking::Futex).unwrap();
    let mut child = Child::start(|| {
        let Ok(array) = open() else { return 2 };
        let outcome = group!(array => {
            array.fill(500..1500, &9)?;
            array.resize(3000)?;
            steps::pause_after(0);
            steps::step();
        });
        i32::from(outcome.is_err())
    });
    assert_eq!(child.wait(), None);
    for reader in [&array, &read_only] {
        let mut all = [0; 2000];
        reader.read_range(.., &mut all).unwrap();
        assert!(all[..1000].iter().all(|element| *element == 1) && all[1000..].iter().all(|element| *element == 7));
        assert_eq!(reader.get_many([0, 700, 1200]).unwrap(), [1, 1, 7]);
        assert_eq!((reader.get(999).unwrap(), reader.get(1000).unwrap(), reader.len().unwrap()), (1, 7, 2000));
        assert_eq!(reader.scan().collect::<Result<Vec<_>>>().unwrap(), all);
        assert!(reader.get(2500).is_err());
    }
    child.go_on();
    assert_eq!(child.wait(), Some(0));
    assert_eq!((array.get(700).unwrap(), array.get(2500).unwrap()), (9, 7));
}

//! Reading past changes that go on while they are read past: the hooks make the race certain.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::past;
use super::read::Attempt;
use crate::array::Array;
use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::index::record::IS_FOUND;
use crate::layout::method::Locking;
use crate::os::fork::tests::Child;
use crate::os::pause;
use crate::shm::Shm;
use crate::testing::Scratch;

type Numbers = HashTable<u64, u64>;

fn open(scratch: &Scratch) -> Numbers {
    Numbers::options().locking(Locking::Futex).stripes(1).slots(2).init(1).manage(scratch.open()).unwrap()
}

/// Returns another handle, which is not the one of this thread's groups.
fn reader(scratch: &Scratch) -> Numbers {
    Numbers::manage(Shm::options().read_only(true).open(&scratch.name()).unwrap(), Locking::Futex).unwrap()
}

/// Returns a table whose keys have the value 1, and another handle to it.
fn filled(scratch: &Scratch, keys: u64) -> (Numbers, Numbers) {
    let table = open(scratch);
    (0..keys).for_each(|key| table.add(&key, &1).unwrap());
    (table, reader(scratch))
}

/// Runs `work` whenever this thread comes to the place, until it returns false.
fn whenever_at(place: &'static str, mut work: impl FnMut() -> bool + 'static) {
    pause::once_at(place, move || {
        if work() {
            whenever_at(place, work);
        }
    });
}

/// Lets no hook outlive the test.
fn nothing_more() {
    pause::once_at("", || {});
}

fn any_error() -> Error {
    Error::Forked { object: "any error".into() }
}

/// Each time the stripe has been read, the group changes one more of the keys that have been read.
#[test]
fn a_stripe_whose_keys_change_one_after_the_other() {
    const KEYS: u64 = 500;
    let scratch = Scratch::new();
    let (table, reader) = filled(&scratch, KEYS);
    group!(table => {
        table.replace(&0, &2)?;
        let passes = Rc::new(Cell::new(0));
        let (counted, writer) = (passes.clone(), table.clone());
        whenever_at(past::HAS_BEEN_READ, move || {
            counted.set(counted.get() + 1);
            counted.get() < KEYS && writer.replace(&counted.get(), &2).is_ok()
        });
        let values: Vec<u64> = reader.values().collect::<Result<_>>()?;
        assert_eq!(values, [1; KEYS as usize]);
        assert!(passes.get() <= 2, "{} passes", passes.get());
    })
    .unwrap();
    nothing_more();
}

/// The same while copies are made: words change, and change back, before each.
#[test]
fn copies_of_what_changes_while_it_is_copied() {
    const KEYS: u64 = 500;
    let scratch = Scratch::new();
    let (table, reader) = filled(&scratch, KEYS);
    group!(table => {
        table.replace(&0, &2)?;
        let copies = Rc::new(Cell::new(0));
        let (counted, writer) = (copies.clone(), table.clone());
        pause::once_at(past::HAS_BEEN_READ, move || {
            writer.replace(&(KEYS - 1), &2).unwrap();
            whenever_at(past::IS_COPIED, move || {
                let number = counted.get() + 1;
                counted.set(number);
                let undone: Result<()> = group!(writer => {
                    writer.replace(&(number % KEYS), &3)?;
                    if number % 2 == 0 {
                        return Err(any_error());
                    }
                });
                undone.is_err() == (number % 2 == 0)
            });
        });
        let values: Vec<u64> = reader.values().collect::<Result<_>>()?;
        assert_eq!(values, [1; KEYS as usize]);
        assert!(copies.get() > 50, "{} copies", copies.get());
    })
    .unwrap();
    nothing_more();
}

/// Whenever a reader has read the log of a group, a part of the group is undone.
#[test]
fn parts_that_are_undone_while_the_log_is_read() {
    const KEYS: u64 = 500;
    let scratch = Scratch::new();
    let (table, reader) = filled(&scratch, KEYS);
    group!(table => {
        (0..KEYS).try_for_each(|key| table.replace(&key, &2))?;
        let logs = Rc::new(Cell::new(0));
        let (counted, writer) = (logs.clone(), table.clone());
        whenever_at(past::LOG_HAS_BEEN_READ, move || {
            counted.set(counted.get() + 1);
            let undone: Result<()> = group!(writer => {
                // A key that nobody has changed, and one that is changed already.
                writer.add(&KEYS, &3)?;
                writer.replace(&0, &3)?;
                return Err(any_error());
            });
            undone.is_err()
        });
        for key in [0, 1, KEYS - 1] {
            assert_eq!(reader.find(&key)?, Some(1));
        }
        assert_eq!(reader.find(&KEYS)?, None);
        assert!(logs.get() <= 2, "read {} times", logs.get());
    })
    .unwrap();
    nothing_more();
}

/// Reads a key, of which nothing is changed at first, past a change that spoils the reading and ends as soon as one of the copies has been
/// made: the first of them, then the second, and so on. What is read must be what `is_right` allows.
fn change_that_ends_at_each_copy<R>(
    bindings: usize,
    bytes: usize,
    read: impl Fn(&HashTable<u64, Vec<u8>>) -> Result<R>,
    is_right: impl Fn(&R) -> bool,
) {
    type Texts = HashTable<u64, Vec<u8>>;
    for number in 1.. {
        let scratch = Scratch::new();
        let table = Texts::options().stripes(1).slots(2).init(1).manage(scratch.open()).unwrap();
        (0..bindings).for_each(|_| table.add(&1, &vec![1; bytes]).unwrap());
        table.add(&0, &vec![1; bytes]).unwrap();
        let (go, told) = channel::<()>();
        let (done, has_done) = channel();
        let writer = thread::spawn(move || {
            group!(table => {
                table.replace(&0, &vec![2; bytes])?;
                done.send(()).unwrap();
                told.recv().unwrap();
                table.replace(&1, &vec![2; bytes])?;
                done.send(()).unwrap();
                told.recv().unwrap();
            })
            .unwrap();
            done.send(()).unwrap();
        });
        has_done.recv().unwrap();
        let reading = Shm::options().read_only(true).open(&scratch.name()).unwrap();
        let reader = Texts::manage(reading, Locking::Futex).unwrap();
        let copies = Rc::new(Cell::new(0));
        let counted = copies.clone();
        let next = Rc::new(move || {
            // At the end, nobody waits any more.
            let _ = go.send(());
            let _ = has_done.recv();
        });
        let at_end = next.clone();
        pause::once_at(past::HAS_BEEN_READ, move || {
            next();
            whenever_at(past::IS_RIGHT, move || {
                counted.set(counted.get() + 1);
                if counted.get() == number {
                    next();
                }
                counted.get() < number
            });
        });
        let outcome = read(&reader).unwrap();
        assert!(is_right(&outcome), "the change ended at copy {number}");
        nothing_more();
        at_end();
        writer.join().unwrap();
        if copies.get() < number {
            assert!(number > 2, "{} copies", copies.get());
            return;
        }
    }
}

/// The last copy is that of a large value, which is decoded then.
#[test]
fn a_change_that_ends_before_a_copy_is_decoded() {
    const BYTES: usize = 20_000;
    let is_right = |value: &Option<Vec<u8>>| *value == Some(vec![1; BYTES]) || *value == Some(vec![2; BYTES]);
    change_that_ends_at_each_copy(1, BYTES, |table| table.find(&1), is_right);
}

/// A reading that is long looks now and then whether it still makes sense to go on.
#[test]
fn a_change_that_ends_in_the_middle_of_a_long_reading() {
    const BINDINGS: usize = 150;
    let is_right = |values: &Vec<Vec<u8>>| values.len() == BINDINGS;
    change_that_ends_at_each_copy(BINDINGS, 10, |table| table.find_all(&1), is_right);
    change_that_ends_at_each_copy(
        BINDINGS,
        10,
        |table| table.scan().map(|row| row.map(|(_, value)| value)).collect::<Result<_>>(),
        |values: &Vec<Vec<u8>>| values.len() == BINDINGS + 1,
    );
}

/// A thread does not keep what the log of a change said for longer than it may need it.
#[test]
fn a_change_that_has_ended_is_forgotten() {
    let scratch = Scratch::new();
    let table = open(&scratch);
    table.add(&1, &1).unwrap();
    let reader = reader(&scratch);
    group!(table => {
        table.replace(&1, &2)?;
        assert_eq!(reader.find(&1)?, Some(1));
        assert_eq!(past::remembered(), 1);
    })
    .unwrap();
    assert_eq!(reader.len().unwrap(), 1);
    assert_eq!(past::remembered(), 0);
}

/// A writer that ends while a reader finds out which one it is.
#[test]
fn a_writer_that_ends_is_no_unknown_one() {
    let scratch = Scratch::new();
    let table = open(&scratch);
    table.add(&1, &1).unwrap();
    let ((begun, has_begun), (end, ends)) = (channel(), channel());
    let writer = thread::spawn(move || {
        group!(table => {
            table.replace(&1, &2)?;
            begun.send(()).unwrap();
            ends.recv().unwrap();
        })
        .unwrap();
    });
    has_begun.recv().unwrap();
    let reader = reader(&scratch);
    let store = &reader.handle().store;
    pause::once_at(past::HAS_BEGUN, move || {
        end.send(()).unwrap();
        writer.join().unwrap();
    });
    let attempt = past::attempt(store, store.geometry().first(), |_| Ok(()));
    assert!(matches!(attempt, Attempt::Spoiled));
}

/// What others have made of the object since it was mapped is no damage, whatever is read first.
#[test]
fn what_has_grown_since_is_sound() {
    const KEYS: u64 = 2_000;
    let scratch = Scratch::new();
    let options = Numbers::options().locking(Locking::Futex).pagesize(256).stripes(1).slots(2).init(1);
    let (table, reader) = (options.manage(scratch.open()).unwrap(), reader(&scratch));
    (0..KEYS).for_each(|key| table.add(&key, &1).unwrap());
    group!(table => {
        (0..KEYS).step_by(2).try_for_each(|key| table.replace(&key, &2))?;
        assert_eq!(reader.values().collect::<Result<Vec<u64>>>()?, [1; KEYS as usize]);
    })
    .unwrap();
}

#[test]
fn a_stack_that_has_grown_since_is_sound() {
    let scratch = Scratch::new();
    let texts = |scratch: &Scratch| -> HashTable<u64, String> {
        HashTable::options().locking(Locking::Futex).stripes(1).slots(2).manage(scratch.open()).unwrap()
    };
    let table = texts(&scratch);
    table.add(&1, "a").unwrap();
    table.add(&2, "b").unwrap();
    let reader = texts(&scratch);
    let bindings = reader.handle().store.region().known_words();
    (0..bindings).for_each(|_| table.add(&2, "b").unwrap());
    // So that the newest one takes a block that was there at the beginning.
    table.remove(&1).unwrap();
    table.add(&2, "c").unwrap();
    assert_eq!(reader.find_all(&2).unwrap().len() as u64, bindings + 2);
}

#[test]
fn a_directory_that_has_grown_since_is_sound() {
    let scratch = Scratch::new();
    let array = |scratch: &Scratch| -> Array<u64> {
        Array::options().locking(Locking::Futex).stripes(1).slots(2).manage(scratch.open(), 0).unwrap()
    };
    let writer = array(&scratch);
    writer.resize(1 << 40).unwrap();
    writer.set(0, &1).unwrap();
    let reader = array(&scratch);
    let elements = reader.handle().store.region().known_words() as usize / 64;
    (1..=elements).for_each(|number| writer.set(number << 25, &1).unwrap());
    assert_eq!(reader.written().unwrap().len(), elements + 1);
}

/// Memory that is taken and given back all the time changes neither schemas nor members.
#[test]
fn schemas_and_members_beside_meta_changes() {
    let scratch = Scratch::new();
    let texts = || -> HashTable<u64, String> { HashTable::options().slots(2).manage(scratch.open()).unwrap() };
    let (writer, reader) = (texts(), texts());
    let meta_changes = Rc::new(Cell::new(0));
    let counted = meta_changes.clone();
    whenever_at("words of announced meta changes have been read", move || {
        counted.set(counted.get() + 1);
        let bytes = 100_000 + 10_000 * (counted.get() % 2);
        writer.replace(&1, &"v".repeat(bytes)).is_ok()
    });
    let store = &reader.handle().store;
    assert_eq!(store.schema().unwrap().1, 0);
    assert_eq!(reader.shm().members().unwrap().len(), 1);
    assert!(meta_changes.get() > 1);
    nothing_more();
}

/// Whatever is read without a lock has changed before the reading ends: a short change follows upon the other, so there is none to read past.
#[test]
fn a_stream_of_short_changes() {
    for locking in [Locking::Record, Locking::Futex] {
        let scratch = Scratch::new();
        let open = |read_only: bool, limit: Duration| {
            let shm = Shm::options().create(!read_only).read_only(read_only).open(&scratch.name()).unwrap();
            let options = HashTable::<u64, String>::options().locking(locking).stripes(1).lock_timeout(limit);
            options.manage(shm).unwrap()
        };
        let minute = Duration::from_secs(60);
        let (writer, writable) = (open(false, Duration::from_millis(50)), open(false, minute));
        writer.add(&1, "0000000").unwrap();
        let read = |reader: &HashTable<u64, String>, spoiled: u32| {
            let (count, changing) = (Rc::new(Cell::new(0)), writer.clone());
            let counted = count.clone();
            whenever_at(IS_FOUND, move || {
                // It cannot be changed once the reader has locked it.
                let next = counted.get() + 1;
                let goes_on = next <= spoiled && changing.replace(&1, &format!("{next:07}")).is_ok();
                counted.set(counted.get() + u32::from(goes_on));
                goes_on
            });
            let found = reader.find(&1);
            nothing_more();
            (count.get(), found)
        };
        let (count, found) = read(&writable, u32::MAX);
        assert!((64..200).contains(&count), "{locking}: it has locked after {count} attempts");
        assert_eq!(found.unwrap(), Some(format!("{count:07}")));
        // A reader that cannot lock tries until the next change, or until its time is over.
        let (count, found) = read(&open(true, minute), 500);
        assert_eq!((count, found.unwrap().as_deref()), (500, Some("0000500")));
        let (_, found) = read(&open(true, Duration::from_millis(20)), u32::MAX);
        assert!(matches!(found, Err(Error::LockTimeout { .. })), "{found:?}");
    }
}

/// The same by several processes, which are never seen to go back.
#[test]
fn streams_of_short_changes_by_several_processes() {
    const READINGS: u64 = 2000;
    let scratch = Scratch::new();
    let (table, read_only) = filled(&scratch, 3);
    let writers = [0, 1].map(|key| {
        Child::start(|| {
            let table = open(&scratch);
            for value in 2.. {
                if table.replace(&key, &value).is_err() {
                    break;
                }
            }
            1
        })
    });
    let mut last = [1; 2];
    for reading in 0..READINGS {
        let reader = if reading % 2 == 0 { &table } else { &read_only };
        let found = reader.find_many(&[0, 1, 2]).unwrap();
        assert_eq!(found[2], Some(1));
        for (last, found) in last.iter_mut().zip(found) {
            assert!(found >= Some(*last), "{found:?} after {last}");
            *last = found.unwrap();
        }
    }
    drop(writers);
    assert!(table.check().unwrap().is_clean());
}

//! The objects that are damaged: as small as they can be with everything in them that an object may have.

use std::fs;

use netshm::{Array, Error, HashTable, Locking, ManageOptions, Result, Shm, Table};

use super::{OBJECT, Subject, verbs};
use crate::Directory;

/// Room for stripes. With more of it, most of an object would be a hole, which takes time and is of no use when damaged.
const ROOM: u32 = 4;
/// An object does not grow beyond this, since it is the system that makes it grow, which takes time.
const MOST_BYTES: u64 = 1 << 18;

/// An object to be damaged.
pub(super) struct Object {
    /// Returns its bytes.
    pub(super) make: fn(&Directory) -> Result<Vec<u8>>,
    /// Uses it.
    pub(super) use_it: fn(&Subject<'_>) -> Result<()>,
}

pub(super) const OBJECTS: [Object; 11] = [
    Object { make: |place| texts(place, Locking::Futex), use_it: verbs::texts },
    Object { make: |place| texts(place, Locking::Record), use_it: verbs::texts },
    Object { make: |place| texts(place, Locking::None), use_it: verbs::texts },
    Object { make: pairs, use_it: verbs::pairs },
    Object { make: blocks, use_it: verbs::blocks },
    Object { make: array, use_it: verbs::array },
    Object { make: numbers, use_it: verbs::numbers },
    Object { make: members, use_it: verbs::members },
    Object { make: texts_in_a_group, use_it: verbs::texts },
    Object { make: array_in_a_group, use_it: verbs::array },
    Object { make: trimmed, use_it: verbs::texts },
];

pub(super) type Texts = HashTable<u64, String>;
pub(super) type Pairs = HashTable<u64, u64>;

/// Makes an object, and returns its bytes when `make` is done; that may take them earlier itself.
fn make(place: &Directory, make: impl FnOnce(Shm, &mut dyn FnMut()) -> Result<()>) -> Result<Vec<u8>> {
    let path = place.join(OBJECT);
    let mut taken = None;
    let read = || fs::read(&path).expect("a file of our own");
    make(Shm::open_or_create(place.name(OBJECT))?, &mut || taken = Some(read()))?;
    let bytes = taken.unwrap_or_else(read);
    fs::remove_file(&path).expect("a file of our own");
    Ok(bytes)
}

/// Returns options of a small object.
fn small<T>(options: ManageOptions<T>) -> ManageOptions<T> {
    options.locking(Locking::Futex).stripes(1).stripe_room(ROOM).slots(2).init(1).max_size(MOST_BYTES)
}

fn fill_texts(table: &Texts) -> Result<()> {
    for number in 0..30 {
        table.add(&(number % 9), &"x".repeat((number * number % 97) as usize))?;
    }
    table.add(&6, &"large".repeat(1700))?;
    (0..3).try_for_each(|key| table.remove(&key).map(drop))
}

fn texts(place: &Directory, locking: Locking) -> Result<Vec<u8>> {
    make(place, |shm, _| fill_texts(&small(Texts::options()).locking(locking).manage(shm)?))
}

fn pairs(place: &Directory) -> Result<Vec<u8>> {
    make(place, |shm, _| {
        let table = small(Pairs::options()).manage(shm)?;
        (0..30).try_for_each(|number| table.add(&(number % 24), &!number))
    })
}

fn blocks(place: &Directory) -> Result<Vec<u8>> {
    make(place, |shm, _| {
        let table = small(Table::options()).manage(shm)?;
        (0..20).try_for_each(|number| table.add(number % 5 - 2, &vec![number; (number * number % 83) as usize]))
    })
}

fn array(place: &Directory) -> Result<Vec<u8>> {
    make(place, |shm, _| fill_array(&small(Array::options()).manage(shm, "default".to_owned())?))
}

fn fill_array(array: &Array<String>) -> Result<()> {
    array.resize(3000)?;
    (0..8).try_for_each(|at| array.set(at * at * 57, &"y".repeat(at * 7)))
}

fn numbers(place: &Directory) -> Result<Vec<u8>> {
    make(place, |shm, _| {
        let array = small(Array::<u64>::options()).manage(shm, 7)?;
        array.resize(1500)?;
        (0..5).try_for_each(|at| array.set(at * 301, &(at as u64)))
    })
}

/// Makes an object of several members, one of which has been removed.
fn members(place: &Directory) -> Result<Vec<u8>> {
    make(place, |shm, _| {
        let texts = small(Texts::options()).named("texts").manage(shm.clone())?;
        (0..6).try_for_each(|key| texts.add(&key, &"text".repeat(key as usize * 5)))?;
        let removed = small(Pairs::options()).named("removed").manage(shm.clone())?;
        removed.add(&1, &2)?;
        let array = small(Array::<String>::options()).named("array").manage(shm.clone(), "default".to_owned())?;
        array.resize(300)?;
        array.set(3, "three")?;
        drop(removed);
        shm.remove_member("removed")?;
        let pairs = small(Pairs::options()).named("pairs").manage(shm)?;
        (0..6).try_for_each(|key| pairs.add(&key, &!key))
    })
}

/// Makes an object whose only writer has died in the middle of a group, a part of which had been undone.
fn texts_in_a_group(place: &Directory) -> Result<Vec<u8>> {
    make(place, |shm, take| {
        let table = small(Texts::options()).manage(shm)?;
        fill_texts(&table)?;
        table.group(|| -> Result<()> {
            table.add(&3, &"in a group".repeat(20))?;
            let undone = table.group(|| -> Result<(), Option<Error>> {
                table.add(&4, &"undone".repeat(20))?;
                table.remove(&99)?;
                Err(None)
            });
            assert!(undone.is_err(), "the group was to be undone");
            table.remove_all(&5)?;
            table.add(&7, &"run".repeat(3000))?;
            take();
            Ok(())
        })
    })
}

fn array_in_a_group(place: &Directory) -> Result<Vec<u8>> {
    make(place, |shm, take| {
        let array = small(Array::options()).manage(shm, "default".to_owned())?;
        fill_array(&array)?;
        array.group(|| -> Result<()> {
            array.set(1, &"in a group".repeat(9))?;
            array.resize(2000)?;
            array.set(1999, "last")?;
            take();
            Ok(())
        })
    })
}

/// Makes an object whose free runs have holes.
fn trimmed(place: &Directory) -> Result<Vec<u8>> {
    make(place, |shm, _| {
        let table = small(Texts::options()).manage(shm.clone())?;
        fill_texts(&table)?;
        for key in 20..24 {
            table.add(&key, &"large".repeat(4000))?;
        }
        for key in [20, 22] {
            table.remove(&key)?;
        }
        shm.trim().map(drop)
    })
}

//! Scribbles over a valid object and uses it: every verb must end in a value or an error.
//!
//! The first byte of the input chooses the object, and whether it is repaired in the end; the second one which verbs are used, so
//! that a run is short. Each seven more are a change: what to do (1), where (2), and with what (4). Half of the changes are made
//! by somebody who knows the layout ([`netshm::damage`]); the others change any word.
//!
//! Waits have a limit, as a run has; `cargo fuzz` limits its memory: see `just fuzz`.
#![no_main]

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use netshm::damage::{settle, spoil};
use netshm::{Array, Flow, HashTable, Locking, Result, Shm, Table, repair};
use netshm_tests::Directory;

/// Name of the object in its directory.
const OBJECT: &str = "object";
/// Time for which a verb may wait for a lock that only damage holds.
const TIMEOUT: Duration = Duration::from_micros(50);
/// Time for which an object is used if its words make it slow; a single verb must not take much longer.
const TURN: Duration = Duration::from_millis(2);
const TOO_LONG: Duration = Duration::from_secs(2);

/// Room for stripes. With more of it, most of an object would be a hole, which takes time and is of no use when damaged.
const ROOM: u32 = 4;

type Texts = HashTable<u64, String>;

struct Kind {
    make: fn(Shm) -> Result<()>,
    torment: fn(Shm, Verbs) -> Result<()>,
}

/// Which verbs are used.
#[derive(Clone, Copy)]
struct Verbs(u8);

impl Verbs {
    fn has(self, number: u8) -> bool {
        self.0 >> number & 1 == 1
    }
}

const KINDS: [Kind; 5] = [
    Kind { make: |shm| make_texts(shm, Locking::Futex), torment: torment_texts },
    Kind { make: |shm| make_texts(shm, Locking::None), torment: torment_texts },
    Kind { make: make_array, torment: torment_array },
    Kind { make: make_table, torment: torment_table },
    Kind { make: make_pairs, torment: torment_pairs },
];

fn make_texts(shm: Shm, locking: Locking) -> Result<()> {
    let table = Texts::options().locking(locking).stripes(1).stripe_room(ROOM).slots(1).init(1).manage(shm)?;
    for number in 0..30 {
        table.add(&(number % 9), &"x".repeat((number * number % 97) as usize))?;
    }
    table.add(&6, &"large".repeat(2000))?;
    (0..5).try_for_each(|key| table.remove(&key).map(drop))
}

fn torment_texts(shm: Shm, verbs: Verbs) -> Result<()> {
    let began = Instant::now();
    let table = Texts::options().lock_timeout(TIMEOUT).manage(shm)?;
    if verbs.has(0) {
        drop(table.check().map(|report| report.to_string()));
    }
    for key in 0..10 {
        if verbs.has(1) && !is_over(began) {
            drop((table.find(&key), table.find_all(&key), table.contains(&key)));
        }
    }
    if verbs.has(2) {
        drop((table.for_each(|_, _| ()), table.scan().take(1000).last(), table.len(), table.stats()));
    }
    for key in 0..12 {
        if verbs.has(3) && !is_over(began) {
            drop((table.replace(&key, "other"), table.add(&key, &"long ".repeat(key as usize * 9))));
        }
        if verbs.has(4) && !is_over(began) {
            drop((table.pop(&(key + 3)), table.remove_all(&(key + 5))));
        }
    }
    if verbs.has(5) {
        drop(table.group(|| -> Result<()> {
            table.find(&3)?;
            table.add(&3, &"in a group".repeat(300))?;
            table.remove_all(&4).map(drop)
        }));
    }
    if verbs.has(6) {
        drop(table.clear());
    }
    if verbs.has(7) {
        drop(table.check());
    }
    Ok(())
}

/// Returns whether an object has been used for as long as it may.
fn is_over(began: Instant) -> bool {
    began.elapsed() >= TURN
}

fn make_array(shm: Shm) -> Result<()> {
    let options = Array::<String>::options().locking(Locking::Futex).stripes(1).stripe_room(ROOM).slots(1);
    let array = options.manage(shm, "default".to_owned())?;
    array.resize(30_000)?;
    (0..19).try_for_each(|at| array.set(at * at * 77, &"y".repeat(at)))
}

fn torment_array(shm: Shm, verbs: Verbs) -> Result<()> {
    let began = Instant::now();
    let array = Array::<String>::options().lock_timeout(TIMEOUT).manage(shm, "default".to_owned())?;
    if verbs.has(0) {
        drop(array.check());
    }
    for at in 0..20 {
        if is_over(began) {
            return Ok(());
        }
        if verbs.has(1) {
            drop(array.get(at * at * 77));
        }
        if verbs.has(2) {
            drop(array.set(at * 991, &"z".repeat(at)));
        }
        if verbs.has(3) {
            drop(array.swap(at, at * 2));
        }
    }
    for (number, length) in [20_000, 3000, 77, 50_000, 0].into_iter().enumerate() {
        if verbs.has(4 + number as u8 % 3) && !is_over(began) {
            drop(array.resize(length));
        }
    }
    if verbs.has(7) {
        drop(array.check());
    }
    Ok(())
}

fn make_table(shm: Shm) -> Result<()> {
    let table = Table::options().locking(Locking::Futex).stripes(1).stripe_room(ROOM).slots(1).init(1).manage(shm)?;
    (0..30).try_for_each(|number| table.add(number % 7 - 2, &vec![number; (number * number % 83) as usize]))
}

fn torment_table(shm: Shm, verbs: Verbs) -> Result<()> {
    let began = Instant::now();
    let table = Table::options().lock_timeout(TIMEOUT).manage(shm)?;
    for key in -2..6 {
        if is_over(began) {
            return Ok(());
        }
        if verbs.has(0) {
            drop(table.find(key));
        }
        if verbs.has(1) {
            drop(table.read_blocks(key, |block| if block.len() > 1000 { Flow::Break } else { Flow::Next }));
        }
        if verbs.has(2) {
            let mut turn = 0;
            drop(table.write_blocks(key, |block| {
                turn += 1;
                if !block.is_empty() {
                    let _ = block.set(0, turn);
                }
                if turn % 3 == 0 { Flow::Remove } else { Flow::Next }
            }));
        }
        if verbs.has(3) {
            drop((table.add(key, &vec![key; 90]), table.remove(key + 1)));
        }
    }
    if verbs.has(7) {
        drop(table.check());
    }
    Ok(())
}

fn make_pairs(shm: Shm) -> Result<()> {
    let table = HashTable::<u64, u64>::options()
        .locking(Locking::Futex)
        .stripes(1)
        .stripe_room(ROOM)
        .slots(1)
        .init(1)
        .manage(shm)?;
    (0..50).try_for_each(|number| table.add(&(number % 42), &!number))
}

fn torment_pairs(shm: Shm, verbs: Verbs) -> Result<()> {
    let began = Instant::now();
    let table = HashTable::<u64, u64>::options().lock_timeout(TIMEOUT).manage(shm)?;
    if verbs.has(0) {
        drop(table.check().map(|report| report.to_string()));
    }
    for key in 0..45 {
        if verbs.has(1) && !is_over(began) {
            drop((table.find(&key), table.find_all(&key)));
        }
    }
    if verbs.has(2) {
        drop((table.for_each(|_, _| ()), table.scan().take(1000).last(), table.len()));
    }
    for key in 0..45 {
        if is_over(began) {
            return Ok(());
        }
        if verbs.has(3) {
            drop((table.replace(&key, &1), table.add(&(key + 3), &2)));
        }
        if verbs.has(4) {
            drop(table.pop(&(key / 2)));
        }
        if verbs.has(5) {
            drop(table.remove_all(&(key / 3)));
        }
    }
    if verbs.has(6) {
        drop(table.clear());
    }
    if verbs.has(7) {
        drop(table.check());
    }
    Ok(())
}

/// The bytes of the sound objects.
fn sound() -> &'static [Vec<u8>; 5] {
    static SOUND: OnceLock<[Vec<u8>; 5]> = OnceLock::new();
    SOUND.get_or_init(|| {
        KINDS.map(|kind| {
            let directory = Directory::in_memory("fuzz");
            (kind.make)(Shm::open_or_create(&directory.name(OBJECT)).unwrap()).unwrap();
            fs::read(directory.join(OBJECT)).unwrap()
        })
    })
}

fn scribble(bytes: &mut [u8], what: u8, place: u16, with: u32) {
    let words = bytes.len() / 8;
    let at = usize::from(place) % words;
    let load = |bytes: &[u8], at: usize| u64::from_ne_bytes(bytes[at * 8..at * 8 + 8].try_into().unwrap());
    if what & 128 != 0 {
        // Numbers that follow from the change alone.
        let mut state = u64::from(what) << 48 | u64::from(place) << 32 | u64::from(with);
        return spoil(bytes, &mut |limit| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 33) % limit
        });
    }
    let old = load(bytes, at);
    let new = match what % 6 {
        0 => u64::from(with),
        1 => old ^ 1 << (with % 64),
        2 => old.wrapping_add(u64::from(with)).wrapping_sub(1 << 31),
        3 => u64::from(with) << 32,
        4 => load(bytes, with as usize % words),
        _ => !u64::from(with),
    };
    bytes[at * 8..at * 8 + 8].copy_from_slice(&new.to_ne_bytes());
}

/// One in this number of objects is repaired.
const REPAIRED: u8 = 8;

fuzz_target!(|input: &[u8]| {
    let [first, verbs, changes @ ..] = input else { return };
    let kind = usize::from(first % KINDS.len() as u8);
    let mut bytes = sound()[kind].clone();
    for change in changes.chunks_exact(7).take(40) {
        let place = u16::from_le_bytes([change[1], change[2]]);
        scribble(&mut bytes, change[0], place, u32::from_le_bytes(change[3..].try_into().unwrap()));
    }
    // What is left over cuts the object off.
    if let [cut] = changes.chunks_exact(7).remainder() {
        bytes.truncate(bytes.len() * usize::from(*cut) / 256);
    }
    // `repair` looks through the directory.
    let directory = Directory::in_memory("fuzz");
    let name = directory.name(OBJECT);
    let file = fs::File::create(directory.join(OBJECT)).unwrap();
    settle(&mut bytes, file.metadata().unwrap().ino());
    file.write_all_at(&bytes, 0).unwrap();
    let began = Instant::now();
    if let Ok(shm) = Shm::open_or_create(&name) {
        let _ = (KINDS[kind].torment)(shm, Verbs(*verbs));
    }
    if first / KINDS.len() as u8 % REPAIRED == 0 {
        let _ = repair(&name);
    }
    assert!(began.elapsed() < TOO_LONG, "it takes {:?}", began.elapsed());
});

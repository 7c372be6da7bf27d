//! Damaged objects: whatever the bytes are, every verb ends in a value or an error, in bounded time.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use netshm::inspect::Inspector;
use netshm::{Array, Flow, HashTable, Locking, Result, Shm, Table, repair};
use netshm_tests::{Random, Scratch};
use nix::sys::resource::{Resource, setrlimit};

/// Mutations of each object; more with `NETSHM_DAMAGES`.
fn rounds() -> u64 {
    std::env::var("NETSHM_DAMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

/// Time for which a verb may wait for a lock that only damage holds.
const TIMEOUT: Duration = Duration::from_millis(2);
/// Time limit for a round.
const ROUND: Duration = Duration::from_secs(20);
/// Number of bytes that the process may have for its own data. (What is mapped of objects is not counted.)
const MEMORY: u64 = 1 << 30;
/// Room for stripes. With more of it, most of an object would be a hole, and so would most of what is damaged.
const ROOM: u32 = 4;
/// One of this number of objects is repaired at the end, which takes as long as all else.
const REPAIRED: u64 = 4;

fn below(random: &mut Random, limit: usize) -> usize {
    random.below(limit.max(1) as u64) as usize
}

/// Changes some bytes, most often few words, often by a little.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + below(random, 4) {
        if below(random, 2) == 0 {
            netshm::damage::spoil(bytes, &mut |limit| random.number() % limit);
            continue;
        }
        // The first pages hold what ties everything together; they are hit as often as all the rest.
        let area = [4096, 20_000, bytes.len(), bytes.len()][below(random, 4)].min(bytes.len());
        let at = below(random, area / 8) * 8;
        let Some(word) = bytes.get_mut(at..at + 8) else { continue };
        let old = u64::from_ne_bytes(word.try_into().unwrap());
        match below(random, 9) {
            0 => word.copy_from_slice(&(old ^ 1 << below(random, 64)).to_ne_bytes()),
            1 => word.fill(0),
            2 => word.fill(255),
            3 => word.copy_from_slice(&old.wrapping_add(random.number() % 17).wrapping_sub(8).to_ne_bytes()),
            4 => word.copy_from_slice(&random.number().to_ne_bytes()),
            5 => word[below(random, 8)] = random.number() as u8,
            6 => {
                // A piece of the object in a wrong place.
                let len = below(random, 600).min(bytes.len() - at);
                let from = below(random, (bytes.len() - len) / 8) * 8;
                bytes.copy_within(from..from + len, at);
            }
            7 => {
                let end = (at + below(random, 5000)).min(bytes.len());
                bytes[at..end].fill(0);
            }
            _ => {
                let len = below(random, bytes.len());
                bytes.truncate(len);
                return;
            }
        }
    }
}

/// Returns the file behind an object in shared memory.
fn file_of(object: &Scratch) -> PathBuf {
    PathBuf::from(object.name().to_string().replace("posix:", "/dev/shm"))
}

/// Ends the tests with a message if a round takes too long.
fn watch(subject: &str, round: &Arc<AtomicU64>) {
    let (subject, round) = (subject.to_owned(), Arc::downgrade(round));
    std::thread::spawn(move || {
        let mut before = 0;
        // It ends with the test.
        while let Some(now) = round.upgrade().map(|round| round.load(Relaxed)) {
            if now == before {
                eprintln!("{subject}: the round with seed {before} does not end");
                std::process::abort();
            }
            before = now;
            std::thread::sleep(ROUND);
        }
    });
}

/// Uses damaged copies of an object.
fn torment(subject: &str, make: impl Fn(&Scratch), verbs: impl Fn(&Scratch) -> Result<()>) {
    let sound = {
        let object = Scratch::posix(subject);
        make(&object);
        fs::read(file_of(&object)).unwrap()
    };
    let first: u64 = std::env::var("NETSHM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY).unwrap();
    let mut used = 0;
    let round = Arc::new(AtomicU64::new(first));
    watch(subject, &round);
    for seed in first..first + rounds() {
        round.store(seed, Relaxed);
        let mut random = Random::new(seed);
        let mut bytes = sound.clone();
        damage(&mut bytes, &mut random);
        let object = Scratch::posix(subject);
        // A copy is checked when it is opened, and most would be refused; so most are given the inode of their file.
        let file = fs::File::create(file_of(&object)).unwrap();
        if seed % 8 > 0 {
            netshm::damage::settle(&mut bytes, file.metadata().unwrap().ino());
        }
        file.write_all_at(&bytes, 0).unwrap();
        // Which error it is does not matter here, only that it is one.
        drop(Inspector::open(object.name()).and_then(|inspector| inspector.look()));
        used += u64::from(verbs(&object).is_ok());
        drop(Inspector::open(object.name()).and_then(|inspector| inspector.look()));
        if seed % REPAIRED == 0 {
            let _ = repair(object.name());
        }
        drop(object);
    }
    // If nothing could be opened any more, the damage was too great to test anything behind the header.
    assert!(used > rounds() / 10, "only {used} damaged objects could be used");
}

fn table_verbs(object: &Scratch, locking: Locking) -> Result<()> {
    let tab: HashTable<u64, String> =
        HashTable::options().locking(locking).lock_timeout(TIMEOUT).manage(Shm::open(object.name())?)?;
    let report = tab.check()?;
    drop(report.to_string());
    for key in 0..40 {
        drop(tab.find(&key));
        drop(tab.find_all(&key));
    }
    drop(tab.for_each(|_, _| ()));
    drop(tab.for_each_key(|_| ()));
    drop(tab.scan().take(100_000).last());
    drop((tab.len(), tab.stats().map(|stats| stats.to_string())));
    for key in 0..60 {
        drop(tab.replace(&key, "another value"));
        drop(tab.add(&key, &"long ".repeat(200 * (key as usize % 3))));
        drop(tab.remove(&(key + 7)));
        drop(tab.pop(&(key + 9)));
        drop(tab.remove_all(&(key + 11)));
    }
    drop(tab.add(&1, &"very long ".repeat(2000)));
    drop(tab.group(|| -> Result<()> {
        tab.find(&3)?;
        tab.add(&3, "in a group")?;
        tab.remove_all(&4).map(drop)
    }));
    drop(tab.check());
    drop(tab.clear());
    drop(tab.check());
    Ok(())
}

fn fill_table(object: &Scratch, locking: Locking) {
    let tab: HashTable<u64, String> = HashTable::options()
        .locking(locking)
        .stripes(4)
        .stripe_room(ROOM)
        .init(30)
        .slots(4)
        .manage(object.open())
        .unwrap();
    for i in 0..300u64 {
        tab.add(&(i % 60), &"x".repeat((i * i % 97) as usize)).unwrap();
    }
    tab.add(&3, &"large".repeat(3000)).unwrap();
    for i in 0..20 {
        tab.remove(&i).unwrap();
    }
}

#[test]
fn damaged_tables_with_futex_locking() {
    torment("damage-futex", |object| fill_table(object, Locking::Futex), |object| table_verbs(object, Locking::Futex));
}

#[test]
fn damaged_tables_with_record_locking() {
    torment(
        "damage-record",
        |object| fill_table(object, Locking::Record),
        |object| table_verbs(object, Locking::Record),
    );
}

#[test]
fn damaged_tables_without_locking() {
    torment("damage-none", |object| fill_table(object, Locking::None), |object| table_verbs(object, Locking::None));
}

#[test]
fn damaged_tables_of_pairs() {
    let make = |object: &Scratch| {
        let options = HashTable::options().locking(Locking::Futex).stripes(2).stripe_room(ROOM).init(10).slots(4);
        let tab: HashTable<u64, u64> = options.manage(object.open()).unwrap();
        for i in 0..400u64 {
            tab.add(&(i % 310), &!i).unwrap();
        }
    };
    torment("damage-pairs", make, |object| {
        let options = HashTable::options().locking(Locking::Futex).lock_timeout(TIMEOUT);
        let tab: HashTable<u64, u64> = options.manage(Shm::open(object.name())?)?;
        drop(tab.check()?.to_string());
        for key in 0..320 {
            drop((tab.find(&key), tab.find_all(&key)));
        }
        drop(tab.find_many(&[1, 2, 3, 500]));
        drop((tab.for_each(|_, _| ()), tab.scan().take(100_000).last(), tab.len()));
        for key in 0..320 {
            drop((tab.replace(&key, &1), tab.add(&(key + 5), &2), tab.remove(&(key / 2)), tab.pop(&(key + 9))));
            drop((tab.add(&(key + 1000), &3), tab.remove_all(&(key / 3))));
        }
        drop(tab.check());
        drop(tab.clear());
        drop(tab.check());
        Ok(())
    });
}

#[test]
fn damaged_primitive_tables() {
    let make = |object: &Scratch| {
        let tab = Table::options()
            .locking(Locking::Futex)
            .stripes(2)
            .stripe_room(ROOM)
            .init(10)
            .slots(4)
            .manage(object.open())
            .unwrap();
        for i in 0..200 {
            tab.add(i % 50 - 20, &vec![i; (i * i % 211) as usize]).unwrap();
        }
    };
    torment("damage-blocks", make, |object| {
        let tab = Table::options().locking(Locking::Futex).lock_timeout(TIMEOUT).manage(Shm::open(object.name())?)?;
        for key in -20..30 {
            drop(tab.find(key));
            drop(tab.read_blocks(key, |block| if block.len() > 1000 { Flow::Break } else { Flow::Next }));
            let mut turn = 0;
            drop(tab.write_blocks(key, |block| {
                turn += 1;
                if !block.is_empty() {
                    let _ = block.set(0, turn);
                }
                if turn % 3 == 0 { Flow::Remove } else { Flow::Next }
            }));
        }
        drop(tab.check());
        Ok(())
    });
}

#[test]
fn damaged_arrays() {
    let make = |object: &Scratch| {
        let array: Array<String> = Array::options()
            .locking(Locking::Futex)
            .stripes(2)
            .stripe_room(ROOM)
            .slots(4)
            .manage(object.open(), "default".to_owned())
            .unwrap();
        array.resize(100_000).unwrap();
        for i in 0..300 {
            array.set((i * i * 37) % 100_000, &"y".repeat(i % 50)).unwrap();
        }
    };
    torment("damage-array", make, |object| {
        let array: Array<String> = Array::options()
            .locking(Locking::Futex)
            .lock_timeout(TIMEOUT)
            .manage(Shm::open(object.name())?, "default".to_owned())?;
        drop(array.check());
        for i in 0..300 {
            drop(array.get((i * i * 37) % 100_000));
            drop(array.set((i * 991) % 100_000, &"z".repeat(i)));
            drop(array.swap(i, i * 2));
        }
        drop(array.update(5, |old| old + "!"));
        for length in [60_000, 3000, 77, 200_000, 0] {
            drop(array.resize(length));
        }
        drop(array.check());
        Ok(())
    });
}

#[test]
fn damaged_arrays_of_numbers() {
    // Each takes a chunk of 2 kB. More of them would make a round longer, and find nothing else.
    const SPOTS: usize = 40;
    let make = |object: &Scratch| {
        let array: Array<u64> =
            Array::options().stripes(2).stripe_room(ROOM).slots(4).manage(object.open(), 1).unwrap();
        array.resize(1 << 20).unwrap();
        for i in 0..SPOTS {
            array.set((i * i * 3701) % (1 << 20), &(i as u64)).unwrap();
        }
    };
    torment("damage-numbers", make, |object| {
        let array: Array<u64> = Array::options().lock_timeout(TIMEOUT).manage(Shm::open(object.name())?, 1)?;
        drop(array.check());
        for i in 0..SPOTS {
            drop(array.get((i * i * 3701) % (1 << 20)));
            drop(array.set((i * 991) % (1 << 20), &7));
        }
        for length in [600_000, 3000, 77, 200_000, 0] {
            drop(array.resize(length));
        }
        Ok(())
    });
}

//! Looking into objects from outside: who holds which stripe, who waits for whom, and what dead writers left.

use std::time::{Duration, Instant};

use netshm::inspect::{Inspector, Snapshot, State};
use netshm::{Array, Error, HashTable, Locking, MemberKind, Result, Shm};
use netshm_tests::{Child, Scratch};

const LIMIT: Duration = Duration::from_secs(60);

fn look(object: &Scratch) -> Snapshot {
    Inspector::open(object.name()).unwrap().look().unwrap()
}

/// Looks until it sees what is waited for.
#[track_caller]
fn look_until(object: &Scratch, seen: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let end = Instant::now() + LIMIT;
    loop {
        let snapshot = look(object);
        if seen(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < end, "not seen: {snapshot:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn table(object: &Scratch, locking: Locking) -> HashTable<u64, u64> {
    HashTable::options().locking(locking).stripes(4).manage(object.open()).unwrap()
}

/// Returns a key of each of two stripes.
fn two_keys(object: &Scratch, table: &HashTable<u64, u64>) -> [u64; 2] {
    let stripe_of =
        |key| table.group(|| -> Result<_> { table.find(&key).map(|_| look(object).holds[0].stripe) }).unwrap();
    let first = stripe_of(0);
    [0, (1..).find(|key| stripe_of(*key) != first).unwrap()]
}

/// Holds the stripe of a key; with a second one, waits for that as soon as a file is there.
pub(crate) fn child(_: &str, arguments: &[String]) {
    let shm = Shm::open(&arguments[0]).unwrap();
    let table: HashTable<u64, u64> = HashTable::options().manage(shm).unwrap();
    let key = |text: &String| text.parse::<u64>().unwrap();
    let start = Instant::now();
    table
        .group_retry(|| {
            table.replace(&key(&arguments[1]), &1)?;
            println!("> holds");
            let Some([second, file]) = arguments.get(2..4) else {
                std::thread::sleep(LIMIT);
                return Ok(());
            };
            while !std::path::Path::new(file).exists() && start.elapsed() < LIMIT {
                std::thread::sleep(Duration::from_millis(1));
            }
            table.replace(&key(second), &2)
        })
        .unwrap();
}

#[test]
fn a_holder_is_named_under_each_method() {
    for locking in [Locking::Futex, Locking::Record, Locking::None] {
        let object = Scratch::posix("inspected");
        let table = table(&object, locking);
        table.add(&7, &1).unwrap();
        drop(table);
        let before = look(&object);
        assert_eq!((before.state, before.users), (State::Orphaned, Some(0)), "{locking}");
        assert!(before.holds.is_empty() && before.writers.is_empty() && before.processes.is_empty());
        assert_eq!((before.members[0].rows, before.members[0].keys), (1, 1));

        let child = Child::start("inspect_object::holder", &[&object.name().to_string(), "7"]);
        assert_eq!(child.line().as_deref(), Some("holds"));
        let seen = look(&object);
        assert_eq!((seen.state, seen.users), (State::InUse, Some(1)), "{locking}");
        let [hold] = seen.holds[..] else { panic!("{locking}: {:?}", seen.holds) };
        assert_eq!((hold.pid, hold.is_alive, hold.is_shared), (Some(child.id()), true, false), "{locking}");
        assert!(seen.stripes[hold.stripe as usize].is_changing);
        assert_eq!(seen.member_of(hold.stripe), Some(&seen.members[0]));
        let [writer] = seen.writers[..] else { panic!("{:?}", seen.writers) };
        assert!(writer.log_entries > 0 && writer.process.is_some_and(|process| process.pid == child.id()));
        drop(child);

        // It was killed, and nobody has recovered it yet.
        let seen = look_until(&object, |seen| seen.state != State::InUse);
        assert_eq!(seen.state, State::NeedsRecovery, "{locking}");
        assert!(seen.processes.iter().all(|process| !process.is_alive));
        HashTable::<u64, u64>::options().manage(object.open()).unwrap();
        assert_eq!(look(&object).state, State::Orphaned, "{locking}");
    }
}

/// Returns a child that holds the stripe of a key.
fn holder_of(object: &str, key: &str) -> Child {
    let holder = Child::start("inspect_object::holder", &[object, key]);
    assert_eq!(holder.line().as_deref(), Some("holds"));
    holder
}

#[test]
fn a_waiter_is_named() {
    for locking in [Locking::Futex, Locking::Record] {
        let object = Scratch::posix("inspected");
        drop(table(&object, locking));
        let name = object.name().to_string();
        let holder = holder_of(&name, "7");
        let waiter = Child::start("inspect_object::holder", &[&name, "7"]);
        let seen = look_until(&object, |seen| !seen.waits.is_empty());
        // The kernel and the waiter's slot tell of the same wait.
        let seen = if locking == Locking::Record && in_kernel(waiter.id()) { look(&object) } else { seen };
        assert_eq!(seen.waits.len(), 1, "{locking}: {:?}", seen.waits);
        assert!(seen.waits[0].slot.is_some());
        assert_eq!((seen.waits[0].pid, seen.waits[0].stripe), (Some(waiter.id()), seen.holds[0].stripe), "{locking}");
        assert_eq!(seen.holds[0].pid, Some(holder.id()), "{locking}");
        assert!(seen.rings.is_empty());
    }
}

/// Returns once a process waits for a lock in the kernel; false where the system has no list of locks.
fn in_kernel(process: u32) -> bool {
    let begin = Instant::now();
    while let Ok(locks) = std::fs::read_to_string("/proc/locks") {
        let is_wait =
            |line: &str| line.contains("->") && line.split_whitespace().any(|word| word == process.to_string());
        if locks.lines().any(is_wait) {
            return true;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not wait");
        std::thread::yield_now();
    }
    false
}

#[test]
fn waiters_tell_for_how_long() {
    let object = Scratch::posix("inspected");
    drop(table(&object, Locking::Futex));
    let name = object.name().to_string();
    let _holder = holder_of(&name, "7");
    // Nobody knows.
    assert_eq!(look(&object).holds[0].held, None);
    let _waiter = Child::start("inspect_object::holder", &[&name, "7"]);
    let before = Instant::now();
    // Each look is the first of its inspector.
    let long = Some(Duration::from_millis(500));
    let seen = look_until(&object, |seen| seen.waits.first().is_some_and(|wait| wait.waited >= long));
    assert_eq!(seen.holds[0].held, seen.waits[0].waited);
    // The clock may be late by a tick, and what it says is cut to tenths.
    assert!(seen.waits[0].waited.unwrap() <= before.elapsed() + Duration::from_millis(150), "{seen:?}");
}

#[test]
fn the_dead_wait_for_nobody() {
    for locking in [Locking::Futex, Locking::Record] {
        let object = Scratch::posix("inspected");
        drop(table(&object, locking));
        let name = object.name().to_string();
        let _holder = holder_of(&name, "7");
        let mut waiter = Child::start("inspect_object::holder", &[&name, "7"]);
        look_until(&object, |seen| !seen.waits.is_empty());
        waiter.kill();
        let seen = look(&object);
        assert_eq!(seen.holds.len(), 1, "{locking}");
        assert!(seen.waits.is_empty(), "{locking}: {:?}", seen.waits);
    }
}

#[test]
fn a_deadlock_is_shown_as_its_ring() {
    let object = Scratch::posix("inspected");
    let keys = two_keys(&object, &table(&object, Locking::Futex)).map(|key| key.to_string());
    let name = object.name().to_string();
    let files = [0; 2].map(|_| Scratch::file("go"));
    let path_of = |file: &Scratch| file.name().to_string().replace("file:", "");
    let paths = files.each_ref().map(path_of);
    let arguments = [[&*name, &*keys[0], &*keys[1], &*paths[0]], [&*name, &*keys[1], &*keys[0], &*paths[1]]];
    let mut children = arguments.map(|arguments| {
        let child = Child::start("inspect_object::holder", &arguments);
        assert_eq!(child.line().as_deref(), Some("holds"));
        (child, arguments[3])
    });
    let seen = look(&object);
    let slot_of = |child: &Child| {
        let of = |writer: &&netshm::inspect::Writer| writer.process.is_some_and(|process| process.pid == child.id());
        seen.writers.iter().find(of).unwrap().slot
    };
    // The one with the larger slot gives way; stopped in its wait it does not, until others have waited for long.
    children.sort_by_key(|(child, _)| std::cmp::Reverse(slot_of(child)));
    std::fs::write(children[0].1, "").unwrap();
    look_until(&object, |seen| !seen.waits.is_empty());
    children[0].0.stop();
    std::fs::write(children[1].1, "").unwrap();
    let seen = look_until(&object, |seen| !seen.rings.is_empty());
    let [ring] = &seen.rings[..] else { panic!("{:?}", seen.rings) };
    let mut pids: Vec<_> = ring.waits.iter().map(|wait| wait.pid.unwrap()).collect();
    pids.sort_unstable();
    let mut expected = children.each_ref().map(|(child, _)| child.id());
    expected.sort_unstable();
    assert_eq!(pids, expected);
    assert_ne!(ring.waits[0].stripe, ring.waits[1].stripe);
    children[0].0.go_on();
    children.into_iter().for_each(|(child, _)| child.succeed());
    assert!(look(&object).rings.is_empty());
}

#[test]
fn members_and_sizes_are_told() {
    let object = Scratch::file("inspected");
    let shm = object.open();
    let users: HashTable<String, u64> = HashTable::options().named("users").stripes(2).manage(shm.clone()).unwrap();
    let hits: Array<u64> = Array::options().named("hits").manage(shm, 0).unwrap();
    hits.resize(1000).unwrap();
    hits.set(3, &1).unwrap();
    for key in 0..10 {
        users.add(&key.to_string(), &key).unwrap();
    }
    users.add("3", &33).unwrap();
    let inspector = Inspector::open(object.name()).unwrap();
    let seen = inspector.look().unwrap();
    let [first, second] = &seen.members[..] else { panic!("{:?}", seen.members) };
    assert_eq!((&*first.name, first.kind, first.rows, first.keys), ("users", MemberKind::HashTable, 11, 10));
    assert_eq!((&*second.name, second.kind, second.rows, second.keys), ("hits", MemberKind::Array, 1000, 1));
    assert_eq!(first.schema.to_string(), "HashTable<String, u64>");
    assert_eq!(first.stripes.len(), 2);
    assert!(first.changes >= 11);
    assert!(seen.size > 0 && seen.allocated <= seen.size && seen.dirty);
    users.sync().unwrap();
    assert!(!inspector.look().unwrap().dirty);
    let before = inspector.look().unwrap().members[0].changes;
    users.remove("3").unwrap();
    assert_eq!(inspector.look().unwrap().members[0].changes, before + 1);
    drop((users, hits));
    assert_eq!(inspector.look().unwrap().state, State::Idle);
}

#[test]
fn what_is_no_object_is_an_error() {
    let object = Scratch::file("inspected");
    let path = object.name().to_string().replace("file:", "");
    std::fs::write(&path, "a letter, which is no object of ours").unwrap();
    assert!(matches!(Inspector::open(object.name()), Err(Error::NotNetshm { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Inspector::open(object.name()), Err(Error::Io { .. })));
    let table = table(&object, Locking::Futex);
    let inspector = Inspector::open(object.name()).unwrap();
    drop(table);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..5000]).unwrap();
    assert!(matches!(inspector.look(), Err(Error::Corrupt { .. })));
}

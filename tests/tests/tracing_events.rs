//! The events that `tracing` subscribers receive.

use std::io;
use std::sync::{Barrier, Mutex, Once};
use std::time::{Duration, Instant};

use netshm::{Array, HashTable, Locking, Result, Shm, group};
use netshm_tests::{Child, Scratch};

#[test]
#[ignore = "runs in the children of the other tests"]
fn child() {
    let Some((part, arguments)) = netshm_tests::part() else { return };
    assert_eq!(part, "die in a group");
    let table: HashTable<u64, u64> = HashTable::options().manage(Shm::open(&arguments[0]).unwrap()).unwrap();
    group!(table => {
        table.add(&1, &1)?;
        std::process::abort();
    })
    .unwrap();
}

/// Collects the lines written by all threads.
#[derive(Clone)]
struct Lines;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to listen to all events.
fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .without_time()
            .with_ansi(false)
            .with_writer(|| Lines)
            .init();
    });
}

/// Returns the events about an object so far, one a line.
fn events(object: &Scratch) -> String {
    let lines = String::from_utf8(LINES.lock().unwrap().clone()).unwrap();
    let name = format!("object=\"{}\"", object.name());
    lines.lines().filter(|line| line.contains(&name)).map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    let has = |line: &str| parts.iter().all(|part| line.contains(part));
    assert!(text.lines().any(has), "no line with {parts:?}:\n{text}");
}

#[test]
fn creation_opening_and_growth() {
    listen();
    let scratch = Scratch::posix("events");
    let table: HashTable<u64, Vec<u8>> = HashTable::manage(scratch.open(), Locking::Record).unwrap();
    table.add(&1, &vec![0; 1 << 20]).unwrap();
    let text = events(&scratch);
    assert_has(&text, &["INFO", "netshm: object created", "locking=Record"]);
    assert_has(&text, &["DEBUG", "object opened", "read_only=false"]);
    assert_has(&text, &["DEBUG", "object grown", "from=", "to="]);
    drop(table);
    drop(HashTable::<u64, Vec<u8>>::options().manage(scratch.open()).unwrap());
    let text = events(&scratch);
    assert_eq!(text.matches("object created").count(), 1, "{text}");
    assert_eq!(text.matches("object opened").count(), 2, "{text}");
}

#[test]
fn recovery_of_a_dead_writer() {
    listen();
    let scratch = Scratch::posix("events");
    let table: HashTable<u64, u64> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    let mut child = Child::start("die in a group", &[&scratch.name().to_string()]);
    assert!(!child.wait().success());
    assert_eq!(table.find(&1).unwrap(), None);
    assert_has(&events(&scratch), &["WARN", "dead writer recovered", "writers=1"]);
}

#[test]
fn deadlocks_and_long_waits() {
    listen();
    let scratch = Scratch::posix("events");
    let array: Array<u64> = Array::options().locking(Locking::Futex).stripes(2).manage(scratch.open(), 0).unwrap();
    array.resize(1000).unwrap();
    let barrier = Barrier::new(2);
    // One of the two is rolled back, the other goes on; only the elements' stripes matter.
    let take = |first: usize, second: usize| {
        let _: Result<()> = group!(array => {
            array.set(first, &1)?;
            barrier.wait();
            array.set(second, &1)?;
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(|| take(0, 256));
        take(256, 0);
    });
    assert_has(&events(&scratch), &["INFO", "deadlock", "waits for stripe"]);

    let held = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            group!(array => {
                array.set(0, &1)?;
                held.wait();
                // The lock is held until the other thread has waited for long.
                let end = Instant::now() + Duration::from_secs(60);
                while !events(&scratch).contains("long wait") && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
            .unwrap();
        });
        held.wait();
        array.set(0, &2).unwrap();
    });
    assert_has(&events(&scratch), &["WARN", "long wait for a lock", "stripe=1"]);
}

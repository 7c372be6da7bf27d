//! What subscribers to `tracing` events hear of.

use std::io;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use netshm::{Array, HashTable, Locking, Result, Shm, group};
use netshm_tests::{Child, Scratch};

#[test]
#[ignore = "runs in the children of the other tests"]
fn child() {
    let Some((part, arguments)) = netshm_tests::part() else { return };
    assert_eq!(part, "die in a group");
    let table: HashTable<u64, u64> =
        HashTable::options().manage(Shm::open(&arguments[0].parse().unwrap()).unwrap()).unwrap();
    group!(table => {
        table.add(&1, &1)?;
        std::process::abort();
    })
    .unwrap();
}

/// What has been written, line by line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// The events of `work`, one a line.
fn events(work: impl FnOnce()) -> String {
    let lines = Lines::default();
    listen(&lines, work);
    lines.text()
}

/// Adds the events of `work`.
fn listen(lines: &Lines, work: impl FnOnce()) {
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    let has = |line: &str| parts.iter().all(|part| line.contains(part));
    assert!(text.lines().any(has), "no line with {parts:?}:\n{text}");
}

#[test]
fn creation_opening_and_growth() {
    let scratch = Scratch::posix("events");
    let name = scratch.name().to_string();
    let text = events(|| {
        let table: HashTable<u64, Vec<u8>> = HashTable::manage(scratch.open(), Locking::Record).unwrap();
        table.add(&1, &vec![0; 1 << 20]).unwrap();
    });
    assert_has(&text, &["INFO", "netshm: object created", &name, "locking=Record"]);
    assert_has(&text, &["DEBUG", "object opened", &name, "read_only=false"]);
    assert_has(&text, &["DEBUG", "object grown", &name, "from=", "to="]);
    let text = events(|| drop(HashTable::<u64, Vec<u8>>::options().manage(scratch.open()).unwrap()));
    assert!(!text.contains("created"), "{text}");
}

#[test]
fn recovery_of_a_dead_writer() {
    let scratch = Scratch::posix("events");
    let table: HashTable<u64, u64> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    let mut child = Child::start("die in a group", &[&scratch.name().to_string()]);
    assert!(!child.wait().success());
    let text = events(|| assert_eq!(table.find(&1).unwrap(), None));
    assert_has(&text, &["WARN", "dead writer recovered", &scratch.name().to_string(), "writers=1"]);
}

#[test]
fn deadlocks_and_long_waits() {
    let scratch = Scratch::posix("events");
    let array: Array<u64> = Array::options().locking(Locking::Futex).stripes(2).manage(scratch.open(), 0).unwrap();
    array.resize(1000).unwrap();
    let barrier = Barrier::new(2);
    // One of the two is rolled back, the other goes on; only the elements' stripes matter.
    let take = |first: usize, second: usize| {
        events(|| {
            let _: Result<()> = group!(array => {
                array.set(first, &1)?;
                barrier.wait();
                array.set(second, &1)?;
            });
        })
    };
    let text = std::thread::scope(|scope| {
        let other = scope.spawn(|| take(0, 256));
        take(256, 0) + &other.join().unwrap()
    });
    assert_has(&text, &["INFO", "deadlock", &scratch.name().to_string(), "waits for stripe"]);

    let lines = Lines::default();
    let held = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            group!(array => {
                array.set(0, &1)?;
                held.wait();
                // The lock is held until the other thread has waited for long.
                let end = Instant::now() + Duration::from_secs(60);
                while !lines.text().contains("long wait") && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
            .unwrap();
        });
        held.wait();
        listen(&lines, || array.set(0, &2).unwrap());
    });
    assert_has(&lines.text(), &["WARN", "long wait for a lock", &scratch.name().to_string(), "stripe=0"]);
}

//! What writers had taken when they died comes back.

use std::thread;
use std::time::Duration;

use netshm::{Error, HashTable, Locking, Result, Shm};
use netshm_tests::{Child, Scratch};

type Texts = HashTable<u64, Vec<u8>>;

/// Threads of a dying process.
const THREADS: u64 = 4;

/// Bytes that each of them has taken.
const TAKEN: usize = 300_000;

fn open(shm: Shm) -> Texts {
    Texts::options().locking(Locking::Futex).manage(shm).expect("a table")
}

#[test]
fn the_dead_keep_no_memory() {
    let object = Scratch::posix("kill-remains");
    let table = open(object.open());
    let mut sizes = Vec::new();
    for _ in 0..12 {
        let mut child = Child::start("crash_kill::take", &[&object.name().to_string()]);
        for _ in 0..THREADS {
            assert_eq!(child.line().as_deref(), Some("taken"));
        }
        child.kill();
        // Meets each of the dead.
        for key in 0..1000 {
            table.remove(&key).unwrap();
        }
        assert!(table.is_empty().unwrap());
        let report = table.check().unwrap();
        assert!(report.is_clean(), "{report}");
        sizes.push(report.size);
    }
    // All that a dead process had is enough for the next one, but for a small run that may lie in between by then.
    assert!(sizes[11] < sizes[1] + 2 * TAKEN as u64, "{sizes:?}");
}

/// Returns the table with a short limit to all waiting. The threads open it one after another, as the limit is one to that too.
fn impatient(table: &Texts) -> Texts {
    loop {
        let options = Texts::options().locking(Locking::Futex).lock_timeout(Duration::from_millis(1));
        match options.manage(Shm::open(table.shm().name()).expect("the object")) {
            Err(Error::LockTimeout { .. }) => {}
            opened => return opened.expect("a table"),
        }
    }
}

/// Takes memory in several groups, and keeps them open until the process is killed.
pub(crate) fn take(object: &str) {
    let table = open(Shm::open(object).expect("the object"));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let table = &table;
            scope.spawn(move || {
                let impatient = impatient(table);
                // Two threads may meet in one stripe; then one of them takes another key.
                for key in (thread..1000).step_by(THREADS as usize) {
                    let _: Result<()> = impatient.group(|| {
                        impatient.add(&key, &vec![1; TAKEN])?;
                        println!("> taken");
                        loop {
                            thread::park();
                        }
                    });
                }
            });
        }
    });
}

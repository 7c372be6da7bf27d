//! Somebody who may only read an object holds shared locks on its file, for ever: nobody waits for ever because of that.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::layout::PROCESSES;
use crate::layout::method::Locking;
use crate::name::ShmName;
use crate::os::fork::tests::{Child, give_up_root, stop_here};
use crate::os::lock::{self, LockKind, bytes};
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::Scratch;

type Numbers = HashTable<u64, u64>;

impl Scratch {
    /// Returns an object that everybody may read.
    fn readable(locking: Locking) -> Scratch {
        let scratch = Scratch::new();
        let shm = Shm::options().create_new(true).mode(0o644).open(&scratch.name()).unwrap();
        shm.set_mode(0o644).unwrap();
        let table = Numbers::options().locking(locking).stripes(1).slots(4).manage(shm).unwrap();
        table.add(&1, &1).unwrap();
        scratch
    }

    fn numbers(&self, limit: Option<Duration>) -> Result<Numbers> {
        open(&self.name(), limit)
    }

    /// Starts another process, of another user if possible, with shared locks on `len` bytes.
    fn reader(&self, start: u64, len: u64, by_process: bool) -> Child {
        let mut child = Child::start(|| {
            give_up_root();
            let Ok(file) = File::open(&self.0) else { return 1 };
            let outcome = if by_process {
                lock::record_lock(file.as_fd(), LockKind::Shared, start, len, false)
            } else {
                (start..start + len)
                    .map(|byte| lock::ofd_lock(file.as_fd(), LockKind::Shared, byte, false))
                    .find(|outcome| !matches!(outcome, Ok(lock::Outcome::Locked)))
                    .unwrap_or(Ok(lock::Outcome::Locked))
            };
            if !matches!(outcome, Ok(lock::Outcome::Locked)) {
                return 2;
            }
            stop_here();
            0
        });
        assert_eq!(child.wait(), None, "it could not lock");
        child
    }
}

fn open(name: &ShmName, limit: Option<Duration>) -> Result<Numbers> {
    let options = Numbers::options();
    match limit {
        Some(limit) => options.lock_timeout(limit),
        None => options,
    }
    .locking(Locking::Futex)
    .manage(Shm::open(name)?)
}

/// Returns the outcome of an operation, which must end.
#[track_caller]
fn ends<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, is_done) = channel();
    thread::spawn(move || done.send(work()));
    is_done.recv_timeout(Duration::from_secs(60)).expect("it waits for ever, or has panicked")
}

/// Checks that an error says what is waited for, and that a shared lock is in the way, with its holder if the kernel reports it.
#[track_caller]
fn assert_names_reader<R>(outcome: Result<R>, expected: &str, reader: Option<&Child>) {
    let Err(error) = outcome else { panic!("no error") };
    let text = error.to_string();
    assert!(text.contains(expected) && text.contains("in the way is a shared lock"), "{text}");
    assert!(!error.to_string().contains("deadlock"), "{text}");
    let Error::LockTimeout { holder, may_be_deadlock: false, .. } = error else { panic!("{text}") };
    assert_eq!(holder, reader.map(Child::pid), "{text}");
}

const LIMITS: [Option<Duration>; 2] = [None, Some(Duration::from_millis(20))];

#[test]
fn a_reader_that_keeps_the_byte_for_opening() {
    let scratch = Scratch::readable(Locking::Futex);
    for by_process in [false, true] {
        let reader = scratch.reader(bytes::INIT, 1, by_process);
        for limit in LIMITS {
            let name = scratch.name();
            let outcome = ends(move || open(&name, limit).map(drop));
            assert_names_reader(outcome, "waited for somebody who", by_process.then_some(&reader));
        }
        // Other readers are not kept from opening it.
        let name = scratch.name();
        ends(move || Numbers::manage(Shm::options().read_only(true).open(&name)?, Locking::Futex)?.find(&1)).unwrap();
        drop(reader);
        scratch.numbers(None).unwrap();
    }
}

#[test]
fn a_reader_that_keeps_the_numbers_of_processes() {
    let scratch = Scratch::readable(Locking::Futex);
    for by_process in [false, true] {
        let reader = scratch.reader(bytes::PROCESS + 1, PROCESSES.into(), by_process);
        for limit in LIMITS {
            let table = scratch.numbers(limit).unwrap();
            assert_eq!(table.find(&1).unwrap(), Some(1));
            let outcome = ends(move || table.replace(&1, &1));
            assert_names_reader(outcome, "waited for a process number", by_process.then_some(&reader));
        }
        drop(reader);
        let _reader = scratch.reader(bytes::PROCESS + 1, 7, by_process);
        scratch.numbers(None).unwrap().replace(&1, &1).unwrap();
    }
}

#[test]
fn a_reader_that_keeps_what_the_dead_left() {
    for locking in [Locking::Futex, Locking::Record, Locking::None] {
        for by_process in [false, true] {
            let scratch = Scratch::readable(locking);
            let open = |limit: Option<Duration>| {
                let options = Numbers::options().locking(locking);
                let options = if let Some(limit) = limit { options.lock_timeout(limit) } else { options };
                options.manage(Shm::open(scratch.name()).unwrap())
            };
            let mut writer = Child::start(|| {
                let Ok(table) = open(None) else { return 1 };
                steps::stop_after(Some(5));
                i32::from(table.replace(&1, &3).is_err())
            });
            assert_eq!(writer.wait(), Some(99), "{locking}");
            let reader = scratch.reader(bytes::PROCESS + 1, PROCESSES.into(), by_process);
            let holder = by_process.then_some(&reader);
            for limit in LIMITS {
                // If it were opened again, it would have to be undone first.
                let name = scratch.name();
                let outcome = ends(move || {
                    let options = Numbers::options().locking(locking);
                    let options = if let Some(limit) = limit { options.lock_timeout(limit) } else { options };
                    options.manage(Shm::open(&name)?).map(drop)
                });
                assert_names_reader(outcome, "waited for the right to undo what a dead writer left", holder);
            }
            drop(reader);
            let table = open(None).unwrap();
            assert_eq!(table.find(&1).unwrap(), Some(1), "{locking}");
            assert!(table.check().unwrap().is_clean());
        }
    }
}

/// As above, for processes that had the object open when the writer died.
#[test]
fn a_reader_that_keeps_what_the_dead_left_from_those_who_have_it_open() {
    for locking in [Locking::Futex, Locking::Record, Locking::None] {
        let scratch = Scratch::readable(locking);
        let open = |limit: Option<Duration>| {
            let options = Numbers::options().locking(locking);
            let options = if let Some(limit) = limit { options.lock_timeout(limit) } else { options };
            options.manage(Shm::open(scratch.name()).unwrap()).unwrap()
        };
        let table = open(None);
        table.replace(&1, &1).unwrap();
        let mut writer = Child::start(|| {
            let table = open(None);
            steps::stop_after(Some(5));
            i32::from(table.replace(&1, &3).is_err())
        });
        assert_eq!(writer.wait(), Some(99), "{locking}");
        // All but the number of this process.
        let reader = scratch.reader(bytes::PROCESS + 2, 20, false);
        for limit in LIMITS {
            let table = open(limit);
            assert_eq!(table.find(&1).unwrap(), Some(1), "{locking}: read past the dead");
            assert_names_reader(ends(move || table.replace(&1, &4)), "waited for stripe 1", None);
        }
        drop(reader);
        assert_eq!(table.find(&1).unwrap(), Some(1), "{locking}");
        table.replace(&1, &5).unwrap();
        assert!(table.check().unwrap().is_clean());
    }
}

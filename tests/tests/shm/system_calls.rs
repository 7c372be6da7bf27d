//! The system calls of the hot paths: none, but for the locks of `Locking::Record`.
#![cfg(target_arch = "x86_64")]

use std::time::Duration;

use netshm::{Array, Error, HashTable, Locking, Shm, group};
use netshm_tests::{Child, Scratch};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getppid, gettid};

/// System call numbers (x86-64).
const FCNTL: u64 = 72;
const GETPPID: u64 = 110;
const FUTEX: u64 = 202;
const CLOCK_NANOSLEEP: u64 = 230;

/// A call as the system gets it.
#[derive(Debug)]
struct Call {
    number: u64,
    arguments: [u64; 2],
}

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

type Counts = HashTable<u64, u64>;
type Texts = HashTable<String, Vec<u8>>;

pub(crate) fn child(operation: &str, names: &[String]) {
    let open = |at: usize| Shm::open(&names[at]).unwrap();
    let numbers = Counts::options().manage(open(0)).unwrap();
    let texts = Texts::options().manage(open(1)).unwrap();
    let array = Array::options().manage(open(2), 0_u64).unwrap();
    let key = "key".to_owned();
    let members = ["one", "two", "three"].map(|name| Counts::options().named(name).manage(open(3)).unwrap());
    if operation == "replace after a wait" {
        // Somebody has waited, and waits no more: the first change finds that out.
        let watches = [numbers.watch_key(&7), numbers.watch(), numbers.shm().watch()];
        for watch in watches {
            assert!(!watch.unwrap().changed(Some(Duration::from_millis(1))).unwrap());
        }
    }
    let work = || match operation {
        "find" => assert_eq!(numbers.find(&7).unwrap(), Some(70)),
        "miss" => assert_eq!(numbers.find(&8).unwrap(), None),
        "contains" => assert!(numbers.contains(&7).unwrap()),
        "find_all" => assert_eq!(numbers.find_all(&7).unwrap(), [70, 60]),
        "find text" => assert_eq!(texts.find(&key).unwrap().unwrap().len(), 5000),
        "get" => assert_eq!(array.get(3).unwrap(), 30),
        "len" => assert_eq!((numbers.len().unwrap(), array.len().unwrap()), (2, 10)),
        "scan" => assert_eq!(numbers.scan().count(), 2),
        "replace" | "replace after a wait" => numbers.replace(&7, &70).unwrap(),
        "replace text" => texts.replace(&key, &vec![1; 5000]).unwrap(),
        "replace short text" => texts.replace("short", &vec![2; 100]).unwrap(),
        "add and remove" => {
            numbers.add(&9, &9).unwrap();
            assert!(numbers.remove(&9).unwrap());
        }
        "set" => array.set(3, &30).unwrap(),
        "update" => assert_eq!(numbers.update(&7, |value| value).unwrap(), Some(70)),
        "fetch_add" => assert_eq!(numbers.fetch_add(&7, 0).unwrap(), 70),
        "update an element" => assert_eq!(array.update(3, |value| value).unwrap(), 30),
        "pop and add" => {
            assert_eq!(numbers.pop(&7).unwrap(), Some(70));
            numbers.add(&7, &70).unwrap();
        }
        "add_many" => {
            numbers.add_many([(9, 9), (10, 10)]).unwrap();
            assert!(numbers.remove(&9).unwrap() && numbers.remove(&10).unwrap());
        }
        "group over members" => group!(members[0] => {
            for member in &members {
                member.replace(&7, &70)?;
            }
        })
        .unwrap(),
        "wait" => {
            let outcome = numbers.wait_until(&7, Some(Duration::from_millis(20)), |value| value == Some(&71));
            assert!(matches!(outcome, Err(Error::WaitTimeout { .. })), "{outcome:?}");
        }
        "group" => group!(numbers => {
            let value = numbers.find(&7)?.unwrap();
            numbers.replace(&7, &value)?;
        })
        .unwrap(),
        other => panic!("no such part: {other}"),
    };
    // The first times take a process number and memory.
    (0..3).for_each(|_| work());
    ptrace::traceme().unwrap();
    // A test runs in a thread of its own.
    println!("> {}", gettid());
    raise(Signal::SIGSTOP).unwrap();
    getppid();
    work();
    getppid();
}

/// Returns the numbers of the system calls that a process makes for one operation.
fn calls(operation: &str, locking: Locking) -> Vec<u64> {
    traced(operation, locking).into_iter().map(|call| call.number).collect()
}

/// Returns the system calls that a process makes for one operation.
fn traced(operation: &str, locking: Locking) -> Vec<Call> {
    let scratches = ["numbers", "texts", "array", "members"].map(Scratch::posix);
    let numbers = Counts::manage(scratches[0].open(), locking).unwrap();
    numbers.add(&7, &60).unwrap();
    numbers.add(&7, &70).unwrap();
    let texts = Texts::manage(scratches[1].open(), locking).unwrap();
    texts.add("key", &vec![1; 5000]).unwrap();
    let array: Array<u64> = Array::manage(scratches[2].open(), 0, locking).unwrap();
    array.resize(10).unwrap();
    array.set(3, &30).unwrap();
    for member in ["one", "two", "three"] {
        Counts::options().named(member).locking(locking).manage(scratches[3].open()).unwrap().add(&7, &70).unwrap();
    }

    let names = scratches.each_ref().map(|scratch| scratch.name().to_string());
    let mut child = Child::start(&format!("system_calls::{operation}"), &names.each_ref().map(String::as_str));
    let thread = Pid::from_raw(child.line().unwrap().parse().unwrap());
    let wait = || waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    assert_eq!(wait(), WaitStatus::Stopped(thread, Signal::SIGSTOP));
    ptrace::setoptions(thread, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
    // The process stops where each call begins and where it ends.
    let mut entries = std::iter::from_fn(|| {
        ptrace::syscall(thread, None).unwrap();
        assert_eq!(wait(), WaitStatus::PtraceSyscall(thread));
        let registers = ptrace::getregs(thread).unwrap();
        Some(Call { number: registers.orig_rax, arguments: [registers.rdi, registers.rsi] })
    });
    // The first stop may be the end of the call that raised the signal.
    entries.find(|call| call.number == GETPPID).unwrap();
    let stops: Vec<_> = entries.by_ref().skip(1).take_while(|call| call.number != GETPPID).collect();
    ptrace::detach(thread, None).unwrap();
    assert!(child.wait().success());
    stops.into_iter().step_by(2).collect()
}

#[test]
fn reading_makes_no_system_call() {
    for locking in METHODS {
        for operation in ["find", "miss", "contains", "find_all", "find text", "get", "len", "scan"] {
            assert_eq!(calls(operation, locking), [0; 0], "{operation}, {locking}");
        }
    }
}

#[test]
fn changing_makes_none_but_the_kernels_locks() {
    let operations = ["replace", "replace after a wait", "replace text", "add and remove", "set", "group", "update"];
    for operation in operations.into_iter().chain([
        "fetch_add",
        "update an element",
        "pop and add",
        "add_many",
        "group over members",
    ]) {
        for locking in [Locking::None, Locking::Futex] {
            assert_eq!(calls(operation, locking), [0; 0], "{operation}, {locking}");
        }
    }
    for operation in ["replace", "replace short text", "set"] {
        assert_eq!(calls(operation, Locking::Record), [FCNTL; 2], "{operation}");
    }
    // Pages for a large value are taken and given back under a lock of their own.
    assert!(calls("replace text", Locking::Record).into_iter().all(|number| number == FCNTL));
    assert_eq!(calls("add and remove", Locking::Record), [FCNTL; 4]);
    // A lock for reading, one for writing instead, and none again.
    assert_eq!(calls("group", Locking::Record), [FCNTL; 3]);
}

#[test]
fn waiting_does_not_ask_for_the_date() {
    const CLOCK_REALTIME: u64 = nix::libc::CLOCK_REALTIME as u64;
    const FUTEX_CLOCK_REALTIME: u64 = nix::libc::FUTEX_CLOCK_REALTIME as u64;
    for locking in METHODS {
        let calls = traced("wait", locking);
        let waits = |call: &Call| match call.number {
            FUTEX => call.arguments[1] & FUTEX_CLOCK_REALTIME == 0,
            CLOCK_NANOSLEEP => call.arguments[0] != CLOCK_REALTIME,
            _ => false,
        };
        assert!(calls.iter().any(waits), "{calls:?}");
        // Whoever sets the clock does not move the end.
        let others = calls.iter().filter(|call| matches!(call.number, FUTEX | CLOCK_NANOSLEEP) && !waits(call));
        assert_eq!(others.count(), 0, "{calls:?}");
    }
}

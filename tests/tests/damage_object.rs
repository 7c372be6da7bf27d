//! Damaged objects: whatever the bytes are, every verb ends in a value or an error, in bounded time and memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use netshm_tests::damaged::{self, Damaged};
use nix::sys::resource::{Resource, setrlimit};

/// Runs on each kind of object; more with `NETSHM_DAMAGES`.
fn rounds() -> u64 {
    number("NETSHM_DAMAGES").unwrap_or(150)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Time limit for a run, which takes a third of a millisecond. It waits for nobody.
const TOO_LONG: Duration = Duration::from_secs(20);
/// Number of bytes that the process may have for its own data. (What is mapped of objects is not counted.)
const MEMORY: u64 = 1 << 29;

/// Ends the tests with a message if a run takes too long.
fn watch(kind: usize, run: &Arc<AtomicU64>) {
    let run = Arc::downgrade(run);
    std::thread::spawn(move || {
        let mut before = 0;
        // It ends with the test.
        while let Some(now) = run.upgrade().map(|run| run.load(Relaxed)) {
            if now == before {
                eprintln!("the run with seed {before} on an object of kind {kind} does not end");
                std::process::abort();
            }
            before = now;
            std::thread::sleep(TOO_LONG);
        }
    });
}

/// Uses damaged copies of an object.
fn torment(kind: usize, inputs: impl Fn(u64) -> Vec<u8>) {
    let first = number("NETSHM_SEED").unwrap_or(1);
    setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY).unwrap();
    damaged::sleep_exactly();
    let mut damaged = Damaged::new();
    let run = Arc::new(AtomicU64::new(first));
    watch(kind, &run);
    let mut used = 0;
    for seed in first..first + rounds() {
        run.store(seed, Relaxed);
        used += u64::from(damaged.run(&inputs(seed)));
    }
    // If nothing could be opened any more, the damage was too great to test anything after the header.
    assert!(used > rounds() / 10, "only {used} damaged objects could be used");
}

fn torment_any_way(kinds: std::ops::Range<usize>) {
    kinds.for_each(|kind| torment(kind, |seed| damaged::input(kind, seed)));
}

#[test]
fn damaged_tables() {
    torment_any_way(0..5);
}

#[test]
fn damaged_arrays() {
    torment_any_way(5..7);
}

#[test]
fn damaged_objects_of_several_members() {
    torment_any_way(7..8);
}

#[test]
fn damaged_objects_whose_writer_died_or_that_have_holes() {
    torment_any_way(8..damaged::KINDS);
}

#[test]
fn whatever_plays_a_role_is_damaged() {
    // Each role several times in each kind of object.
    const EACH: u64 = 4;
    for role in 0..netshm::damage::roles().len() {
        let mut damaged = Damaged::new();
        for kind in 0..damaged::KINDS {
            for seed in 0..EACH {
                damaged.run(&damaged::input_for_role(kind, role, seed));
            }
        }
    }
}

/// Inputs that once took too long, or worse.
const FOUND: [&[u8]; 1] = [
    // The last id of a member is the largest number.
    &[
        0x75, 0xf7, 0x2a, 0x01, 0x00, 0xa0, 0xe0, 0x33, 0x65, 0x9d, 0xfd, 0xba, 0xcb, 0xb0, 0xff, 0xff, 0xff, 0xff,
        0xce, 0xc2, 0xe9,
    ],
];

#[test]
fn what_was_found_once_is_an_error_or_a_value() {
    let mut damaged = Damaged::new();
    for input in FOUND {
        damaged.run(input);
    }
}

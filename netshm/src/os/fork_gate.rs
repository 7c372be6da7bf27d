//! Keeps forks of this process waiting for a moment.
//!
//! A lock descriptor that a child inherits before it stands in the table of [`lock_fd`](super::lock_fd) would never be
//! closed there, and keep its parent's locks after the parent's death. So a fork waits while a thread is between the
//! two. Only forks that run the handlers of [`fork`](super::fork) do.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::thread;
use std::time::{Duration, Instant};

use super::fork;

/// How long a fork waits at most: its thread may hold, from other handlers, what the holder needs.
const LIMIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_micros(50);

/// The system's number of the thread that keeps others out; 0 if none does.
static HOLDER: AtomicU32 = AtomicU32::new(0);

/// How many forks the holder has begun meanwhile, in signal handlers. Only the holder looks at it.
static NESTED: AtomicU32 = AtomicU32::new(0);

/// While it lives, no other thread forks.
#[derive(Debug)]
pub(super) struct NoFork(());

impl NoFork {
    pub(super) fn begin() -> NoFork {
        // The handlers are there from now on, and a child made without them has opened the gate anew.
        fork::generation();
        while HOLDER.compare_exchange(0, thread_id(), AcqRel, Acquire).is_err() {
            thread::sleep(PAUSE);
        }
        NoFork(())
    }
}

impl Drop for NoFork {
    fn drop(&mut self) {
        HOLDER.store(0, Release);
    }
}

/// Before a fork, in the thread that forks.
pub(super) fn before_fork() {
    let me = thread_id();
    let end = Instant::now() + LIMIT;
    loop {
        match HOLDER.compare_exchange(0, me, AcqRel, Acquire) {
            Ok(_) => return,
            Err(holder) if holder == me => {
                NESTED.fetch_add(1, Relaxed);
                return;
            }
            // Then the child may keep a descriptor that bears locks later; better than never to fork.
            Err(_) if Instant::now() > end => return,
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// After the fork, in the parent.
pub(super) fn after_fork() {
    if HOLDER.load(Acquire) != thread_id() {
        return;
    }
    if NESTED.load(Relaxed) > 0 {
        NESTED.fetch_sub(1, Relaxed);
    } else {
        HOLDER.store(0, Release);
    }
}

/// In the child, whose only thread has the gate for itself.
pub(super) fn open_anew() {
    NESTED.store(0, Relaxed);
    HOLDER.store(0, Release);
}

fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

//! Delays forks of this process for a moment.
//!
//! A lock descriptor that a child inherits before it stands in the table of [`lock_fd`](super::lock_fd) would never be
//! closed there, and keep its parent's locks after the parent's death. So a fork waits while a thread is between the
//! two. Only forks that run the handlers of [`fork`](super::fork) do.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::thread;
use std::time::{Duration, Instant};

use super::fork;

/// Longest wait of a fork: its thread may hold, from other handlers, what the holder of the gate needs.
const LIMIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_micros(50);

/// Thread id of the holder; 0 if there is none.
static HOLDER: AtomicU32 = AtomicU32::new(0);

/// Number of forks that the holder has begun meanwhile, in signal handlers. Only the holder reads it.
static NESTED: AtomicU32 = AtomicU32::new(0);

/// While it lives, no other thread forks.
#[derive(Debug)]
pub(super) struct NoFork(());

impl NoFork {
    pub(super) fn begin() -> NoFork {
        // The handlers are there from now on, and a child made without them has opened the gate again.
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

/// Runs before a fork, in the thread that forks.
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

/// Runs after the fork, in the parent.
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

/// Runs in the child, whose only thread has the gate for itself.
pub(super) fn reopen() {
    NESTED.store(0, Relaxed);
    HOLDER.store(0, Release);
}

/// Returns whether a fork, or a thread that forbids forks, is under way.
#[cfg(test)]
pub(super) fn is_held() -> bool {
    HOLDER.load(Acquire) != 0
}

fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

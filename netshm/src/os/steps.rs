//! A place to stop at, after each store to shared memory, for the tests of crash safety.
//!
//! With the feature `crash-steps` a process can be told to end itself after its n-th step; without it a step is nothing.

#[cfg(feature = "crash-steps")]
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Steps left, plus one; 0 means that nobody counts.
#[cfg(feature = "crash-steps")]
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Steps made so far.
#[cfg(feature = "crash-steps")]
static MADE: AtomicU64 = AtomicU64::new(0);

/// Marks that a store to shared memory has been made.
#[inline(always)]
pub(crate) fn step() {
    #[cfg(feature = "crash-steps")]
    count();
}

#[cfg(feature = "crash-steps")]
fn count() {
    MADE.fetch_add(1, Relaxed);
    let left = LEFT.load(Relaxed);
    if left > 0 {
        if left == 1 {
            // SAFETY: _exit ends the process at once, running no handler, as a signal would.
            unsafe { libc::_exit(99) };
        }
        LEFT.store(left - 1, Relaxed);
    }
}

/// Ends the process with status 99 after `steps` more steps; `None` stops counting down.
#[cfg(feature = "crash-steps")]
pub fn stop_after(steps: Option<u64>) {
    LEFT.store(steps.map_or(0, |n| n.saturating_add(1)), Relaxed);
}

/// Steps that this process has made.
#[cfg(feature = "crash-steps")]
pub fn made() -> u64 {
    MADE.load(Relaxed)
}

//! A place to stop at, after each store to shared memory, for the tests of crash safety.
//!
//! In the tests a process can be told to end or to stop itself after its n-th step; elsewhere a step is nothing.
#![cfg_attr(test, allow(unsafe_code))]

#[cfg(test)]
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Steps left, plus one; 0 means that nobody counts.
#[cfg(test)]
static LEFT: AtomicU64 = AtomicU64::new(0);
/// True if the process stops, to go on when it is told to, instead of ending.
#[cfg(test)]
static PAUSE: AtomicBool = AtomicBool::new(false);

/// Marks that a store to shared memory has been made.
#[inline(always)]
pub(crate) fn step() {
    #[cfg(test)]
    count();
}

#[cfg(test)]
thread_local! {
    /// Steps that this thread may make before it waits for ever; `None` for those that do not.
    static PARK: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// True if a thread waits for ever.
#[cfg(test)]
pub(crate) static PARKED: AtomicBool = AtomicBool::new(false);

/// Lets this thread wait for ever after `steps` more steps, as if it were never scheduled again.
#[cfg(test)]
pub(crate) fn park_after(steps: u64) {
    PARK.set(Some(steps));
}

#[cfg(test)]
fn count() {
    match PARK.get() {
        Some(0) => {
            PARKED.store(true, Relaxed);
            loop {
                std::thread::park();
            }
        }
        Some(steps) => PARK.set(Some(steps - 1)),
        None => {}
    }
    let left = LEFT.load(Relaxed);
    if left > 0 {
        if left == 1 && PAUSE.load(Relaxed) {
            // SAFETY: `raise` accesses no memory of ours; SIGSTOP runs no handler.
            unsafe { libc::raise(libc::SIGSTOP) };
        } else if left == 1 {
            // SAFETY: `_exit` ends the process at once, without handlers or destructors that could meet a broken state.
            unsafe { libc::_exit(99) };
        }
        LEFT.store(left - 1, Relaxed);
    }
}

/// Returns the process id that chooses the first slot to be tried: a fixed one where steps are to be counted, since the number of
/// steps may depend on it.
#[inline(always)]
pub(crate) fn process_id() -> u32 {
    #[cfg(test)]
    if let Some(id) = PROCESS_ID.load(Relaxed).checked_sub(1) {
        return id;
    }
    std::process::id()
}

/// Process id, plus one; 0 for the real one.
#[cfg(test)]
static PROCESS_ID: AtomicU32 = AtomicU32::new(0);

/// Lets this process have that id from now on, as far as slots are concerned.
#[cfg(test)]
pub(crate) fn pretend_id(id: u32) {
    PROCESS_ID.store(id + 1, Relaxed);
}

/// Ends the process with status 99 after `steps` more steps; `None` stops counting down.
#[cfg(test)]
pub(crate) fn stop_after(steps: Option<u64>) {
    PAUSE.store(false, Relaxed);
    LEFT.store(steps.map_or(0, |n| n.saturating_add(1)), Relaxed);
}

/// Stops the process, as `SIGSTOP` does, after `steps` more steps.
#[cfg(test)]
pub(crate) fn pause_after(steps: u64) {
    PAUSE.store(true, Relaxed);
    LEFT.store(steps.saturating_add(1), Relaxed);
}

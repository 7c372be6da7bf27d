//! A clock that all processes share.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::time::Duration;

/// Returns the seconds since some moment, the same for all processes as long as the system runs.
pub(crate) fn seconds() -> u64 {
    now().as_secs()
}

/// Returns the tenths of a second since that moment. They wrap around after 13 years.
pub(crate) fn tenths() -> u32 {
    (now().as_millis() / 100) as u32
}

fn now() -> Duration {
    // Not by rustix, whose way to the clock ends every program under valgrind.
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `clock_gettime` writes one `timespec` through the pointer, which has room for it, and nothing else.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, time.as_mut_ptr()) } != 0 {
        return Duration::ZERO;
    }
    // SAFETY: `assume_init` requires an initialised value: the call, which has succeeded, has filled it.
    let time = unsafe { time.assume_init() };
    let now = Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32);
    #[cfg(test)]
    let now = now + Duration::from_secs(tests::AHEAD.get());
    now
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// Time by which the clock of this thread is ahead.
        pub(super) static AHEAD: Cell<u64> = const { Cell::new(0) };
    }

    /// Lets time pass for this thread.
    pub(crate) fn pass(seconds: u64) {
        AHEAD.set(AHEAD.get() + seconds);
    }
}

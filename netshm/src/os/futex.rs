//! Waiting in the kernel for a word in shared memory to change.
//!
//! Always with the process-shared flavour: the private one compares addresses, and every process has its own.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::thread::futex::{self, Flags};

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Wake {
    /// Somebody woke this waiter, or a signal did: look again.
    Woken,
    /// The word had changed before the wait began.
    Changed,
    /// The time-out has passed, or a part of it where the kernel does not help to wait.
    TimedOut,
}

/// Pause where the kernel does not help to wait.
const UNASSISTED: Duration = Duration::from_millis(1);

/// Sleeps while `word` is `expected`, until somebody calls [`wake`], at most for `limit`.
pub(crate) fn wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) -> Wake {
    // A time that the system cannot express is as good as none.
    let timeout = limit.and_then(|time| Timespec::try_from(time).ok());
    match futex::wait(word, Flags::empty(), expected, timeout.as_ref()) {
        Ok(()) | Err(Errno::INTR) => Wake::Woken,
        Err(Errno::TIMEDOUT) => Wake::TimedOut,
        Err(Errno::AGAIN) => Wake::Changed,
        // A sandbox that knows no futexes: look again from time to time.
        Err(_) => {
            std::thread::sleep(limit.map_or(UNASSISTED, |limit| limit.min(UNASSISTED)));
            if limit.is_some() { Wake::TimedOut } else { Wake::Woken }
        }
    }
}

/// Wakes at most `count` waiters.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    // The kernel reads the number as signed.
    let count = count.min(i32::MAX as u32);
    // The only failure is a word whose page is gone, and then nobody waits on it.
    let _ = futex::wake(word, Flags::empty(), count);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::thread;

    use super::*;

    #[test]
    fn a_changed_word_does_not_wait() {
        assert_eq!(wait(&AtomicU32::new(1), 2, None), Wake::Changed);
    }

    #[test]
    fn the_time_ends_a_wait() {
        assert_eq!(wait(&AtomicU32::new(1), 1, Some(Duration::from_micros(1))), Wake::TimedOut);
    }

    #[test]
    fn a_waiter_is_woken() {
        let word = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    let _ = wait(&word, 0, Some(Duration::MAX));
                }
            });
            word.store(1, Ordering::Release);
            wake(&word, u32::MAX);
        });
    }
}

//! The lock word of a stripe.
//!
//! ```text
//! bit 31   somebody sleeps until the word changes (Futex only)
//! 0..=30   0: free; otherwise the number of the owner's slot, plus one
//! ```
//! Under `Futex` the word is the lock. Under `Record` and `None` it is the mark of a writer in flight: the kernel's lock
//! vanishes when its holder dies, the mark stays.

use crate::os::atomic::{AtomicU32, Ordering::*, fence};

use crate::os::steps;

const WAITERS: u32 = 1 << 31;

/// Content of a lock word at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot(u32);

impl Snapshot {
    /// Returns what a word says that was read elsewhere.
    pub(crate) fn of(word: u32) -> Snapshot {
        Snapshot(word)
    }
    /// Returns the slot of the owner.
    pub(crate) fn owner(self) -> Option<u32> {
        (self.0 & !WAITERS).checked_sub(1)
    }
    /// Returns whether the word is as it is while nobody has the lock or waits for it.
    pub(crate) fn is_free(self) -> bool {
        self.0 == 0
    }
    /// Returns whether somebody sleeps.
    pub(crate) fn has_waiters(self) -> bool {
        self.0 & WAITERS != 0
    }
    /// Returns the word itself, for waiting on it.
    pub(crate) fn word(self) -> u32 {
        self.0
    }
}

/// Work left after a release.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// Nobody sleeps.
    Quiet,
    /// Sleepers must be woken.
    Sleepers,
}

/// The lock word of a stripe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LockWord<'a>(pub(crate) &'a AtomicU32);

impl LockWord<'_> {
    pub(crate) fn load(self) -> Snapshot {
        // Readers look at it through read-only memory, where `std` allows relaxed loads only.
        fence(SeqCst);
        let word = self.0.load(Relaxed);
        fence(SeqCst);
        Snapshot(word)
    }

    /// Takes a free lock.
    #[inline]
    pub(crate) fn try_take(self, slot: u32) -> bool {
        // SYNC POINT: lock hand-over. Pairs with the swap in `release`.
        let taken = self.0.compare_exchange(0, slot + 1, SeqCst, Relaxed).is_ok();
        steps::step();
        taken
    }

    /// Takes a free lock after sleeping, when it is not known whether others still sleep. A word that names nobody is free,
    /// though damage may have left it saying that somebody sleeps.
    pub(crate) fn try_take_after_sleep(self, slot: u32) -> bool {
        let seen = self.load();
        let taken =
            seen.owner().is_none() && self.0.compare_exchange(seen.0, (slot + 1) | WAITERS, SeqCst, Relaxed).is_ok();
        steps::step();
        taken
    }

    /// Sets the bit for sleepers; `None` if the word has changed meanwhile.
    pub(crate) fn announce_sleeper(self, seen: Snapshot) -> Option<Snapshot> {
        if seen.has_waiters() {
            return Some(seen);
        }
        let told = self.0.compare_exchange(seen.0, seen.0 | WAITERS, SeqCst, Relaxed).is_ok();
        steps::step();
        told.then_some(Snapshot(seen.0 | WAITERS))
    }

    /// Marks a writer, for methods whose lock is elsewhere.
    #[inline]
    pub(crate) fn mark(self, slot: u32) {
        self.0.store(slot + 1, SeqCst);
        steps::step();
    }

    /// Frees the word.
    #[inline]
    pub(crate) fn release(self) -> Released {
        // SYNC POINT: lock hand-over.
        let old = Snapshot(self.0.swap(0, SeqCst));
        steps::step();
        if old.has_waiters() { Released::Sleepers } else { Released::Quiet }
    }
}

//! The word on which waiters for a change sleep.
//!
//! ```text
//! bit 0    somebody sleeps until the word changes
//! bit 1    somebody sleeps on the object's own word, which writers of the stripe have to look at as well
//! 2..=31   counts up with each wake-up
//! ```
//! A writer makes its change known (the sequence), then reads the word. A waiter sets a bit, then checks whether there has been a
//! change. Both have a fence in between, so that one of them sees what the other did.

use crate::os::atomic::{AtomicU32, Ordering::*, fence};
use crate::os::steps;

const SLEEPERS: u32 = 1;
const LEADS_ON: u32 = 2;
const ONE: u32 = 4;
/// Attempts to clear the bits, after which they count as set: only damage changes them that often.
const ATTEMPTS: u32 = 1000;

/// The word on which threads that wait for a change sleep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatchWord<'a>(pub(crate) &'a AtomicU32);

/// The sleepers that a writer has to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wake {
    pub(crate) sleepers: bool,
    /// True if the sleeper has to look at the object's word too.
    pub(crate) leads_on: bool,
}

impl WatchWord<'_> {
    /// Returns whether anybody waits. The stripe's sequence has been made even before, with a fence after that.
    #[inline(always)]
    pub(crate) fn is_watched(self) -> bool {
        is_watched(self.look())
    }

    /// Returns bits for [`is_watched`], those of several words joined by `|`. What holds for that holds here.
    #[inline(always)]
    pub(crate) fn look(self) -> u32 {
        // A build without that look shows what it costs: see "Waiting for changes" in DESIGN.md.
        if cfg!(netshm_unwatched) {
            return 0;
        }
        // SYNC POINT: watch. Pairs with the fence in `settle`.
        self.0.load(Relaxed)
    }

    /// Takes the bits, and counts up: a thread that has seen the word before does not fall asleep on it.
    pub(crate) fn take(self) -> Wake {
        let mut seen = self.0.load(Relaxed);
        for _ in 0..ATTEMPTS {
            if seen & (SLEEPERS | LEADS_ON) == 0 {
                return Wake { sleepers: false, leads_on: false };
            }
            let next = (seen & !(SLEEPERS | LEADS_ON)).wrapping_add(ONE);
            match self.0.compare_exchange(seen, next, SeqCst, Relaxed) {
                Ok(_) => {
                    steps::step();
                    // What this bit leads to is read after it is cleared; pairs with the fence in `lead_on`.
                    fence(SeqCst);
                    return Wake { sleepers: seen & SLEEPERS != 0, leads_on: seen & LEADS_ON != 0 };
                }
                Err(now) => seen = now,
            }
        }
        Wake { sleepers: true, leads_on: true }
    }

    /// Counts up whether or not anybody is known to sleep: a writer may have died between clearing the bits and waking.
    pub(crate) fn count_up(self) {
        self.0.fetch_add(ONE, SeqCst);
        steps::step();
    }

    /// Announces a sleeper; returns the resulting word, to sleep on.
    pub(crate) fn announce(self) -> u32 {
        self.0.fetch_or(SLEEPERS, SeqCst) | SLEEPERS
    }

    /// Directs writers to the object's word as well, where the caller has announced itself.
    pub(crate) fn lead_on(self) {
        if self.0.load(Relaxed) & LEADS_ON == 0 {
            self.0.fetch_or(LEADS_ON, SeqCst);
        }
    }
}

/// Returns whether anybody waits, by what [`WatchWord::look`] returned.
#[inline(always)]
pub(crate) fn is_watched(seen: u32) -> bool {
    seen & (SLEEPERS | LEADS_ON) != 0
}

/// Separates the announcement of a waiter from its look at further words and at the sequences.
pub(crate) fn settle() {
    // SYNC POINT: watch. Pairs with the fence after the writer's unlocking, and with that in `take`.
    fence(SeqCst);
}

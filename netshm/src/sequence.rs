//! The sequence of a stripe: how readers without a lock notice writers.
//!
//! A sequence lock, after H.-J. Boehm, "Can seqlocks get along with programming language memory models?", 2012. The
//! number is odd while a writer changes the stripe. A reader loads it before and after: if it is even and has not
//! changed, no store of any change came in between.

use crate::os::atomic::{AtomicU64, Ordering::*, fence};
use crate::os::steps;

/// The sequence of a stripe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence<'a>(pub(crate) &'a AtomicU64);

/// The number that a reader found at its beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<'a> {
    sequence: &'a AtomicU64,
    value: u64,
}

impl<'a> Sequence<'a> {
    /// Begins an optimistic read; returns `None` while a writer is at work.
    #[inline(always)]
    pub(crate) fn begin_reading(self) -> Option<Stamp<'a>> {
        let value = self.0.load(Relaxed);
        // SYNC POINT: sequence. Pairs with the store in `end_change`. A fence, since std allows only relaxed loads from
        // read-only memory.
        fence(Acquire);
        (value & 1 == 0).then_some(Stamp { sequence: self.0, value })
    }

    /// Begins a read past the writer at work; `None` if there is none.
    pub(crate) fn begin_reading_past(self) -> Option<Stamp<'a>> {
        // SYNC POINT: sequence. Pairs with the store in `begin_change`.
        let value = self.value();
        (value & 1 == 1).then_some(Stamp { sequence: self.0, value })
    }

    /// Returns the present number.
    pub(crate) fn value(self) -> u64 {
        let value = self.0.load(Relaxed);
        fence(Acquire);
        value
    }

    /// Marks the beginning of a change. The caller has locked the stripe.
    ///
    /// Each change has an odd number of its own, even if the last one was left odd.
    #[inline]
    pub(crate) fn begin_change(self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1) | 1, Release);
        steps::step();
        // SYNC POINT: sequence. No store of the change comes before the odd value; pairs with the fence in `holds`.
        fence(Release);
    }

    /// Marks the end of a change, if one is under way: readers may trust the stripe again.
    #[inline]
    pub(crate) fn end_change(self) {
        let value = self.0.load(Relaxed);
        if value & 1 == 1 {
            // SYNC POINT: sequence. Pairs with the load in `begin_reading`.
            self.0.store(value.wrapping_add(1), Release);
            steps::step();
        }
    }
}

impl Stamp<'_> {
    /// Returns the number that the reader found.
    pub(crate) fn value(self) -> u64 {
        self.value
    }

    /// Returns whether nothing has changed since the read began; if it goes past a writer, whether that is still at work.
    #[inline(always)]
    pub(crate) fn holds(self) -> bool {
        // SYNC POINT: sequence. What was read came before this load; pairs with the fence in `begin_change`.
        fence(Acquire);
        self.sequence.load(Relaxed) == self.value
    }
}

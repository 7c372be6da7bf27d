//! The sequence of a stripe: how readers without a lock notice writers.
//!
//! A sequence lock, after H.-J. Boehm, "Can seqlocks get along with programming language memory models?", 2012. The
//! number is odd while a writer changes the stripe. A reader loads it before and after: if it is even and has not
//! changed, no store of any change came in between.
//!
//! The bit above that one says that the stripe is to be read with care, since free memory of the object may be holes of the file
//! (`store::careful`). It takes no part in counting: changes are counted by the bits above the two.

use crate::os::atomic::{AtomicU64, Ordering::*, fence};
use crate::os::steps;

/// The sequence of a stripe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence<'a>(pub(crate) &'a AtomicU64);

/// Bit of a sequence: no word of the stripe may be followed before it is known that the sequence has not changed.
const CARE: u64 = 2;

/// The number that a reader found at its beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<'a> {
    sequence: &'a AtomicU64,
    value: u64,
}

impl<'a> Sequence<'a> {
    /// Begins an optimistic read without care; returns `None` while a writer is at work, and where care is needed.
    #[inline(always)]
    pub(crate) fn begin_reading(self) -> Option<Stamp<'a>> {
        let value = self.0.load(Relaxed);
        // SYNC POINT: sequence. As in `value`.
        fence(Acquire);
        (value & (CARE | 1) == 0).then_some(Stamp { sequence: self.0, value })
    }

    /// Begins an optimistic read, which looks whether its stamp [needs care](Stamp::needs_care); `None` while a writer is at work.
    #[inline]
    pub(crate) fn begin_any_reading(self) -> Option<Stamp<'a>> {
        let value = self.value();
        (value & 1 == 0).then_some(Stamp { sequence: self.0, value })
    }

    /// Begins a read past the writer at work; `None` if there is none.
    pub(crate) fn begin_reading_past(self) -> Option<Stamp<'a>> {
        // SYNC POINT: sequence. Pairs with the store in `begin_change`.
        let value = self.value();
        (value & 1 == 1).then_some(Stamp { sequence: self.0, value })
    }

    /// Returns the present value.
    pub(crate) fn value(self) -> u64 {
        let value = self.0.load(Relaxed);
        // SYNC POINT: sequence. Pairs with the store in `end_change`. A fence, since std allows only relaxed loads from
        // read-only memory.
        fence(Acquire);
        value
    }

    /// Returns the present number, which only changes alter.
    pub(crate) fn number(self) -> u64 {
        number_in(self.value())
    }

    /// Returns whether the stripe is to be read with care.
    pub(crate) fn needs_care(self) -> bool {
        self.0.load(Relaxed) & CARE != 0
    }

    /// Sets or clears the bit that asks readers for care. A writer that changes the stripe meanwhile may undo that.
    pub(crate) fn set_care(self, care: bool) {
        if care {
            self.0.fetch_or(CARE, SeqCst);
        } else {
            self.0.fetch_and(!CARE, SeqCst);
        }
    }

    /// Marks the beginning of a change. The caller has locked the stripe.
    ///
    /// Each change has an odd number of its own, even if the last one was left odd.
    #[inline]
    pub(crate) fn begin_change(self) {
        let mut value = self.0.load(Relaxed);
        if value & 1 == 1 {
            value = ended(value);
        }
        self.0.store(value | 1, Release);
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
            self.0.store(value.wrapping_add(3), Release);
            steps::step();
        }
    }
}

/// Returns the number in the value of a sequence.
fn number_in(value: u64) -> u64 {
    value & !CARE
}

/// Returns the number of changes that the value of a sequence counts, without the one under way.
pub(crate) fn count_in(value: u64) -> u64 {
    value >> 2
}

/// Returns the value of a sequence, odd or not, as it is when the change under way has ended.
#[cold]
fn ended(value: u64) -> u64 {
    value.wrapping_add(3 * (value & 1))
}

/// Returns the value of a sequence as it is when the change under way has ended, without a need for care.
pub(crate) fn at_rest(value: u64) -> u64 {
    number_in(ended(value))
}

/// Returns such a value with a need for care.
pub(crate) fn with_care(value: u64) -> u64 {
    value | CARE
}

impl Stamp<'_> {
    /// Returns the value that the reader found.
    pub(crate) fn value(self) -> u64 {
        self.value
    }

    /// Returns whether the stripe is to be read with care.
    #[inline]
    pub(crate) fn needs_care(self) -> bool {
        self.value & CARE != 0
    }

    /// Returns whether nothing has changed since the read began; if it goes past a writer, whether that is still at work.
    #[inline(always)]
    pub(crate) fn holds(self) -> bool {
        // SYNC POINT: sequence. What was read came before this load; pairs with the fence in `begin_change`.
        fence(Acquire);
        self.sequence.load(Relaxed) == self.value
    }
}

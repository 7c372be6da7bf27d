//! The fields of a stripe.

use super::{Offset, Offset32, WORD};

/// Bytes of a stripe's fields.
pub(crate) const STRIPE_BYTES: u64 = STRIPE_WORDS as u64 * WORD;
/// Words of a stripe's fields.
pub(crate) const STRIPE_WORDS: usize = 168;
/// Number of size classes of a heap.
pub(crate) const CLASSES: u32 = 64;
/// Number of index segments of a stripe: four for each doubling.
pub(crate) const SEGMENTS: u32 = 80;

/// The fields of a stripe. The words after the last field are spare, and 0.
///
/// Invariant: a multiple of [`WORD`], since the table of stripes begins with a cache line and has [`STRIPE_BYTES`] for each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StripeAt(pub(super) u64);

impl StripeAt {
    /// Returns the place of the lock word: see `locking::word`.
    pub(crate) const fn lock(self) -> Offset32 {
        Offset32(self.0)
    }
    /// Returns the place of the word on which waiters for a change sleep: see `watch_word`.
    #[inline(always)]
    pub(crate) const fn watch(self) -> Offset32 {
        Offset32(self.0 + 4)
    }
    /// Returns the place of the sequence: odd while a writer changes the stripe.
    pub(crate) const fn sequence(self) -> Offset {
        Offset(self.0 + 8)
    }
    /// Returns the place of the number of buckets of the index; in an array, of the directory's height.
    pub(crate) const fn buckets(self) -> Offset {
        Offset(self.0 + 16)
    }
    /// Returns the place of the number of keys in the stripe (chunks, in an array).
    pub(crate) const fn keys(self) -> Offset {
        Offset(self.0 + 24)
    }
    /// Returns the place of the number of bindings in the stripe that newer ones of their keys hide.
    pub(crate) const fn hidden(self) -> Offset {
        Offset(self.0 + 32)
    }
    /// Returns the place of the start of the untouched rest of the newest chunk. In the meta stripe: end of the managed area.
    pub(crate) const fn top(self) -> Offset {
        Offset(self.0 + 40)
    }
    /// Returns the place of the end of that rest. In the meta stripe: the word of the meta log.
    pub(crate) const fn top_end(self) -> Offset {
        Offset(self.0 + 48)
    }
    /// Returns the place of the set of size classes that have free blocks.
    pub(crate) const fn classes(self) -> Offset {
        Offset(self.0 + 56)
    }
    /// Returns the place of the address of the first bucket of index segment `segment`.
    /// Segment 0 of an array's stripe is the root of its directory.
    pub(crate) const fn segment(self, segment: u32) -> Offset {
        Offset(self.0 + 64 + segment as u64 * WORD)
    }
    /// Returns the place of the first free block of a size class; valid only while its bit in `classes` is set.
    pub(crate) const fn class(self, class: u32) -> Offset {
        Offset(self.0 + 64 + SEGMENTS as u64 * WORD + class as u64 * WORD)
    }
    const fn tail(self) -> u64 {
        self.0 + 64 + (SEGMENTS as u64 + CLASSES as u64) * WORD
    }
    /// Returns the place of the first of the runs that the stripe owns.
    pub(crate) const fn runs(self) -> Offset {
        Offset(self.tail())
    }
    /// Returns the place of the number of bytes in the chunks that the stripe owns.
    pub(crate) const fn capacity(self) -> Offset {
        Offset(self.tail() + 8)
    }
}

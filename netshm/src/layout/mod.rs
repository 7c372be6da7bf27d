//! Where everything lies in an object: named places and pure arithmetic. No other module knows a number.
//!
//! ```text
//! 0          header: written once at creation, checksummed      (FIXED_BYTES)
//! 1024       header: words that change
//! 4096       catalogue: ENTRY_BYTES for each named member; a hole as long as there is none
//!            process table: one 32-bit word for each process number
//!            slot table: SLOT_BYTES for each running writer
//!            logs: LOG_BYTES for each slot, then one for the meta stripe
//!            schema text, default value of the member without a name
//!            stripe table: STRIPE_BYTES for the meta stripe, then for each stripe; a hole after those in use
//! data_start runs of pages, up to the end noted in the meta stripe
//! ```
//!
//! Stripes are numbered over the whole object, the meta stripe being 0. Each member has some in a row.

pub(crate) mod bucket;
pub(crate) mod entry;
mod geometry;
pub(crate) mod header;
mod log;
pub(crate) mod method;
pub(crate) mod record;
pub(crate) mod run;
mod slot;
mod stripe;

pub(crate) use geometry::{Dimensions, Geometry};
pub(crate) use log::{LogAt, Noted};
pub(crate) use slot::{CUTS, PENDING, SlotAt};
pub(crate) use stripe::{CLASSES, SEGMENTS, STRIPE_BYTES, STRIPE_WORDS, StripeAt};

use entry::ENTRY_BYTES;
use geometry::{CATALOGUE, META};
use log::LOG_BYTES;
use slot::SLOT_BYTES;

/// Bytes in a word; every shared 64-bit field is aligned to it.
pub(crate) const WORD: u64 = 8;
/// Bytes of a cache line.
pub(crate) const LINE: u64 = 64;
/// The largest object: pointers have 41 bits and count words.
pub(crate) const MAX_OBJECT: u64 = 1 << 44;
/// The largest encoded key or value, in bytes, as in the original.
pub(crate) const MAX_VALUE: u64 = (1 << 31) - 1;
/// The owner noted in the run of the reserved log segment: no slot.
pub(crate) const RESERVED: u32 = u32::MAX;
/// Array elements of more words than this are kept in records, even if their size is fixed.
pub(crate) const DENSE: usize = 64;

/// Stripes that an object can have at most, beside the meta stripe.
pub(crate) const MOST_STRIPES: u32 = 1 << 16;

/// Process numbers are 1 ..= PROCESSES.
pub(crate) const PROCESSES: u32 = 1024;

/// A shared 64-bit field, as its offset from the object's start.
///
/// Invariant: before the data area it is a multiple of [`WORD`], being computed from constants and checked dimensions.
/// Places computed from pointers that are stored in the object may be anything, and are used only where that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offset(u64);

impl Offset {
    /// Returns the field at an address in the data area, which has been computed from words of the object and may be anything.
    #[inline(always)]
    pub(crate) const fn at(address: u64) -> Self {
        Offset(address)
    }
    /// Returns the offset in bytes.
    #[inline(always)]
    pub(crate) const fn bytes(self) -> u64 {
        self.0
    }
    /// Returns the field `index` words further on.
    #[inline(always)]
    pub(crate) const fn word(self, index: u64) -> Self {
        Offset(self.0 + index * WORD)
    }
    /// Returns the next field.
    #[inline(always)]
    pub(crate) const fn next(self) -> Self {
        self.word(1)
    }
}

/// A shared 32-bit field (a lock word or its like), as its offset; never accessed in another width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset32(u64);

impl Offset32 {
    /// Returns the offset in bytes.
    #[inline(always)]
    pub(crate) const fn bytes(self) -> u64 {
        self.0
    }
}

/// Rounds up to a multiple of `unit`.
pub(crate) const fn round_up(n: u64, unit: u64) -> u64 {
    n.div_ceil(unit) * unit
}

// What the format says, in numbers. Objects of this format exist, so none of these may change.
const _: () = {
    let (slot, stripe) = (SlotAt(0), StripeAt(0));
    assert!(slot.owner().0 == 0 && slot.wait().0 == 4);
    assert!(slot.waits_since().0 == 8 && slot.log_word().0 == 16);
    assert!(slot.cuts().0.is_multiple_of(LINE) && slot.cuts().0 + CUTS as u64 * WORD <= SLOT_BYTES);
    assert!(slot.transit().0 == 24 && slot.adopted().0 == 32 && slot.release().0 == 40);
    assert!(slot.began().0 == 48);
    assert!(
        stripe.lock().0 == 0
            && stripe.watch().0 == 4
            && stripe.sequence().0 == 8
            && stripe.buckets().0 == 16
            && stripe.keys().0 == 24
    );
    assert!(stripe.hidden().0 == 32 && stripe.top().0 == 40 && stripe.top_end().0 == 48 && stripe.classes().0 == 56);
    assert!(stripe.segment(0).0 == 64 && stripe.class(0).0 == 704);
    assert!(stripe.runs().0 == 1216 && stripe.capacity().0 == 1224);
    // At least four words of a stripe are spare.
    assert!(stripe.capacity().0 + WORD + 4 * WORD <= STRIPE_BYTES);
    // No two stripes share a cache line, and a slot has two of its own, which processors fetch together.
    assert!(STRIPE_BYTES == 1344 && STRIPE_BYTES.is_multiple_of(64) && SLOT_BYTES == 128);
    assert!(CATALOGUE == 4096 && ENTRY_BYTES == 256 && META == 0 && LOG_BYTES == 1024 && LogAt::FIRST_CAPACITY == 63);
};

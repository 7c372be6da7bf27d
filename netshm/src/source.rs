//! Where readers take their words from: the object as it lies, or as it was before a change under way (`store::past`).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::layout::{Offset, StripeAt};
use crate::region::{ReadError, Region, StripeFields};

/// A source of words, for code that only reads.
pub(crate) trait Source<'a>: Copy {
    /// The fields of a stripe.
    type Stripe: Stripe;

    /// Returns the object, for its shape and for errors.
    fn region(self) -> &'a Region;
    /// Returns the fields of a stripe.
    fn stripe(self, stripe: StripeAt) -> Self::Stripe;
    /// Returns a field before the data area.
    fn field(self, place: Offset) -> u64;
    /// Returns a word of the data area.
    fn word_or<E: ReadError>(self, offset: u64) -> Result<&'a AtomicU64, E>;
    /// Returns a row of words of the data area.
    fn words_or<E: ReadError>(self, offset: u64, count: u64) -> Result<&'a [AtomicU64], E>;
    /// Returns `N` words of the data area in a row.
    fn array_or<const N: usize, E: ReadError>(self, offset: u64) -> Result<&'a [AtomicU64; N], E>;
    /// Returns a word, and those after it that need no further check.
    fn words_from<E: ReadError>(self, offset: u64) -> Result<(&'a AtomicU64, &'a [AtomicU64]), E>;
}

/// The fields of a stripe, without its lock word.
pub(crate) trait Stripe: Copy {
    /// Returns where the stripe lies.
    fn at(self) -> StripeAt;
    /// Returns what one of its fields holds.
    fn get(self, place: Offset) -> u64;
}

impl<'a> Source<'a> for &'a Region {
    type Stripe = StripeFields<'a>;

    #[inline(always)]
    fn region(self) -> &'a Region {
        self
    }
    #[inline(always)]
    fn stripe(self, stripe: StripeAt) -> StripeFields<'a> {
        Region::stripe(self, stripe)
    }
    #[inline(always)]
    fn field(self, place: Offset) -> u64 {
        Region::field(self, place).load(Relaxed)
    }
    #[inline(always)]
    fn word_or<E: ReadError>(self, offset: u64) -> Result<&'a AtomicU64, E> {
        Region::word_or(self, offset)
    }
    #[inline(always)]
    fn words_or<E: ReadError>(self, offset: u64, count: u64) -> Result<&'a [AtomicU64], E> {
        Region::words_or(self, offset, count)
    }
    #[inline(always)]
    fn array_or<const N: usize, E: ReadError>(self, offset: u64) -> Result<&'a [AtomicU64; N], E> {
        Region::array_or(self, offset)
    }
    #[inline(always)]
    fn words_from<E: ReadError>(self, offset: u64) -> Result<(&'a AtomicU64, &'a [AtomicU64]), E> {
        Region::words_from(self, offset)
    }
}

impl Stripe for StripeFields<'_> {
    #[inline(always)]
    fn at(self) -> StripeAt {
        StripeFields::at(self)
    }
    #[inline(always)]
    fn get(self, place: Offset) -> u64 {
        self.field(place).load(Relaxed)
    }
}

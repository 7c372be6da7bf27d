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
    /// True if places may be looked at that nobody has asked for, to have their memory at hand.
    const MAY_LOOK_AHEAD: bool;

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

/// Marks a place at which a reader has loaded a word that leads to an offset. There a test can make it lead elsewhere, as if other data
/// had taken the place of the word just before. A macro, so that nothing of it is left elsewhere.
macro_rules! led_to {
    ($offset:expr) => {{
        #[cfg(test)]
        let offset = $crate::source::tests::led_to($offset);
        #[cfg(not(test))]
        let offset = $offset;
        offset
    }};
}
pub(crate) use led_to;

impl<'a> Source<'a> for &'a Region {
    type Stripe = StripeFields<'a>;
    const MAY_LOOK_AHEAD: bool = true;

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
        Region::word_or(self, led_to!(offset))
    }
    #[inline(always)]
    fn words_or<E: ReadError>(self, offset: u64, count: u64) -> Result<&'a [AtomicU64], E> {
        Region::words_or(self, led_to!(offset), count)
    }
    #[inline(always)]
    fn array_or<const N: usize, E: ReadError>(self, offset: u64) -> Result<&'a [AtomicU64; N], E> {
        Region::array_or(self, led_to!(offset))
    }
    #[inline(always)]
    fn words_from<E: ReadError>(self, offset: u64) -> Result<(&'a AtomicU64, &'a [AtomicU64]), E> {
        Region::words_from(self, led_to!(offset))
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

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;

    type Lead = Box<dyn FnMut(u64) -> u64>;

    thread_local! {
        static LEAD: RefCell<Option<Lead>> = const { RefCell::new(None) };
    }

    pub(crate) fn led_to(offset: u64) -> u64 {
        // What it calls may read as well.
        let Some(mut lead) = LEAD.take() else { return offset };
        let elsewhere = lead(offset);
        LEAD.set(Some(lead));
        elsewhere
    }

    /// Lets `lead` decide where the words lead that this thread follows without a lock, or under one, from now on.
    pub(crate) fn lead(lead: impl FnMut(u64) -> u64 + 'static) {
        LEAD.set(Some(Box::new(lead)));
    }

    /// Lets them lead to where they do.
    pub(crate) fn lead_rightly() {
        LEAD.set(None);
    }
}

//! Reading objects whose free memory may be holes of their file.
//!
//! On a tmpfs a look at a hole takes memory, and raises SIGBUS where there is none. A reader that is stopped between loading a word and
//! following it may find, when it goes on, that other data have taken the place of the word, and that these lead into a hole. So before
//! the first hole is made, all stripes get a bit in their sequences that closes them to the fast paths. What follows reads with care:
//! before it looks at any place that a word has led to, it looks whether the stripe is still what it was when that word was loaded.
//! Then the place is one that the stripe had in use at that moment, and no hole.

use std::sync::atomic::AtomicU64;

use super::past::{PastStripe, Reading};
use super::{Limits, Store, group};
use crate::error::Result;
use crate::layout::{Offset, StripeAt};
use crate::region::{ReadError, Region, StripeFields};
use crate::sequence::Stamp;
use crate::source::{Source, Stripe};

/// A source of words that does more than hand out what lies there.
#[derive(Clone, Copy)]
pub(crate) enum Guarded<'a> {
    /// A stripe that is as it lies, and read with care.
    Careful(&'a Region, Stamp<'a>),
    /// A stripe as it was before a change under way.
    Past(&'a Reading<'a>),
}

/// Returns an error if a word that has led to a place may not have been what it seemed.
#[inline]
fn check<E: ReadError>(region: &Region, stamp: Stamp<'_>, offset: u64) -> Result<(), E> {
    if stamp.holds() { Ok(()) } else { Err(E::corrupt(region, offset, "changed while it was read")) }
}

impl<'a> Source<'a> for &'a Guarded<'a> {
    type Stripe = GuardedStripe<'a>;
    const MAY_LOOK_AHEAD: bool = false;

    fn region(self) -> &'a Region {
        match *self {
            Guarded::Careful(region, _) => region,
            Guarded::Past(reading) => reading.region(),
        }
    }
    fn stripe(self, at: StripeAt) -> GuardedStripe<'a> {
        match *self {
            Guarded::Careful(region, _) => GuardedStripe::AsItIs(region.stripe(at)),
            Guarded::Past(reading) => GuardedStripe::Past(reading.stripe(at)),
        }
    }
    fn field(self, place: Offset) -> u64 {
        match *self {
            Guarded::Careful(region, _) => Source::field(region, place),
            Guarded::Past(reading) => reading.field(place),
        }
    }
    fn word_or<E: ReadError>(self, offset: u64) -> Result<&'a AtomicU64, E> {
        match *self {
            Guarded::Careful(region, stamp) => {
                let word = Source::word_or(region, offset)?;
                check(region, stamp, offset).map(|()| word)
            }
            Guarded::Past(reading) => reading.word_or(offset),
        }
    }
    fn words_or<E: ReadError>(self, offset: u64, count: u64) -> Result<&'a [AtomicU64], E> {
        match *self {
            Guarded::Careful(region, stamp) => {
                let words = Source::words_or(region, offset, count)?;
                check(region, stamp, offset).map(|()| words)
            }
            Guarded::Past(reading) => reading.words_or(offset, count),
        }
    }
    fn array_or<const N: usize, E: ReadError>(self, offset: u64) -> Result<&'a [AtomicU64; N], E> {
        match *self {
            Guarded::Careful(region, stamp) => {
                let words = Source::array_or(region, offset)?;
                check(region, stamp, offset).map(|()| words)
            }
            Guarded::Past(reading) => reading.array_or(offset),
        }
    }
    fn words_from<E: ReadError>(self, offset: u64) -> Result<(&'a AtomicU64, &'a [AtomicU64]), E> {
        // How many of those that follow belong to it, is yet to be read.
        Ok((self.word_or(offset)?, &[]))
    }
}

/// A stripe as it is, or as it was before a change.
#[derive(Clone, Copy)]
pub(crate) enum GuardedStripe<'a> {
    AsItIs(StripeFields<'a>),
    Past(PastStripe<'a>),
}

impl Stripe for GuardedStripe<'_> {
    fn at(self) -> StripeAt {
        match self {
            GuardedStripe::AsItIs(stripe) => stripe.at(),
            GuardedStripe::Past(stripe) => stripe.at(),
        }
    }
    fn get(self, place: Offset) -> u64 {
        match self {
            GuardedStripe::AsItIs(stripe) => stripe.get(place),
            GuardedStripe::Past(stripe) => stripe.get(place),
        }
    }
}

impl Store {
    /// Makes all readers of the object careful, where a hole of its file can harm them. Returns whether they all have been so before.
    pub(super) fn ask_for_care(&self, limits: Limits) -> Result<bool> {
        if !self.region().holes_take_memory() || self.is_read_with_care() {
            return Ok(true);
        }
        let deadline = group::own_deadline(limits);
        let meta = self.geometry().meta();
        // The meta stripe first: who adds stripes under its lock later sees it.
        let ask = || {
            self.sequence(meta).set_care(true);
            Ok(())
        };
        group::with_slot(self, &deadline, |slot| self.with_meta(slot, &deadline, ask))?;
        for stripe in self.all_stripes() {
            group::read_locked_alone(self, &deadline, |change| {
                // Exclusively, so that nobody stores the sequence meanwhile.
                change.lock_stripe(stripe)?;
                self.sequence(stripe).set_care(true);
                Ok(())
            })?;
        }
        Ok(false)
    }

    pub(super) fn is_read_with_care(&self) -> bool {
        self.sequence(self.geometry().meta()).needs_care()
            && self.all_stripes().all(|stripe| self.sequence(stripe).needs_care())
    }

    /// Makes readers careful or not, depending on whether the object has holes that can harm them. Nobody else uses the object.
    pub(super) fn set_care(&self, care: bool) {
        let meta = self.geometry().meta();
        for stripe in [meta].into_iter().chain(self.all_stripes()) {
            if self.sequence(stripe).needs_care() != care {
                self.sequence(stripe).set_care(care);
            }
        }
    }

    /// Makes readers of stripes that are about to be used as careful as those of the others. The meta lock is held.
    pub(super) fn inherit_care(&self, stripes: std::ops::Range<u32>) {
        if self.sequence(self.geometry().meta()).needs_care() {
            stripes.for_each(|stripe| self.sequence(stripe).set_care(true));
        }
    }
}

//! Fields before the data area that have been checked together.
#![deny(unsafe_code)]

use std::sync::atomic::AtomicU64;

use crate::layout::{Offset, STRIPE_WORDS, StripeAt, WORD};

/// Consecutive fields before the data area.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a, const N: usize> {
    pub(super) first: Offset,
    pub(super) words: &'a [AtomicU64; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    /// Returns one of them.
    #[inline(always)]
    pub(crate) fn at(self, place: Offset) -> &'a AtomicU64 {
        &self.words[(place.bytes().wrapping_sub(self.first.bytes()) / WORD) as usize]
    }

    /// Returns all of them.
    #[inline(always)]
    pub(crate) fn words(self) -> &'a [AtomicU64; N] {
        self.words
    }
}

/// The fields of a stripe, but for its lock word.
#[derive(Clone, Copy)]
pub(crate) struct StripeFields<'a> {
    pub(super) at: StripeAt,
    pub(super) fields: Fields<'a, { STRIPE_WORDS - 1 }>,
}

impl<'a> StripeFields<'a> {
    /// Returns where the stripe lies.
    #[inline(always)]
    pub(crate) fn at(self) -> StripeAt {
        self.at
    }

    /// Returns one of its fields.
    #[inline(always)]
    pub(crate) fn field(self, place: Offset) -> &'a AtomicU64 {
        self.fields.at(place)
    }
}

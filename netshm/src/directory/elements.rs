//! The stripe, chunk and words of an array's element.

use std::ops::Range;

use crate::layout::{DENSE, Geometry, StripeAt};

/// Approximate number of words in a chunk.
const CHUNK_WORDS: u64 = 256;

/// Layout of an array's elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements {
    /// Words of an element that lies in its chunk; `None` for pointers to records.
    pub(super) dense: Option<u64>,
    /// Elements in a chunk, as a power of two.
    pub(super) bits: u32,
}

/// Place of an element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) stripe: u32,
    /// Fields of the stripe.
    pub(crate) at: StripeAt,
    /// Number of its chunk within the stripe.
    pub(super) chunk: u64,
    /// First word within the chunk.
    pub(super) word: u64,
    /// Words there: of the element, or one pointer.
    pub(super) words: u64,
}

impl Spot {
    /// Returns the number of words of each element in the chunk: its own, or one pointer.
    pub(crate) fn words_each(self) -> usize {
        self.words as usize
    }

    /// Returns the address of the element in the record that holds its chunk.
    pub(crate) fn place(self, chunk: u64) -> u64 {
        chunk.wrapping_add(8 + self.word * 8)
    }
}

impl Elements {
    /// Returns the layout for elements whose encoding takes `fixed` words.
    pub(crate) const fn of(fixed: Option<usize>) -> Self {
        match fixed {
            Some(words @ 1..=DENSE) => Self::dense_or_not(words as u64),
            _ => Self::dense_or_not(0),
        }
    }

    /// Returns the layout for elements of `words` words each in their chunk; 0 for elements in records.
    pub(crate) const fn dense_or_not(words: u64) -> Self {
        match words {
            0 => Elements { dense: None, bits: CHUNK_WORDS.ilog2() },
            words @ 1..CHUNK_WORDS => Elements { dense: Some(words), bits: (CHUNK_WORDS / words).ilog2() },
            words => Elements { dense: Some(words), bits: 0 },
        }
    }

    #[inline]
    pub(super) fn words_each(self) -> u64 {
        self.dense.unwrap_or(1)
    }

    /// Returns the number of words of an element that lies in its chunk.
    pub(crate) fn dense(self) -> Option<u64> {
        self.dense
    }

    /// Returns the number of elements in a chunk.
    pub(crate) const fn in_chunk(self) -> usize {
        1 << self.bits
    }

    /// Returns the first element of the chunk after that of an element.
    pub(crate) fn chunk_end(self, index: u64) -> u64 {
        (index | ((1 << self.bits) - 1)).saturating_add(1)
    }

    /// Returns the chunks of a range of elements, counted over all stripes.
    pub(crate) fn chunks(self, start: u64, end: u64) -> Range<u64> {
        if start < end { start >> self.bits..((end - 1) >> self.bits) + 1 } else { 0..1 }
    }

    /// Returns the first element of a chunk, counted over all stripes.
    pub(crate) fn first_of(self, chunk: u64) -> u64 {
        chunk.wrapping_shl(self.bits)
    }

    /// Returns the number of words in a chunk.
    pub(crate) fn chunk_words(self) -> u64 {
        self.words_each() << self.bits
    }

    /// Returns where element `index` belongs.
    #[inline]
    pub(crate) fn spot(self, geometry: &Geometry, index: u64) -> Spot {
        let chunk = index >> self.bits;
        let words = self.words_each();
        let word = (index & ((1 << self.bits) - 1)) * words;
        let (stripe, chunk) = geometry.stripe_of_chunk(chunk);
        Spot { stripe, at: geometry.stripe(stripe), chunk, word, words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_its_own_spot() {
        let dimensions = crate::layout::Dimensions {
            pagesize: 256,
            stripes: 4,
            stripe_room: 4,
            member_room: 16,
            slots: 1,
            init: 1,
            max_size: 1 << 30,
            schema_bytes: 0,
            default_words: 0,
            form: crate::layout::bucket::Form::Records,
        };
        let geometry = dimensions.geometry();
        for fixed in [None, Some(1), Some(3), Some(64), Some(65), Some(0)] {
            let elements = Elements::of(fixed);
            let mut seen = std::collections::HashSet::new();
            for index in 0..5000 {
                let spot = elements.spot(&geometry, index);
                assert!(spot.word + spot.words <= elements.chunk_words());
                assert!(seen.insert((spot.stripe, spot.chunk, spot.word)), "{fixed:?} {index}");
            }
        }
    }
}

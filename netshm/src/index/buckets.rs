//! Buckets: where they lie, and the chains that they form.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::Result;
use crate::layout::record::{BUCKET_BYTES, BUCKET_WORDS, CELLS, Cell, Head, Lengths};
use crate::layout::{SEGMENTS, StripeAt};
use crate::region::Region;

/// Buckets in each of the first four segments; then four segments of each size follow.
const FIRST: u64 = 4;
/// The most buckets that a stripe can have: cells keep hash bits for so many.
pub(crate) const MOST_BUCKETS: u64 = 1 << Cell::HASH_BITS;
/// The longest chain; hash values that agree in so many keys do not happen by themselves.
const LONGEST_CHAIN: u32 = 1 << 20;

/// The bucket of a hash, among so many.
#[inline]
pub(crate) fn bucket_of(hash: u64, buckets: u64) -> u64 {
    let mask = u64::MAX >> buckets.leading_zeros();
    let bucket = hash & mask;
    if bucket < buckets { bucket } else { hash & (mask >> 1) }
}

/// The segment that a bucket lies in, its place there, and how many buckets the segment has.
#[inline]
pub(crate) fn segment_of(bucket: u64) -> (u32, u64, u64) {
    if bucket < 4 * FIRST {
        return ((bucket / FIRST) as u32, bucket % FIRST, FIRST);
    }
    let doubling = bucket.ilog2() - (4 * FIRST).ilog2();
    let size = FIRST << doubling;
    (4 + doubling * 4 + ((bucket / size) & 3) as u32, bucket & (size - 1), size)
}

const _: () = assert!(4 + (MOST_BUCKETS.ilog2() - 4) * 4 <= SEGMENTS);

/// A bucket and the overflow buckets behind it.
pub(crate) struct Chain<'a> {
    region: &'a Region,
    at: u64,
    words: &'a [AtomicU64; BUCKET_WORDS],
    before: Option<u64>,
    steps: u32,
}

/// Lengths of the record that holds an overflow bucket.
pub(crate) const OVERFLOW: Lengths = Lengths { key: 0, value: BUCKET_WORDS as u64 };

impl<'a> Chain<'a> {
    /// The chain of a bucket.
    #[inline(always)]
    pub(crate) fn of(region: &'a Region, stripe: StripeAt, buckets: u64, bucket: u64) -> Result<Self> {
        if buckets > MOST_BUCKETS {
            return Err(region.corrupt(stripe.buckets().0, "a stripe has more buckets than there can be"));
        }
        let at = address_of(region, stripe, bucket);
        Ok(Chain { region, at, words: bucket_words(region, at)?, before: None, steps: 0 })
    }

    /// Address of the present bucket.
    #[inline]
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The bucket that leads to the present one.
    pub(crate) fn before(&self) -> Option<u64> {
        self.before
    }

    /// Words of the present bucket.
    #[inline]
    pub(crate) fn bucket(&self) -> &'a [AtomicU64; BUCKET_WORDS] {
        self.words
    }

    /// Address of the overflow record behind the present bucket, or 0.
    pub(crate) fn link(&self) -> u64 {
        self.words[CELLS].load(Relaxed)
    }

    /// Goes on to the next overflow bucket.
    #[inline(always)]
    pub(crate) fn advance(&mut self) -> Result<bool> {
        match self.link() {
            0 => Ok(false),
            link => self.follow(link),
        }
    }

    fn follow(&mut self, link: u64) -> Result<bool> {
        self.steps += 1;
        let head = Head(self.region.word(link)?.load(Relaxed));
        if self.steps > LONGEST_CHAIN || head.is_free() || head.is_long() || head.lengths() != OVERFLOW {
            return Err(self.region.corrupt(self.at, "a bucket's chain leads astray"));
        }
        self.before = Some(self.at);
        self.at = link + 8;
        self.words = bucket_words(self.region, self.at)?;
        Ok(true)
    }
}

/// Where a bucket lies, as the stripe's segments say. There are at most [`MOST_BUCKETS`].
#[inline(always)]
pub(super) fn address_of(region: &Region, stripe: StripeAt, bucket: u64) -> u64 {
    let (segment, place, _) = segment_of(bucket);
    let start = region.field(stripe.segment(segment)).load(Relaxed);
    start.wrapping_add(place * BUCKET_BYTES)
}

#[inline(always)]
fn bucket_words(region: &Region, at: u64) -> Result<&[AtomicU64; BUCKET_WORDS]> {
    region.words(at, BUCKET_WORDS as u64)?.try_into().map_err(|_| region.corrupt(at, "a bucket is cut off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_fill_segments_without_gaps() {
        let mut expected = (0, 0);
        for bucket in 0..1 << 16 {
            let (segment, place, size) = segment_of(bucket);
            assert_eq!((segment, place), expected, "bucket {bucket}");
            expected = if place + 1 == size { (segment + 1, 0) } else { (segment, place + 1) };
        }
        assert!(segment_of(MOST_BUCKETS - 1).0 < SEGMENTS);
    }

    #[test]
    fn growing_by_one_moves_keys_only_into_the_new_bucket() {
        for buckets in 1..200 {
            for hash in 0..5000u64 {
                let (old, new) = (bucket_of(hash, buckets), bucket_of(hash, buckets + 1));
                assert!(new == old || new == buckets, "hash {hash} goes from {old} to {new} of {buckets}");
                assert!(old < buckets);
            }
        }
    }
}

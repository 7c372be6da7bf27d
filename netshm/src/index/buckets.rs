//! Buckets: where they lie, the chains that they form, and what their cells hold.

use std::marker::PhantomData;
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::heap::Memory;
use crate::layout::bucket::{BucketAt, Cell, Cells, Form, PAIR_WORDS, Tag, Tags};
use crate::layout::record::Head;
use crate::layout::{Offset, SEGMENTS, StripeAt};
use crate::os::copy;
use crate::region::{Inconclusive, ReadError, Region};
use crate::source::{Source, Stripe};
use crate::store::{Store, Transaction};

use super::record::PAIR;
use super::ring::Ring;

/// Buckets in each of the first four segments; then four segments of each size follow.
const FIRST: u64 = 4;
/// The largest number of buckets in a stripe: cells keep hash bits for no more.
pub(crate) const MOST_BUCKETS: u64 = 1 << Cell::HASH_BITS;
/// Cells that a bucket has beside a link.
pub(super) const CELLS: usize = 7;
/// Distance of prefetching where buckets of pairs are visited in a row: processors that notice a row do so within a page only.
const AHEAD: usize = 12;
/// The longest chain; that many keys do not share a hash by chance.
const LONGEST_CHAIN: u64 = 1 << 20;

/// Returns the bucket of a hash among `buckets` buckets.
#[inline]
pub(crate) fn bucket_of(hash: u64, buckets: u64) -> u64 {
    let half = 1 << buckets.ilog2();
    let low = hash & (half - 1);
    let bucket = low | hash & half;
    if bucket < buckets { bucket } else { low }
}

/// Returns the segment of a bucket, its place there, and the number of buckets in the segment.
#[inline(always)]
pub(crate) fn segment_of(bucket: u64) -> (u32, u64, u64) {
    // As if that number of buckets came before: then the topmost bit gives the size, and the two bits after it, which of four.
    let number = bucket + 4 * FIRST;
    let shift = number.ilog2() - 2;
    let segment = 4 * shift + (number >> shift) as u32 - (4 * FIRST.ilog2() + 4);
    (segment, number & ((1 << shift) - 1), 1 << shift)
}

const _: () = assert!((MOST_BUCKETS.ilog2() - 3) * 4 <= SEGMENTS);

/// The cells of a bucket that leads to records, and its link.
type RecordCells<'a> = &'a [AtomicU64; Form::Records.cell_words()];
/// Keys and values of a bucket.
type Pairs<'a> = &'a [[AtomicU64; PAIR_WORDS]];

/// A bucket and its overflow buckets.
pub(crate) struct Chain<'a, S = &'a Region> {
    source: S,
    words: PhantomData<&'a AtomicU64>,
    at: BucketAt,
    form: Form,
    before: Option<BucketAt>,
    steps: u64,
    ring: Ring,
}

impl<'a> Chain<'a> {
    /// Returns the chain of a bucket.
    pub(crate) fn of(region: &'a Region, stripe: StripeAt, buckets: u64, bucket: u64) -> Result<Self> {
        Self::of_or(region, region.geometry().form, region.stripe(stripe), buckets, bucket)
    }
}

impl<'a, S: Source<'a>> Chain<'a, S> {
    #[inline(always)]
    pub(super) fn of_or<E: ReadError>(
        source: S,
        form: Form,
        stripe: S::Stripe,
        buckets: u64,
        bucket: u64,
    ) -> Result<Self, E> {
        if buckets > MOST_BUCKETS {
            return Err(E::corrupt(
                source.region(),
                stripe.at().buckets().bytes(),
                "a stripe has more buckets than there can be",
            ));
        }
        let at = bucket_at(form, stripe, bucket);
        Ok(Chain { source, words: PhantomData, at, form, before: None, steps: 0, ring: Ring::default() })
    }

    #[inline(always)]
    pub(super) fn source(&self) -> S {
        self.source
    }

    /// Returns the error for damage found in the present bucket.
    #[inline(always)]
    pub(super) fn corrupt<E: ReadError>(&self, what: &'static str) -> E {
        E::corrupt(self.source.region(), self.at.cells, what)
    }

    /// Returns where the present bucket lies.
    #[inline(always)]
    pub(crate) fn at(&self) -> BucketAt {
        self.at
    }

    /// Returns the bucket that links to the present one.
    #[inline(always)]
    pub(crate) fn before(&self) -> Option<BucketAt> {
        self.before
    }

    /// Returns the form of the buckets.
    #[inline(always)]
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Returns the cells of the present bucket, if it leads to records, and its link.
    #[inline(always)]
    pub(crate) fn records<E: ReadError>(&self) -> Result<RecordCells<'a>, E> {
        records(self.source, self.at)
    }

    /// Returns the tags of the present bucket, if it is one of pairs.
    #[inline(always)]
    pub(crate) fn tags<E: ReadError>(&self) -> Result<Tags, E> {
        tags(self.source, self.at)
    }

    /// Returns the keys and values of the present bucket, if it is one of pairs.
    #[inline(always)]
    pub(crate) fn pairs<E: ReadError>(&self) -> Result<Pairs<'a>, E> {
        let words: &[AtomicU64; Form::Pairs.cell_words()] = self.source.array_or(self.at.cells)?;
        Ok(words.as_chunks().0)
    }

    /// Returns the address of the present bucket's overflow record, or 0.
    #[inline(always)]
    pub(crate) fn link<E: ReadError>(&self) -> Result<u64, E> {
        if self.form == Form::Pairs && !self.tags()?.has_link() {
            return Ok(0);
        }
        Ok(self.source.word_or(link_of(self.form, self.at).bytes())?.load(Relaxed))
    }

    /// Goes on to the next overflow bucket.
    #[inline(always)]
    pub(crate) fn advance<E: ReadError>(&mut self) -> Result<bool, E> {
        match self.link()? {
            0 => Ok(false),
            link => self.follow(link),
        }
    }

    #[inline(never)]
    fn follow<E: ReadError>(&mut self, link: u64) -> Result<bool, E> {
        self.steps += 1;
        let head = Head(self.source.word_or(link)?.load(Relaxed));
        let astray = self.steps > LONGEST_CHAIN || self.ring.closes(link);
        if astray || head.is_free() || head.is_long() || head.lengths() != self.form.overflow() {
            return Err(self.corrupt("a bucket's chain leads astray"));
        }
        self.before = Some(self.at);
        self.at = self.form.bucket_in(link);
        Ok(true)
    }
}

/// Returns the cells of a bucket that leads to records, and its link.
#[inline(always)]
fn records<'a, E: ReadError>(source: impl Source<'a>, bucket: BucketAt) -> Result<RecordCells<'a>, E> {
    source.array_or(bucket.cells)
}

/// Returns the tags of a bucket of pairs.
#[inline(always)]
fn tags<'a, E: ReadError>(source: impl Source<'a>, bucket: BucketAt) -> Result<Tags, E> {
    Ok(Tags(source.word_or(bucket.tags)?.load(Relaxed)))
}

/// Returns where a bucket lies, by the stripe's segments. There are at most [`MOST_BUCKETS`].
#[inline(always)]
pub(super) fn bucket_at(form: Form, stripe: impl Stripe, bucket: u64) -> BucketAt {
    let (segment, place, size) = segment_of(bucket);
    form.bucket(stripe.get(stripe.at().segment(segment)), size, place)
}

/// Buckets of pairs that lie in a row.
#[derive(Default)]
pub(super) struct Row<'a> {
    tags: slice::Iter<'a, AtomicU64>,
    cells: slice::Iter<'a, [AtomicU64; Form::Pairs.cell_words()]>,
    /// Where the next one lies.
    at: BucketAt,
}

impl<'a> Iterator for Row<'a> {
    type Item = (Tags, BucketAt, Pairs<'a>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (tags, cells) = (self.tags.next()?, self.cells.next()?);
        if let Some(ahead) = self.cells.as_slice().get(AHEAD) {
            copy::prefetch(&ahead[0]);
            copy::prefetch(&ahead[ahead.len() / 2]);
        }
        let at = self.at;
        self.at = Form::Pairs.following(at);
        Some((Tags(tags.load(Relaxed)), at, cells.as_chunks().0))
    }
}

/// Returns a bucket of pairs and those that follow it in its segment; `None` where not all of them lie inside the object.
#[inline(always)]
pub(super) fn row_from<'a>(source: impl Source<'a>, stripe: impl Stripe, bucket: u64) -> Option<Row<'a>> {
    let buckets = stripe.get(stripe.at().buckets());
    if bucket >= buckets || buckets > MOST_BUCKETS {
        return None;
    }
    let (_, place, size) = segment_of(bucket);
    let count = (size - place).min(buckets - bucket);
    let first = bucket_at(Form::Pairs, stripe, bucket);
    let words = |at, each: usize| source.words_or::<Inconclusive>(at, count * each as u64).ok();
    let tags = words(first.tags, Form::Pairs.tag_words())?;
    let cells = words(first.cells, Form::Pairs.cell_words())?.as_chunks().0;
    Some(Row { tags: tags.iter(), cells: cells.iter(), at: first })
}

/// Returns the place of the word of a bucket that leads to an overflow bucket; in one of pairs, only if the tags say so.
fn link_of(form: Form, bucket: BucketAt) -> Offset {
    bucket.cell(form.link())
}

/// Sets the link of a bucket to an overflow bucket, or to none if it is 0. In one of pairs it occupies the last cell.
pub(super) fn set_link(change: &mut Transaction<'_>, bucket: BucketAt, link: u64) -> Result<()> {
    let form = change.store().geometry().form;
    if form == Form::Pairs {
        let tags = Tags(change.load(Offset::at(bucket.tags))?);
        let linked = if link == 0 { tags.without_link() } else { tags.with_link() };
        if linked != tags {
            change.write(Offset::at(bucket.tags), linked.0)?;
        }
        if link == 0 {
            return Ok(());
        }
    }
    change.write(link_of(form, bucket), link)
}

/// Content of a used cell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// A pointer to the newest binding.
    Record(Cell),
    /// A key, and its value or a pointer to its newest binding.
    Pair { tag: Tag, key: u64, value: u64 },
}

impl Content {
    /// Returns bits of the key's hash, enough to find its bucket.
    pub(super) fn hash_bits(self, store: &Store) -> u64 {
        match self {
            Content::Record(cell) => cell.hash_bits(),
            Content::Pair { key, .. } => store.hash(&[key]),
        }
    }

    /// Returns whether the bits of the hash in the cell agree with `hash`.
    pub(crate) fn agrees(self, hash: u64) -> bool {
        match self {
            Content::Record(cell) => cell.agrees(hash),
            Content::Pair { tag, .. } => tag.agrees(hash),
        }
    }

    /// Returns the newest binding: the address of its record, or of the pair in the cell of a bucket.
    pub(crate) fn newest(self, bucket: BucketAt, cell: usize) -> u64 {
        match self {
            Content::Record(cell) => cell.record(),
            Content::Pair { tag, value, .. } if tag.is_stack() => value,
            Content::Pair { .. } => pair_at(bucket, cell),
        }
    }

    /// Returns an unused cell of a bucket for it.
    #[inline(always)]
    pub(super) fn room(self, region: &Region, bucket: BucketAt) -> Result<Option<usize>> {
        match self {
            Content::Record(_) => {
                let cells = records(region, bucket)?[..Form::Records.cells()].iter();
                Ok(cells.map(|word| Cell(word.load(Relaxed))).position(Cell::is_empty))
            }
            Content::Pair { tag, .. } => Ok(tags(region, bucket)?.free_for(tag)),
        }
    }

    /// Puts it into an unused cell of a bucket.
    #[inline]
    pub(super) fn store(self, change: &mut Transaction<'_>, bucket: BucketAt, cell: usize) -> Result<()> {
        match self {
            Content::Record(content) => change.write(bucket.cell(cell), content.0),
            Content::Pair { tag, key, value } => {
                change.write_unused(bucket.pair(cell), [key, value])?;
                change.modify(Offset::at(bucket.tags), |tags| Tags(tags).with(cell, tag).0)
            }
        }
    }
}

/// Empties cells of a bucket.
pub(super) fn clear_cells(change: &mut Transaction<'_>, bucket: BucketAt, mut cells: Cells) -> Result<()> {
    match change.store().geometry().form {
        Form::Records => cells.try_for_each(|cell| change.write(bucket.cell(cell), 0)),
        Form::Pairs => change.modify(Offset::at(bucket.tags), |tags| cells.fold(Tags(tags), Tags::without).0),
    }
}

/// Returns the address of a pair, as of a binding.
#[inline(always)]
pub(super) fn pair_at(bucket: BucketAt, cell: usize) -> u64 {
    bucket.pair(cell).bytes() | PAIR
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

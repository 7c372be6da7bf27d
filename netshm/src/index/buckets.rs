//! Buckets: where they lie, the chains that they form, and what their cells hold.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::Result;
use crate::heap::Memory;
use crate::layout::bucket::{CELLS, Cell, Cells, Form, LINK, MOST_WORDS, Tag, Tags, before_pair};
use crate::layout::record::Head;
use crate::layout::{Place, SEGMENTS, StripeAt};
use crate::region::{Fault, Region};
use crate::store::{Change, Store};

use super::PAIR;

/// Buckets in each of the first four segments; then four segments of each size follow.
const FIRST: u64 = 4;
/// The most buckets that a stripe can have: cells keep hash bits for so many.
pub(crate) const MOST_BUCKETS: u64 = 1 << Cell::HASH_BITS;
/// The longest chain; hash values that agree in so many keys do not happen by themselves.
const LONGEST_CHAIN: u32 = 1 << 20;

/// The bucket of a hash, among so many.
#[inline]
pub(crate) fn bucket_of(hash: u64, buckets: u64) -> u64 {
    let half = 1 << buckets.ilog2();
    let low = hash & (half - 1);
    let bucket = low | hash & half;
    if bucket < buckets { bucket } else { low }
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
    form: Form,
    words: &'a [AtomicU64],
    before: Option<u64>,
    steps: u32,
}

impl<'a> Chain<'a> {
    /// The chain of a bucket.
    #[inline(always)]
    pub(crate) fn of(region: &'a Region, stripe: StripeAt, buckets: u64, bucket: u64) -> Result<Self> {
        Self::of_or(region, stripe, buckets, bucket)
    }

    #[inline(always)]
    pub(super) fn of_or<E: Fault>(region: &'a Region, stripe: StripeAt, buckets: u64, bucket: u64) -> Result<Self, E> {
        if buckets > MOST_BUCKETS {
            return Err(E::corrupt(region, stripe.buckets().0, "a stripe has more buckets than there can be"));
        }
        let at = address_of(region, stripe, bucket);
        let form = region.geometry().form;
        Ok(Chain { region, at, form, words: region.words_or(at, form.words() as u64)?, before: None, steps: 0 })
    }

    /// Address of the present bucket.
    #[inline]
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The bucket that leads to the present one.
    #[inline]
    pub(crate) fn before(&self) -> Option<u64> {
        self.before
    }

    /// Words of the present bucket.
    #[inline]
    pub(crate) fn words(&self) -> &'a [AtomicU64] {
        self.words
    }

    /// Words of the present bucket, if it is one of pairs.
    #[inline(always)]
    pub(crate) fn pairs(&self) -> &'a [AtomicU64; MOST_WORDS] {
        self.words.first_chunk().unwrap_or_else(|| unreachable!("asked for by form only"))
    }

    /// The form of the buckets.
    #[inline]
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// A copy of the present bucket.
    pub(crate) fn image(&self) -> Image {
        Image::copied(self.form, self.words)
    }

    /// The tags of the present bucket, if it is one of pairs.
    #[inline]
    fn tags(&self) -> Tags {
        Tags(self.words[0].load(Relaxed))
    }

    /// An unused cell of the present bucket.
    #[inline]
    pub(crate) fn free_cell(&self) -> Option<usize> {
        match self.form {
            Form::Records => self.words[..CELLS].iter().position(|word| Cell(word.load(Relaxed)).is_empty()),
            Form::Pairs => self.tags().first_free(),
        }
    }

    /// Address of the overflow record behind the present bucket, or 0.
    #[inline]
    pub(crate) fn link(&self) -> u64 {
        self.words[LINK].load(Relaxed)
    }

    /// Goes on to the next overflow bucket.
    #[inline(always)]
    pub(crate) fn advance(&mut self) -> Result<bool> {
        self.advance_or()
    }

    #[inline(always)]
    pub(super) fn advance_or<E: Fault>(&mut self) -> Result<bool, E> {
        match self.link() {
            0 => Ok(false),
            link => self.follow(link),
        }
    }

    fn follow<E: Fault>(&mut self, link: u64) -> Result<bool, E> {
        self.steps += 1;
        let head = Head(self.region.word_or(link)?.load(Relaxed));
        if self.steps > LONGEST_CHAIN || head.is_free() || head.is_long() || head.lengths() != self.form.overflow() {
            return Err(E::corrupt(self.region, self.at, "a bucket's chain leads astray"));
        }
        self.before = Some(self.at);
        self.at = link + 8;
        self.words = self.region.words_or(self.at, self.form.words() as u64)?;
        Ok(true)
    }
}

/// Where a bucket lies, as the stripe's segments say. There are at most [`MOST_BUCKETS`].
#[inline(always)]
pub(super) fn address_of(region: &Region, stripe: StripeAt, bucket: u64) -> u64 {
    let (segment, place, _) = segment_of(bucket);
    let start = region.field(stripe.segment(segment)).load(Relaxed);
    start.wrapping_add(place * region.geometry().form.bytes())
}

/// What a used cell holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// A pointer to the newest binding.
    Record(Cell),
    /// A key, and its value or a pointer to its newest binding.
    Pair { tag: Tag, key: u64, value: u64 },
}

impl Content {
    /// Bits of the key's hash: enough to tell its bucket.
    pub(super) fn hash_bits(self, store: &Store) -> u64 {
        match self {
            Content::Record(cell) => cell.hash_bits(),
            Content::Pair { key, .. } => store.hash(&[key]),
        }
    }

    /// Whether the bits of the hash that the cell keeps agree with `hash`.
    pub(crate) fn agrees(self, hash: u64) -> bool {
        match self {
            Content::Record(cell) => cell.agrees(hash),
            Content::Pair { tag, .. } => tag.agrees(hash),
        }
    }

    /// The newest binding: the address of its record, or of the pair in the cell of a bucket.
    pub(crate) fn newest(self, bucket: u64, cell: usize) -> u64 {
        match self {
            Content::Record(cell) => cell.record(),
            Content::Pair { tag, value, .. } if tag.is_stack() => value,
            Content::Pair { .. } => pair_at(bucket, cell),
        }
    }

    /// Puts it into an unused cell of a bucket.
    #[inline]
    pub(super) fn store(self, change: &mut Change<'_>, chain: &Chain<'_>, cell: usize) -> Result<()> {
        match self {
            Content::Record(content) => change.store(cell_at(chain.at(), cell), content.0),
            Content::Pair { tag, key, value } => {
                let place = value_place(chain.at(), cell);
                change.fill(Place(place.0 - 8), key)?;
                change.fill(place, value)?;
                change.store(Place(chain.at()), chain.tags().with(cell, tag).0)
            }
        }
    }
}

/// Empties cells of a bucket.
pub(super) fn clear_cells(change: &mut Change<'_>, bucket: u64, mut cells: Cells) -> Result<()> {
    match change.target().geometry().form {
        Form::Records => cells.try_for_each(|cell| change.store(cell_at(bucket, cell), 0)),
        Form::Pairs => {
            let tags = Tags(change.load(Place(bucket))?);
            change.store(Place(bucket), cells.fold(tags, Tags::without).0)
        }
    }
}

/// Where a cell of the form [`Form::Records`] lies.
pub(super) fn cell_at(bucket: u64, cell: usize) -> Place {
    Place(bucket + cell as u64 * 8)
}

/// Where the value word of a cell of the form [`Form::Pairs`] lies, behind the key word.
pub(super) fn value_place(bucket: u64, cell: usize) -> Place {
    Place(bucket + (before_pair(cell) as u64 + 2) * 8)
}

/// The address of a pair, as of a binding: marked, and as if it were a record, whose head is in front of its key.
#[inline]
pub(super) fn pair_at(bucket: u64, cell: usize) -> u64 {
    (bucket + before_pair(cell) as u64 * 8) | PAIR
}

/// A private copy of a bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image {
    form: Form,
    words: [u64; MOST_WORDS],
}

impl Image {
    pub(super) fn empty(form: Form) -> Self {
        Image { form, words: [0; MOST_WORDS] }
    }

    /// A copy of the bucket at an address.
    pub(crate) fn of(region: &Region, bucket: u64) -> Result<Self> {
        let form = region.geometry().form;
        Ok(Self::copied(form, region.words(bucket, form.words() as u64)?))
    }

    fn copied(form: Form, stored: &[AtomicU64]) -> Self {
        let mut image = Image::empty(form);
        image.words.iter_mut().zip(stored).for_each(|(word, stored)| *word = stored.load(Relaxed));
        image
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// All words of the bucket.
    pub(super) fn words(&self) -> &[u64] {
        &self.words[..self.form.words()]
    }

    fn tags(&self) -> Tags {
        Tags(self.words[0])
    }

    /// The used cells.
    #[inline]
    fn used(&self) -> Cells {
        match self.form {
            Form::Records => Cells::of(|cell| !Cell(self.words[cell]).is_empty()),
            Form::Pairs => self.tags().used(),
        }
    }

    /// What a used cell holds.
    #[inline]
    fn content(&self, cell: usize) -> Content {
        match self.form {
            Form::Records => Content::Record(Cell(self.words[cell])),
            Form::Pairs => {
                let (tag, before) = (self.tags().tag(cell), before_pair(cell));
                Content::Pair { tag, key: self.words[before + 1], value: self.words[before + 2] }
            }
        }
    }

    /// The used cells and what they hold.
    #[inline]
    pub(crate) fn contents(&self) -> impl Iterator<Item = (usize, Content)> {
        self.used().map(|cell| (cell, self.content(cell)))
    }

    /// How many cells are used.
    pub(crate) fn count(&self) -> usize {
        self.used().count()
    }

    /// Whether no cell is used, though bits of it may be set.
    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether an unused cell has bits set that should be clear.
    pub(crate) fn has_stray_bits(&self) -> bool {
        match self.form {
            Form::Records => self.words[..CELLS].iter().any(|word| Cell(*word).is_empty() && *word != 0),
            Form::Pairs => self.used().fold(self.tags(), Tags::without).0 != 0,
        }
    }

    pub(super) fn clear(&mut self, cell: usize) {
        match self.form {
            Form::Records => self.words[cell] = 0,
            Form::Pairs => self.words[0] = self.tags().without(cell).0,
        }
    }

    pub(super) fn link(&self) -> u64 {
        self.words[LINK]
    }

    pub(super) fn set_link(&mut self, link: u64) {
        self.words[LINK] = link;
    }

    /// Puts as many as there is room for into unused cells.
    pub(super) fn take_from(&mut self, contents: &mut impl Iterator<Item = Content>) {
        for cell in self.used().others() {
            match contents.next() {
                None => return,
                Some(content) => self.put(cell, content),
            }
        }
    }

    /// Puts something into an unused cell.
    #[inline]
    pub(super) fn put(&mut self, cell: usize, content: Content) {
        match content {
            Content::Record(content) => self.words[cell] = content.0,
            Content::Pair { tag, key, value } => {
                let before = before_pair(cell);
                self.words[0] = self.tags().with(cell, tag).0;
                (self.words[before + 1], self.words[before + 2]) = (key, value);
            }
        }
    }

    /// Makes a bucket what the copy is.
    pub(super) fn store(&self, change: &mut Change<'_>, bucket: u64) -> Result<()> {
        let stored = change.target().region().words(bucket, self.form.words() as u64)?;
        for (i, (word, stored)) in self.words().iter().zip(stored).enumerate() {
            if stored.load(Relaxed) != *word {
                change.store(Place(bucket + i as u64 * 8), *word)?;
            }
        }
        Ok(())
    }
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

    #[test]
    fn an_image_takes_what_fits() {
        for form in [Form::Records, Form::Pairs] {
            let contents = [1u64, 2, 3, 4, 5, 6, 7, 8, 9].map(|i| match form {
                Form::Records => Content::Record(Cell::new(i * 8, i)),
                Form::Pairs => Content::Pair { tag: Tag::new(0, i % 2 == 0), key: i, value: i * 8 },
            });
            let (mut image, mut rest) = (Image::empty(form), contents.into_iter());
            assert!(image.is_empty());
            image.take_from(&mut rest);
            assert_eq!((image.count(), rest.len()), (CELLS, 2));
            image.clear(3);
            assert_eq!(image.contents().map(|(cell, _)| cell).collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6]);
            image.take_from(&mut rest);
            assert!(image.count() == CELLS && image.link() == 0 && !image.has_stray_bits());
        }
    }
}

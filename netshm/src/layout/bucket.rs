//! Buckets of the index: cells, and a link to an overflow bucket, in one of two forms.
//!
//! ```text
//! records    cell 0 .. cell 6 | link                                         one cache line
//!     cell   pointer to the newest binding 41 | low bits of the hash 23
//! pairs      key, value of cell 0 .. key, value of cell 7                    two cache lines
//!     tags   elsewhere, a byte for each cell: used 1 | stack 1 | bits of the hash 6
//! ```
//! Tables whose keys and values take one word each keep them in their buckets. Where a key has several bindings, or a
//! value of another length, its cell is a stack: the value word is a pointer to the newest binding. The tags of many
//! buckets lie together, so that the caches hold them: a lookup of a key that is not there seldom needs more. If there is
//! an overflow bucket, the value word of the last cell leads to it, and the tag of that cell says so.

use super::record::{LOW, LOW_BITS, Lengths, pack, unpack};
use super::{Offset, WORD};

/// Cells in a bucket of the form [`Form::Records`].
const RECORD_CELLS: usize = 7;
/// Cells in a bucket of the form [`Form::Pairs`]. Where there is an overflow bucket, the last one leads to it.
const PAIR_CELLS: usize = 8;
/// Words of a pair.
pub(crate) const PAIR_WORDS: usize = 2;
/// Words of a cache line.
const LINE_WORDS: usize = 8;
/// Words of the largest bucket, tags included.
pub(crate) const MOST_WORDS: usize = 1 + PAIR_CELLS * PAIR_WORDS;

/// Form of an object's buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Cells lead to records.
    Records,
    /// Cells hold a key and a value of one word each.
    Pairs,
}

impl Form {
    /// Returns the form for keys and values of these numbers of words; `None` where they vary.
    pub(crate) const fn of(key: Option<usize>, value: Option<usize>) -> Form {
        match (key, value) {
            (Some(1), Some(1)) => Form::Pairs,
            _ => Form::Records,
        }
    }
    /// Returns the number stored in the header.
    pub(crate) const fn number(self) -> u64 {
        self as u64
    }
    /// Returns the form with that number.
    pub(crate) fn from_number(number: u64) -> Option<Form> {
        [Form::Records, Form::Pairs].into_iter().find(|form| form.number() == number)
    }
    /// Returns the number of cells of a bucket.
    #[inline]
    pub(crate) const fn cells(self) -> usize {
        match self {
            Form::Records => RECORD_CELLS,
            Form::Pairs => PAIR_CELLS,
        }
    }
    /// Returns the number of words of tags of a bucket.
    #[inline]
    pub(crate) const fn tag_words(self) -> usize {
        match self {
            Form::Records => 0,
            Form::Pairs => 1,
        }
    }
    /// Returns the number of words of a bucket, without its tags.
    #[inline]
    pub(crate) const fn cell_words(self) -> usize {
        match self {
            Form::Records => RECORD_CELLS + 1,
            Form::Pairs => PAIR_CELLS * PAIR_WORDS,
        }
    }
    /// Returns the number of words of a bucket, tags included.
    #[inline]
    pub(crate) const fn words(self) -> usize {
        self.tag_words() + self.cell_words()
    }
    /// Returns the index of the word that leads to an overflow bucket, among those of the cells.
    #[inline]
    pub(crate) const fn link(self) -> usize {
        self.cell_words() - 1
    }
    /// Returns the lengths of the record that holds an overflow bucket.
    pub(crate) const fn overflow(self) -> Lengths {
        Lengths { key: 0, value: self.words() as u64 }
    }
    /// Returns the bytes of the cells of `buckets` buckets: whole cache lines.
    #[inline(always)]
    const fn cell_bytes(self, buckets: u64) -> u64 {
        buckets * (self.cell_words() as u64 * WORD)
    }
    /// Returns the bytes of the tags of `buckets` buckets.
    #[inline(always)]
    const fn tag_bytes(self, buckets: u64) -> u64 {
        buckets * (self.tag_words() as u64 * WORD)
    }
    /// Returns the bytes of a segment of `buckets` buckets: the cells of all of them, then the tags of all.
    pub(crate) const fn segment_bytes(self, buckets: u64) -> u64 {
        self.cell_bytes(buckets) + self.tag_bytes(buckets)
    }
    /// Returns where the bucket at a place of a segment of `buckets` buckets lies.
    #[inline(always)]
    pub(crate) const fn bucket(self, segment: u64, buckets: u64, place: u64) -> BucketAt {
        BucketAt {
            tags: segment.wrapping_add(self.cell_bytes(buckets) + self.tag_bytes(place)),
            cells: segment.wrapping_add(self.cell_bytes(place)),
        }
    }
    /// Returns the place of the bucket that follows another one in its segment.
    #[inline(always)]
    pub(crate) const fn following(self, bucket: BucketAt) -> BucketAt {
        BucketAt {
            tags: bucket.tags.wrapping_add(self.tag_bytes(1)),
            cells: bucket.cells.wrapping_add(self.cell_bytes(1)),
        }
    }
    /// Returns the bucket in the value of a record.
    #[inline]
    pub(crate) const fn bucket_in(self, record: u64) -> BucketAt {
        let tags = record.wrapping_add(WORD);
        BucketAt { tags, cells: tags.wrapping_add(self.tag_words() as u64 * WORD) }
    }
}

/// Place of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct BucketAt {
    /// Its tags, if it is one of pairs.
    pub(crate) tags: u64,
    /// Its cells.
    pub(crate) cells: u64,
}

impl BucketAt {
    /// Returns the record that it is the value of, if it is an overflow bucket.
    #[inline]
    pub(crate) const fn record(self, form: Form) -> u64 {
        self.cells.wrapping_sub((form.tag_words() as u64 + 1) * WORD)
    }
    /// Returns a place in each of the cache lines that it lies in.
    pub(crate) fn lines(self, form: Form) -> impl Iterator<Item = u64> {
        let tags = if form.tag_words() > 0 { Some(self.tags) } else { None };
        tags.into_iter().chain((0..form.cell_words()).step_by(LINE_WORDS).map(move |word| self.cell(word).0))
    }
    /// Returns the place of a cell of the form [`Form::Records`].
    #[inline]
    pub(crate) const fn cell(self, cell: usize) -> Offset {
        Offset(self.cells.wrapping_add(cell as u64 * WORD))
    }
    /// Returns the place of the key word of a cell of the form [`Form::Pairs`].
    #[inline]
    pub(crate) const fn pair(self, cell: usize) -> Offset {
        Offset(self.cells.wrapping_add((cell * PAIR_WORDS) as u64 * WORD))
    }
    /// Returns the place of the value word of a cell of the form [`Form::Pairs`].
    #[inline]
    pub(crate) const fn value(self, cell: usize) -> Offset {
        Offset(self.pair(cell).0.wrapping_add(WORD))
    }
}

/// A cell of the form [`Form::Records`]: where the newest binding of a key lies, and some bits of the key's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell(pub(crate) u64);

impl Cell {
    /// Bits of the hash that a cell keeps.
    pub(crate) const HASH_BITS: u32 = LOW_BITS;

    pub(crate) const fn new(record: u64, hash: u64) -> Self {
        Cell(pack(record) | hash & LOW)
    }
    #[inline]
    pub(crate) const fn record(self) -> u64 {
        unpack(self.0)
    }
    #[inline]
    pub(crate) const fn is_empty(self) -> bool {
        self.0 >> LOW_BITS == 0
    }
    /// Returns whether the kept bits agree with `hash`; an empty cell may agree with anything.
    #[inline]
    pub(crate) const fn agrees(self, hash: u64) -> bool {
        (self.0 ^ hash) & LOW == 0
    }
    pub(crate) const fn hash_bits(self) -> u64 {
        self.0 & LOW
    }
}

/// Tag of a cell of the form [`Form::Pairs`], which lies apart from key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u8);

impl Tag {
    const USED: u8 = 0x80;
    const STACK: u8 = 0x40;
    /// The tag of a last cell that leads to an overflow bucket.
    pub(crate) const LINK: Tag = Tag(Self::STACK);
    /// First of the kept bits of a hash: neither those that choose the bucket nor those that choose the stripe.
    const HASH_SHIFT: u32 = 36;
    const HASH: u8 = Self::STACK - 1;
    /// The bit of the hash that chooses half a bucket.
    const SECOND_HALF: u8 = 0x20;

    #[inline]
    pub(crate) const fn new(hash: u64, stack: bool) -> Self {
        Tag(Self::USED | if stack { Self::STACK } else { 0 } | (hash >> Self::HASH_SHIFT) as u8 & Self::HASH)
    }
    #[cfg(test)]
    const fn is_used(self) -> bool {
        self.0 & Self::USED != 0
    }
    /// Returns whether the value word is a pointer to the newest of several bindings, or of one whose value is not one word.
    #[inline]
    pub(crate) const fn is_stack(self) -> bool {
        self.0 & Self::STACK != 0
    }
    /// Returns the first cell of the key's preferred half of the bucket (one cache line).
    #[inline]
    pub(crate) const fn nearest(self) -> usize {
        if self.0 & Self::SECOND_HALF == 0 { 0 } else { PAIR_CELLS / 2 }
    }
    /// Returns whether the kept bits of the hash agree with `hash`.
    pub(crate) const fn agrees(self, hash: u64) -> bool {
        self.0 & !Self::STACK == Tag::new(hash, false).0
    }
}

/// The tags of a bucket of the form [`Form::Pairs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tags(pub(crate) u64);

impl Tags {
    /// A byte for each cell.
    const EACH: u64 = 0x01_01_01_01_01_01_01_01;

    #[inline]
    pub(crate) const fn tag(self, cell: usize) -> Tag {
        Tag((self.0 >> (cell * 8)) as u8)
    }
    #[inline]
    pub(crate) const fn with(self, cell: usize, tag: Tag) -> Self {
        Tags(self.without(cell).0 | (tag.0 as u64) << (cell * 8))
    }
    #[inline]
    pub(crate) const fn without(self, cell: usize) -> Self {
        Tags(self.0 & !(0xff << (cell * 8)))
    }
    /// Returns an unused cell for a key with that tag: one of the nearest, if there is one, and the last one of the bucket only if
    /// there is no other.
    #[inline]
    pub(crate) const fn free_for(self, tag: Tag) -> Option<usize> {
        const FIRST_HALF: u64 = u32::MAX as u64;
        let free = !(self.0 | self.0 << 1) & Cells::ALL;
        let near = free & if tag.nearest() == 0 { FIRST_HALF } else { !FIRST_HALF & Cells::ALL >> 8 };
        match if near == 0 { free } else { near } {
            0 => None,
            free => Some(free.trailing_zeros() as usize / 8),
        }
    }
    /// Returns whether the last cell links to an overflow bucket.
    #[inline]
    pub(crate) const fn has_link(self) -> bool {
        self.0 >> (8 * (PAIR_CELLS - 1)) == Tag::LINK.0 as u64
    }
    /// Returns the bucket with its last cell, which must be unused, leading there.
    pub(crate) const fn with_link(self) -> Self {
        self.with(PAIR_CELLS - 1, Tag::LINK)
    }
    /// Returns the bucket with its last cell unused if it led there.
    pub(crate) const fn without_link(self) -> Self {
        if self.has_link() { self.without(PAIR_CELLS - 1) } else { self }
    }
    /// Returns whether the bucket holds nothing but pairs: no pointers to bindings, and none to an overflow bucket.
    #[inline]
    pub(crate) const fn are_pairs(self) -> bool {
        self.0 & (Self::EACH * Tag::STACK as u64) == 0
    }
    /// Returns the cells that are used.
    #[inline]
    pub(crate) const fn used(self) -> Cells {
        Cells(self.0 & Cells::ALL)
    }
    /// Returns the cells whose bits of the hash agree with `hash`, and seldom some others: all bytes are compared at once, with the
    /// test for zero bytes of A. Mycroft (1987), in which a borrow may reach the byte above one that is zero.
    #[inline]
    pub(crate) const fn candidates(self, hash: u64) -> Cells {
        let wanted = Self::EACH * Tag::new(hash, false).0 as u64;
        let different = (self.0 & !(Self::EACH * Tag::STACK as u64)) ^ wanted;
        Cells(different.wrapping_sub(Self::EACH) & !different & Cells::ALL)
    }
}

/// Cells of a bucket, by the highest bits of their bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells(u64);

impl Cells {
    pub(crate) const NONE: Cells = Cells(0);
    const ALL: u64 = Tags::EACH * 0x80;

    /// Returns the cells for which `is` is true.
    #[inline]
    pub(crate) fn of(cells: usize, is: impl Fn(usize) -> bool) -> Self {
        Cells((0..cells).fold(0, |bits, cell| bits | u64::from(is(cell)) << (cell * 8 + 7)))
    }
    /// Returns these cells and another one.
    #[inline]
    pub(crate) const fn with(self, cell: usize) -> Self {
        Cells(self.0 | 0x80 << (cell * 8))
    }
}

impl Iterator for Cells {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let cell = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0.wrapping_sub(1);
        (cell < PAIR_CELLS).then_some(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_pointer_and_hash() {
        let cell = Cell::new(0xfff_ffff_fff8, u64::MAX);
        assert_eq!(cell.record(), 0xfff_ffff_fff8);
        assert!(cell.agrees(u64::MAX) && !cell.agrees(0) && !cell.is_empty());
    }

    #[test]
    fn tags_are_found_by_their_hash_bits() {
        let hash = |bits: u64| bits << Tag::HASH_SHIFT;
        let mut tags = Tags(0);
        for cell in 0..PAIR_CELLS {
            assert_eq!(tags.candidates(hash(0)).next(), None);
            tags = tags.with(cell, Tag::new(hash(7 * cell as u64 + 1), cell % 2 == 1));
        }
        assert_eq!(tags.free_for(Tag::new(0, false)), None);
        for cell in 0..PAIR_CELLS {
            let hash = hash(7 * cell as u64 + 1);
            assert!(tags.candidates(hash).any(|found| found == cell));
            assert!(tags.tag(cell).agrees(hash) && tags.tag(cell).is_used());
            assert_eq!(tags.tag(cell).is_stack(), cell % 2 == 1);
            assert_eq!(tags.without(cell).free_for(Tag::new(0, false)), Some(cell));
        }
        assert_eq!(tags.candidates(hash(2)).next(), None);
        assert!(!tags.are_pairs() && tags.without(1).without(3).without(5).without(7).are_pairs());
    }

    #[test]
    fn buckets_of_a_segment_share_no_line_of_cells() {
        for form in [Form::Records, Form::Pairs] {
            let mut tags = std::collections::HashSet::new();
            let mut cells = std::collections::HashSet::new();
            for place in 0..16 {
                let bucket = form.bucket(1 << 20, 16, place);
                let lines: Vec<u64> = bucket.lines(form).collect();
                assert_eq!(lines.len(), form.tag_words() + form.cell_words() / LINE_WORDS);
                assert!(lines[form.tag_words()..].iter().all(|line| line % 64 == 0 && cells.insert(*line)));
                assert!(lines[..form.tag_words()].iter().all(|line| tags.insert(*line)));
            }
            assert!(tags.iter().all(|tags| !cells.contains(&(tags & !63))));
        }
    }

    #[test]
    fn cells_are_taken_in_the_half_of_the_key_first() {
        let [first, second] = [0, 0x20].map(|bits| Tag::new(bits << Tag::HASH_SHIFT, false));
        let filled = |tag: Tag, other: Tag| {
            let mut tags = Tags(0);
            let order = [tag, tag, tag, tag, other, other, other, other, tag];
            order.map(|tag| {
                let cell = tags.free_for(tag);
                tags = cell.map_or(tags, |cell| tags.with(cell, tag));
                cell
            })
        };
        assert_eq!(
            filled(first, second),
            [0, 1, 2, 3, 4, 5, 6, 7].map(Some).into_iter().chain([None]).collect::<Vec<_>>()[..]
        );
        assert_eq!(filled(second, first)[..5], [4, 5, 6, 0, 1].map(Some));
        let linked = Tags(0).with_link();
        assert!(linked.has_link() && !linked.without_link().has_link());
        assert_eq!(linked.used().count(), 0);
        assert!(!linked.are_pairs() && linked.without_link().are_pairs());
        let full = (0..PAIR_CELLS - 1).fold(linked, |tags, cell| tags.with(cell, second));
        assert_eq!((full.free_for(first), full.without_link().free_for(first)), (None, Some(7)));
        assert_eq!(full.without_link().with(7, second).without_link().used().count(), PAIR_CELLS);
    }
}

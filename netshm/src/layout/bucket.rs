//! Buckets of the index: seven cells and a link to an overflow bucket, in one of two forms.
//!
//! ```text
//! records    cell 0 .. cell 6 | link                                              one cache line
//!     cell   pointer to the newest binding 41 | low bits of the hash 23
//! pairs      tags | key, value of cells 0 .. 2 | link | those of cells 3 .. 6     two cache lines
//!     tags   a byte for each cell: used 1 | stack 1 | bits of the hash 6
//! ```
//! Tables whose keys and values take one word each keep them in their buckets. Where a key has several bindings, or a
//! value of another length, its cell is a stack: the value word is a pointer to the newest binding.

use super::WORD;
use super::record::{LOW, LOW_BITS, Lengths, pack, unpack};

/// Cells in a bucket.
pub(crate) const CELLS: usize = 7;
/// Index of the word that leads to an overflow bucket.
pub(crate) const LINK: usize = 7;
/// Words of the largest bucket.
pub(crate) const MOST_WORDS: usize = 16;

/// What the buckets of an object look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Cells lead to records.
    Records,
    /// Cells hold a key and a value of one word each.
    Pairs,
}

impl Form {
    /// The form for keys and values of so many words; `None` where they vary.
    pub(crate) const fn of(key: Option<u64>, value: Option<u64>) -> Form {
        match (key, value) {
            (Some(1), Some(1)) => Form::Pairs,
            _ => Form::Records,
        }
    }
    /// The number stored in the header.
    pub(crate) const fn number(self) -> u64 {
        self as u64
    }
    /// The form with that number.
    pub(crate) fn from_number(number: u64) -> Option<Form> {
        [Form::Records, Form::Pairs].into_iter().find(|form| form.number() == number)
    }
    /// Words of a bucket.
    #[inline]
    pub(crate) const fn words(self) -> usize {
        match self {
            Form::Records => 8,
            Form::Pairs => MOST_WORDS,
        }
    }
    /// Bytes of a bucket.
    #[inline]
    pub(crate) const fn bytes(self) -> u64 {
        self.words() as u64 * WORD
    }
    /// Lengths of the record that holds an overflow bucket.
    pub(crate) const fn overflow(self) -> Lengths {
        Lengths { key: 0, value: self.words() as u64 }
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
    /// Whether the kept bits agree with `hash`; an empty cell may agree with anything.
    #[inline]
    pub(crate) const fn agrees(self, hash: u64) -> bool {
        (self.0 ^ hash) & LOW == 0
    }
    pub(crate) const fn hash_bits(self) -> u64 {
        self.0 & LOW
    }
}

/// What a cell of the form [`Form::Pairs`] is, beside its key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u8);

impl Tag {
    const USED: u8 = 0x80;
    const STACK: u8 = 0x40;
    /// Where the kept bits of a hash begin: neither those that choose the bucket nor those that choose the stripe.
    const HASH_SHIFT: u32 = 36;
    const HASH: u8 = Self::STACK - 1;

    #[inline]
    pub(crate) const fn new(hash: u64, stack: bool) -> Self {
        Tag(Self::USED | if stack { Self::STACK } else { 0 } | (hash >> Self::HASH_SHIFT) as u8 & Self::HASH)
    }
    #[cfg(test)]
    const fn is_used(self) -> bool {
        self.0 & Self::USED != 0
    }
    /// Whether the value word is a pointer to the newest of several bindings, or of one whose value is not one word.
    #[inline]
    pub(crate) const fn is_stack(self) -> bool {
        self.0 & Self::STACK != 0
    }
    /// Whether the kept bits of the hash agree with `hash`.
    pub(crate) const fn agrees(self, hash: u64) -> bool {
        self.0 & !Self::STACK == Tag::new(hash, false).0
    }
}

/// The first word of a bucket of the form [`Form::Pairs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tags(pub(crate) u64);

impl Tags {
    /// A byte for each cell.
    const EACH: u64 = 0x00_01_01_01_01_01_01_01;

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
    /// A cell that is not used.
    #[inline]
    pub(crate) const fn first_free(self) -> Option<usize> {
        match !self.0 & (Self::EACH * Tag::USED as u64) {
            0 => None,
            free => Some(free.trailing_zeros() as usize / 8),
        }
    }
    /// The cells that are used.
    #[inline]
    pub(crate) const fn used(self) -> Cells {
        Cells(self.0 & (Self::EACH * Tag::USED as u64))
    }
    /// The cells whose bits of the hash agree with `hash`, and seldom some others: all bytes are compared at once, with
    /// the test for zero bytes of A. Mycroft (1987), in which a borrow may reach the byte above one that is zero.
    #[inline]
    pub(crate) const fn candidates(self, hash: u64) -> Cells {
        let wanted = Self::EACH * Tag::new(hash, false).0 as u64;
        let different = (self.0 & !(Self::EACH * Tag::STACK as u64)) ^ wanted;
        Cells(different.wrapping_sub(Self::EACH) & !different & (Self::EACH * 0x80))
    }
}

/// Cells of a bucket, by the highest bits of their bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells(u64);

impl Cells {
    pub(crate) const NONE: Cells = Cells(0);
    const ALL: u64 = Tags::EACH * 0x80;

    /// The cells for which that is true.
    #[inline]
    pub(crate) fn of(is: impl Fn(usize) -> bool) -> Self {
        Cells((0..CELLS).fold(0, |bits, cell| bits | u64::from(is(cell)) << (cell * 8 + 7)))
    }
    /// These cells and another one.
    #[inline]
    pub(crate) const fn with(self, cell: usize) -> Self {
        Cells(self.0 | 0x80 << (cell * 8))
    }
    /// All cells but these.
    #[inline]
    pub(crate) const fn others(self) -> Self {
        Cells(!self.0 & Self::ALL)
    }
}

impl Iterator for Cells {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let cell = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0.wrapping_sub(1);
        (cell < CELLS).then_some(cell)
    }
}

/// Index of the word in front of the key word of a cell, whose value follows it, in the form [`Form::Pairs`].
#[inline]
pub(crate) const fn before_pair(cell: usize) -> usize {
    2 * cell + if cell < 3 { 0 } else { 1 }
}

const _: () = assert!(before_pair(2) + 2 < LINK && before_pair(3) == LINK && before_pair(CELLS - 1) + 3 == MOST_WORDS);

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
        for cell in 0..CELLS {
            assert_eq!(tags.first_free(), Some(cell));
            assert_eq!(tags.candidates(hash(0)).next(), None);
            tags = tags.with(cell, Tag::new(hash(9 * cell as u64 + 1), cell % 2 == 1));
        }
        assert_eq!(tags.first_free(), None);
        for cell in 0..CELLS {
            let hash = hash(9 * cell as u64 + 1);
            assert!(tags.candidates(hash).any(|found| found == cell));
            assert!(tags.tag(cell).agrees(hash) && tags.tag(cell).is_used());
            assert_eq!(tags.tag(cell).is_stack(), cell % 2 == 1);
            assert_eq!(tags.without(cell).first_free(), Some(cell));
        }
        assert_eq!(tags.candidates(hash(2)).next(), None);
    }
}

//! The hash index of a stripe, and the stacks of bindings behind it.
//!
//! A bucket has seven cells and a link to an overflow bucket. A cell holds some bits of a key's hash and leads to the
//! newest binding of the key, which leads to the older ones; where key and value take one word each, it holds them
//! itself, as long as there is one binding ([`Form`](crate::layout::bucket::Form)). The index grows by one bucket at a
//! time (linear hashing: W. Litwin, "Linear hashing: a new tool for file and table addressing", 1980), so no operation
//! ever waits for a table to be copied; the hash bits in the cells suffice for that, no record is touched.

pub(crate) mod bindings;
mod buckets;
mod resize;
pub(crate) mod walk;

pub(crate) use buckets::{Chain, Content, Image, MOST_BUCKETS, bucket_of, segment_of};

use buckets::pair_at;

use crate::Result;
use crate::layout::StripeAt;
use crate::layout::bucket::{CELLS, Cell, Form, Tag, Tags, before_pair};
use crate::layout::record::{Head, Lengths};
use crate::region::{Fault, Region};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Marks the address of a binding that is no record but a pair in its bucket.
const PAIR: u64 = 1;

/// A binding as it lies in shared memory: a record, or a pair in its bucket. Arrays use records too.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// Its address; marked if it is a pair.
    pub(crate) at: u64,
    pub(crate) head: Head,
    pub(crate) lengths: Lengths,
    words: &'a [AtomicU64],
    /// Where the value starts among them.
    value: usize,
}

impl<'a> Record<'a> {
    /// The record at an address.
    #[inline(always)]
    pub(crate) fn at(region: &'a Region, at: u64) -> Result<Record<'a>> {
        Self::at_or(region, at)
    }

    #[inline(always)]
    pub(crate) fn at_or<E: Fault>(region: &'a Region, at: u64) -> Result<Record<'a>, E> {
        let (first, known) = region.words_from(at)?;
        let head = Head(first.load(Relaxed));
        if head.is_free() || head.is_end() {
            return Err(E::corrupt(region, at, "a pointer leads to a block that is no record"));
        }
        let lengths = if head.is_long() { Self::long_lengths(region, at)? } else { head.lengths() };
        let words = match known.get(..lengths.words() as usize) {
            Some(words) => words,
            None => region.words_or(at, lengths.words())?,
        };
        Ok(Record { at, head, lengths, words, value: (lengths.head_words() + lengths.key) as usize })
    }

    #[cold]
    fn long_lengths<E: Fault>(region: &Region, at: u64) -> Result<Lengths, E> {
        let lengths = Lengths::from_long_word(region.word_or(at + 8)?.load(Relaxed));
        // A long head with short lengths would make the parts disagree.
        if lengths.is_long() {
            Ok(lengths)
        } else {
            Err(E::corrupt(region, at, "a record's head and lengths disagree"))
        }
    }

    /// A pair: its key, its value, and the word before them, which stands for the head that it does not need.
    #[inline(always)]
    fn pair(at: u64, words: &'a [AtomicU64]) -> Record<'a> {
        const LENGTHS: Lengths = Lengths { key: 1, value: 1 };
        Record { at, head: Head::record(LENGTHS, 0, 0), lengths: LENGTHS, words, value: 2 }
    }

    /// The binding at an address, which may be marked as that of a pair.
    #[inline]
    pub(crate) fn binding(region: &'a Region, at: u64) -> Result<Record<'a>> {
        if at & PAIR == 0 { Self::at(region, at) } else { Ok(Self::pair(at, region.words(at & !PAIR, 3)?)) }
    }

    /// Whether it is a pair in its bucket.
    #[inline]
    pub(crate) fn is_pair(&self) -> bool {
        self.at & PAIR != 0
    }

    /// Words of the key.
    #[inline]
    pub(crate) fn key(&self) -> &'a [AtomicU64] {
        &self.words[self.value - self.lengths.key as usize..self.value]
    }

    /// Words of the value.
    #[inline]
    pub(crate) fn value(&self) -> &'a [AtomicU64] {
        &self.words[self.value..]
    }

    /// Address of the first word of the value.
    #[inline]
    pub(crate) fn value_at(&self) -> u64 {
        (self.at & !PAIR) + self.value as u64 * 8
    }

    /// Address of the next older binding, or 0.
    #[inline]
    pub(crate) fn older(&self) -> u64 {
        self.head.pointer()
    }

    /// Whether it is a binding of the key.
    #[inline(always)]
    pub(crate) fn has_key(&self, key: &[u64]) -> bool {
        self.lengths.key == key.len() as u64
            && self.key().iter().zip(key).all(|(stored, word)| stored.load(Relaxed) == *word)
    }
}

/// Where a key was found.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    /// Address of the bucket, and of the one that leads there, if it is an overflow bucket.
    pub(crate) bucket: u64,
    pub(crate) before: Option<u64>,
    /// Number of the cell in it.
    pub(crate) cell: usize,
    /// The newest binding.
    pub(crate) record: Record<'a>,
}

/// Looks a key up.
#[inline(always)]
pub(crate) fn find<'a, E: Fault>(
    region: &'a Region,
    stripe: StripeAt,
    hash: u64,
    key: &[u64],
) -> Result<Option<Found<'a>>, E> {
    let buckets = region.field(stripe.buckets()).load(Relaxed);
    if buckets == 0 {
        return Ok(None);
    }
    let chain = Chain::of_or(region, stripe, buckets, bucket_of(hash, buckets))?;
    let found = find_here(region, &chain, hash, key)?;
    if found.is_some() || chain.link() == 0 {
        return Ok(found);
    }
    find_behind(region, stripe, buckets, hash, key)
}

/// Looks a key up in the overflow buckets of its chain. Apart, since few lookups come here.
#[inline(never)]
fn find_behind<'a, E: Fault>(
    region: &'a Region,
    stripe: StripeAt,
    buckets: u64,
    hash: u64,
    key: &[u64],
) -> Result<Option<Found<'a>>, E> {
    let mut chain = Chain::of_or(region, stripe, buckets, bucket_of(hash, buckets))?;
    while chain.advance_or()? {
        if let Some(found) = find_here(region, &chain, hash, key)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Looks a key up in one bucket.
#[inline(always)]
fn find_here<'a, E: Fault>(
    region: &'a Region,
    chain: &Chain<'a>,
    hash: u64,
    key: &[u64],
) -> Result<Option<Found<'a>>, E> {
    let found = match (chain.form(), key) {
        (Form::Pairs, [key]) => find_pair(region, chain, hash, *key)?,
        _ => find_record(region, chain, hash, key)?,
    };
    Ok(found.map(|(cell, record)| Found { bucket: chain.at(), before: chain.before(), cell, record }))
}

/// Looks a key up in one bucket of the form [`Form::Records`].
#[inline(always)]
fn find_record<'a, E: Fault>(
    region: &'a Region,
    chain: &Chain<'a>,
    hash: u64,
    key: &[u64],
) -> Result<Option<(usize, Record<'a>)>, E> {
    for (i, word) in chain.words()[..CELLS].iter().enumerate() {
        let cell = Cell(word.load(Relaxed));
        if cell.agrees(hash) && !cell.is_empty() {
            let record = Record::at_or(region, cell.record())?;
            if record.has_key(key) {
                return Ok(Some((i, record)));
            }
        }
    }
    Ok(None)
}

/// Looks a key up in one bucket of the form [`Form::Pairs`].
#[inline(always)]
fn find_pair<'a, E: Fault>(
    region: &'a Region,
    chain: &Chain<'a>,
    hash: u64,
    key: u64,
) -> Result<Option<(usize, Record<'a>)>, E> {
    let words = chain.pairs();
    let tags = Tags(words[0].load(Relaxed));
    for cell in tags.candidates(hash) {
        if words[before_pair(cell) + 1].load(Relaxed) == key {
            let record = stored_pair(region, chain, tags.tag(cell), cell)?;
            if record.is_pair() || record.has_key(&[key]) {
                return Ok(Some((cell, record)));
            }
            return Err(E::corrupt(region, chain.at(), "a binding has another key than its cell"));
        }
    }
    Ok(None)
}

/// The newest binding of the key in a cell of the form [`Form::Pairs`].
#[inline(always)]
fn stored_pair<'a, E: Fault>(region: &'a Region, chain: &Chain<'a>, tag: Tag, cell: usize) -> Result<Record<'a>, E> {
    let before = before_pair(cell);
    let words = &chain.pairs()[before..before + 3];
    if tag.is_stack() {
        if E::HASTY {
            return Err(E::corrupt(region, chain.at(), "no damage, but no pair either"));
        }
        return Record::at_or(region, words[2].load(Relaxed));
    }
    Ok(Record::pair(pair_at(chain.at(), cell), words))
}

/// Asks for the memory of the bucket that a key belongs to.
pub(crate) fn prefetch_bucket(region: &Region, stripe: StripeAt, hash: u64) {
    let buckets = region.field(stripe.buckets()).load(Relaxed);
    if (1..=MOST_BUCKETS).contains(&buckets) {
        let at = buckets::address_of(region, stripe, bucket_of(hash, buckets));
        region.prefetch(at);
        if region.geometry().form == Form::Pairs {
            region.prefetch(at.wrapping_add(64));
        }
    }
}

/// Asks for the memory of the newest binding of a key, as its bucket tells; pairs are in the bucket.
pub(crate) fn prefetch_record(region: &Region, stripe: StripeAt, hash: u64) {
    let buckets = region.field(stripe.buckets()).load(Relaxed);
    if buckets == 0 || region.geometry().form == Form::Pairs {
        return;
    }
    let Ok(chain) = Chain::of(region, stripe, buckets, bucket_of(hash, buckets)) else { return };
    let cells = chain.words()[..CELLS].iter().map(|word| Cell(word.load(Relaxed)));
    for cell in cells.filter(|cell| cell.agrees(hash) && !cell.is_empty()) {
        region.prefetch(cell.record());
    }
}

/// Bindings in a stripe.
pub(crate) fn bindings_in(region: &Region, stripe: StripeAt) -> u64 {
    let [keys, hidden] = [stripe.keys(), stripe.hidden()].map(|place| region.field(place).load(Relaxed));
    keys.saturating_add(hidden)
}

/// The bindings of a key, from one of them to the oldest.
pub(crate) struct Bindings<'a> {
    region: &'a Region,
    next: u64,
    /// Bindings that may still come; a longer chain leads in a circle.
    left: u64,
}

impl<'a> Bindings<'a> {
    pub(crate) fn from(region: &'a Region, stripe: StripeAt, newest: u64) -> Self {
        Bindings { region, next: newest, left: region.field(stripe.hidden()).load(Relaxed).saturating_add(1) }
    }
}

impl<'a> Iterator for Bindings<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == 0 {
            return None;
        }
        if self.left == 0 {
            let at = std::mem::take(&mut self.next);
            return Some(Err(self.region.corrupt(at, "a stack of bindings is longer than the stripe has")));
        }
        self.left -= 1;
        let record = Record::binding(self.region, self.next);
        self.next = record.as_ref().map_or(0, Record::older);
        Some(record)
    }
}

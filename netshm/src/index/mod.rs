//! The hash index of a stripe, and the stacks of bindings that it leads to.
//!
//! A bucket has a few cells and may have a link to an overflow bucket. A cell holds some bits of a key's hash and leads to
//! the newest binding of the key, which leads to the older ones; where key and value take one word each, it holds them
//! itself, as long as there is one binding ([`Form`](crate::layout::bucket::Form)). The index grows by one bucket at a
//! time (linear hashing: W. Litwin, "Linear hashing: a new tool for file and table addressing", 1980), so no operation
//! ever waits for a table to be copied; the hash bits in the cells suffice for that, no record is touched.

pub(crate) mod bindings;
mod buckets;
mod image;
pub(crate) mod record;
pub(crate) mod resize;
pub(crate) mod ring;
pub(crate) mod walk;

pub(crate) use buckets::{Chain, Content, MOST_BUCKETS, bucket_of, segment_of};
pub(crate) use image::Image;

use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use buckets::pair_at;
use record::{IN_PLACE, Record};
use ring::Ring;

use crate::error::Result;
use crate::layout::bucket::{BucketAt, Cell, Form, PAIR_WORDS, Tag};
use crate::layout::{Offset, StripeAt};
use crate::os::copy;
use crate::region::{Inconclusive, ReadError, Region};
use crate::sequence::Sequence;
use crate::source::{Source, Stripe};
use crate::store::read::{View, with_source};
use crate::store::small::Find;

/// Words that a binding takes at least: a pair takes no more.
const LEAST_BINDING: u64 = 2;

/// A key with its hash and stripe, for one operation.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) words: &'a [u64],
    pub(crate) hash: u64,
    pub(crate) stripe: u32,
    pub(crate) at: StripeAt,
}

/// Place at which a key was found.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    /// Its bucket, and the one that leads there, if it is an overflow bucket.
    pub(crate) bucket: BucketAt,
    pub(crate) before: Option<BucketAt>,
    /// Number of the cell in it.
    pub(crate) cell: usize,
    /// The newest binding.
    pub(crate) record: Record<'a>,
}

/// The outcome of a search for a key.
#[derive(Clone, Copy)]
pub(crate) enum Sought<'a> {
    Found(Found<'a>),
    /// The key is not there; its bucket, if it has no overflow buckets.
    Missing(Option<BucketAt>),
}

/// Looks a key up.
#[inline]
pub(crate) fn find<'a>(source: impl Source<'a>, key: Key<'_>) -> Result<Option<Found<'a>>> {
    match seek(source, key)? {
        Sought::Found(found) => Ok(Some(found)),
        Sought::Missing(_) => Ok(None),
    }
}

/// The value of a key, for a small transaction to find, in an index with buckets of that form.
pub(crate) struct Value<'k> {
    pub(crate) form: Form,
    pub(crate) key: Key<'k>,
}

impl<'a> Find<'a> for Value<'_> {
    #[inline(always)]
    fn find(&self, region: &'a Region) -> Option<(Offset, &'a [AtomicU64])> {
        match (self.form, self.key.words) {
            (Form::Pairs, [word]) => optimistic_pair(region, self.key, *word),
            _ => optimistic_record(region, self.key),
        }
    }
}

/// Returns the value of a key and its place, if it is a pair in the bucket that it belongs to; `None` if the slow path must decide.
#[inline(always)]
pub(crate) fn optimistic_pair<'a>(region: &'a Region, key: Key<'_>, word: u64) -> Option<(Offset, &'a [AtomicU64])> {
    pair_or_miss(region, key, word).ok().flatten()
}

/// Returns the same, or `None` if the key is not there; an error if the slow path must decide.
#[inline(always)]
pub(crate) fn pair_or_miss<'a>(
    region: &'a Region,
    key: Key<'_>,
    word: u64,
) -> Result<Option<(Offset, &'a [AtomicU64])>, Inconclusive> {
    let Some(chain) = home(region, Form::Pairs, region.stripe(key.at), key.hash)? else { return Ok(None) };
    match find_pair(&chain, key.hash, word)? {
        (Some((_, pair)), _) => Ok(Some((Offset::at(pair.value_at()), pair.value()))),
        (None, false) => Ok(None),
        (None, true) => Err(Inconclusive),
    }
}

/// Returns the same for a newest binding that is a record, short enough to be changed in place.
#[inline(always)]
fn optimistic_record<'a>(region: &'a Region, key: Key<'_>) -> Option<(Offset, &'a [AtomicU64])> {
    let chain = home::<_, Inconclusive>(region, Form::Records, region.stripe(key.at), key.hash).ok().flatten()?;
    let (found, _) = find_record::<Inconclusive>(&chain, key).ok()?;
    let (_, record) = found?;
    (record.value().len() <= IN_PLACE).then_some((Offset::at(record.value_at()), record.value()))
}

/// Looks for a key, and for where it belongs.
#[inline(always)]
pub(crate) fn seek<'a>(source: impl Source<'a>, key: Key<'_>) -> Result<Sought<'a>> {
    let form = source.region().geometry().form;
    let Some(chain) = home(source, form, source.stripe(key.at), key.hash)? else { return Ok(Sought::Missing(None)) };
    match find_here(&chain, key)? {
        (Some(found), _) => Ok(Sought::Found(found)),
        (None, false) => Ok(Sought::Missing(Some(chain.at()))),
        (None, true) => {
            let found = find_in_overflow(source, key, |found| Ok(*found))?;
            Ok(found.map_or(Sought::Missing(None), Sought::Found))
        }
    }
}

/// Looks a key up in an index with buckets of form `form`, and returns the result of `then` for what was found.
#[inline(always)]
pub(crate) fn find_and<'a, S: Source<'a>, R, E: ReadError>(
    source: S,
    form: Form,
    stripe: S::Stripe,
    key: Key<'_>,
    then: impl Fn(&Found<'a>) -> Result<R, E> + Copy,
) -> Result<Option<R>, E> {
    let Some(chain) = home(source, form, stripe, key.hash)? else { return Ok(None) };
    let (found, link) = find_here(&chain, key)?;
    match found {
        Some(found) => then(&found).map(Some),
        None if link => find_in_overflow(source, key, then),
        None => Ok(None),
    }
}

/// Looks a key up in the overflow buckets of its chain. Out of line, since few lookups need it.
#[inline(never)]
fn find_in_overflow<'a, R, E: ReadError>(
    source: impl Source<'a>,
    key: Key<'_>,
    then: impl Fn(&Found<'a>) -> Result<R, E>,
) -> Result<Option<R>, E> {
    let form = source.region().geometry().form;
    let Some(mut chain) = home(source, form, source.stripe(key.at), key.hash)? else { return Ok(None) };
    while chain.advance()? {
        if let (Some(found), _) = find_here(&chain, key)? {
            return then(&found).map(Some);
        }
    }
    Ok(None)
}

/// Looks a key up in one bucket. Returns where it is, and otherwise whether it may be in an overflow bucket.
#[inline(always)]
fn find_here<'a, E: ReadError>(
    chain: &Chain<'a, impl Source<'a>>,
    key: Key<'_>,
) -> Result<(Option<Found<'a>>, bool), E> {
    let (found, link) = match (chain.form(), key.words) {
        (Form::Pairs, [word]) => find_pair(chain, key.hash, *word)?,
        _ => find_record(chain, key)?,
    };
    let found = found.map(|(cell, record)| Found { bucket: chain.at(), before: chain.before(), cell, record });
    Ok((found, link))
}

/// The number of a cell and the newest binding of its key; or else a flag for a link to an overflow bucket.
type Look<'a> = (Option<(usize, Record<'a>)>, bool);

/// Looks a key up in one bucket of the form [`Form::Records`].
#[inline(always)]
fn find_record<'a, E: ReadError>(chain: &Chain<'a, impl Source<'a>>, key: Key<'_>) -> Result<Look<'a>, E> {
    let words = chain.records()?;
    for (i, word) in words[..Form::Records.cells()].iter().enumerate() {
        let cell = Cell(word.load(Relaxed));
        if cell.agrees(key.hash) && !cell.is_empty() {
            let record = Record::at_or(chain.source(), cell.record())?;
            if record.has_key(key.words) {
                return Ok((Some((i, record)), false));
            }
        }
    }
    Ok((None, words[Form::Records.link()].load(Relaxed) != 0))
}

/// Looks a key up in one bucket of the form [`Form::Pairs`].
#[inline(always)]
fn find_pair<'a, E: ReadError>(chain: &Chain<'a, impl Source<'a>>, hash: u64, key: u64) -> Result<Look<'a>, E> {
    let pairs = chain.pairs()?;
    // The tags say whether it is needed, but they seldom say no, and that only after a while.
    copy::prefetch(&pairs[Tag::new(hash, false).nearest()][0]);
    let tags = chain.tags()?;
    for cell in tags.candidates(hash) {
        let pair = &pairs[cell];
        if pair[0].load(Relaxed) == key {
            let record = stored_pair(chain, tags.tag(cell), cell, pair)?;
            if record.is_pair() || record.has_key(&[key]) {
                return Ok((Some((cell, record)), false));
            }
            return Err(chain.corrupt("a binding has another key than its cell"));
        }
    }
    Ok((None, tags.has_link()))
}

/// Returns the newest binding of the key in a cell of the form [`Form::Pairs`].
#[inline(always)]
fn stored_pair<'a, E: ReadError>(
    chain: &Chain<'a, impl Source<'a>>,
    tag: Tag,
    cell: usize,
    pair: &'a [AtomicU64; PAIR_WORDS],
) -> Result<Record<'a>, E> {
    if tag.is_stack() {
        if E::OPTIMISTIC {
            return Err(chain.corrupt("no damage, but no pair either"));
        }
        return Record::at_or(chain.source(), pair[1].load(Relaxed));
    }
    Ok(Record::pair(pair_at(chain.at(), cell), pair))
}

/// Returns the bucket that a key belongs to, or `None` if there are no buckets.
#[inline(always)]
fn home<'a, S: Source<'a>, E: ReadError>(
    source: S,
    form: Form,
    stripe: S::Stripe,
    hash: u64,
) -> Result<Option<Chain<'a, S>>, E> {
    let buckets = stripe.get(stripe.at().buckets());
    if buckets == 0 {
        return Ok(None);
    }
    Chain::of_or(source, form, stripe, buckets, bucket_of(hash, buckets)).map(Some)
}

/// Returns [`home`], or `None` on any error: for prefetching only.
#[inline(always)]
fn probable_home(region: &Region, stripe: StripeAt, hash: u64) -> Option<Chain<'_>> {
    home::<_, Inconclusive>(region, region.geometry().form, region.stripe(stripe), hash).ok().flatten()
}

/// Prefetches the bucket of a key.
#[inline]
pub(crate) fn prefetch_bucket(region: &Region, stripe: StripeAt, hash: u64) {
    let Some(chain) = probable_home(region, stripe, hash) else { return };
    let bucket = chain.at();
    match chain.form() {
        Form::Records => region.prefetch(bucket.cells),
        Form::Pairs => {
            region.prefetch(bucket.tags);
            region.prefetch(bucket.pair(Tag::new(hash, false).nearest()).bytes());
        }
    }
}

/// Prefetches the newest binding of a key, as its bucket points to it; pairs are in the bucket.
#[inline]
pub(crate) fn prefetch_record(region: &Region, stripe: StripeAt, hash: u64) {
    let Some(chain) = probable_home(region, stripe, hash) else { return };
    if chain.form() == Form::Records
        && !Sequence(region.field(stripe.sequence())).needs_care()
        && let Ok::<_, Inconclusive>(words) = chain.records()
    {
        let cells = words[..Form::Records.cells()].iter().map(|word| Cell(word.load(Relaxed)));
        for cell in cells.filter(|cell| cell.agrees(hash) && !cell.is_empty()) {
            region.prefetch(cell.record());
        }
    }
}

/// Returns the number of bindings in a stripe, as counted there.
pub(crate) fn bindings_in<'a>(source: impl Source<'a>, stripe: StripeAt) -> u64 {
    let fields = source.stripe(stripe);
    let [keys, hidden] = [stripe.keys(), stripe.hidden()].map(|place| fields.get(place));
    keys.saturating_add(hidden)
}

/// Returns the number of bindings in a stripe, as a reader finds it.
pub(crate) fn bindings_seen(view: View<'_>, stripe: StripeAt) -> u64 {
    with_source!(view, source => bindings_in(source, stripe))
}

/// Returns the largest number of bindings to visit in a stripe: its count, but no more than the object has room for.
#[inline]
pub(crate) fn most_bindings_in<'a>(source: impl Source<'a>, stripe: StripeAt) -> u64 {
    bindings_in(source, stripe).min(source.region().known_words() / LEAST_BINDING)
}

/// The bindings of a key, from one of them to the oldest.
pub(crate) struct Bindings<'a, S = &'a Region> {
    source: S,
    words: PhantomData<&'a AtomicU64>,
    next: u64,
    /// The number of the stripe's bindings that newer ones hide.
    hidden: u64,
    /// The number of bindings that have come, and the most that the object has room for, as far as it is known; a longer chain is
    /// damaged.
    met: u64,
    most: u64,
    ring: Ring,
}

impl<'a, S: Source<'a>> Bindings<'a, S> {
    pub(crate) fn from(source: S, stripe: StripeAt, newest: u64) -> Self {
        let hidden = source.stripe(stripe).get(stripe.hidden());
        let most = hidden.min(source.region().known_words() / LEAST_BINDING) + 1;
        Bindings { source, words: PhantomData, next: newest, hidden, met: 0, most, ring: Ring::default() }
    }

    /// Looks whether the object has grown, and returns whether it has room for more.
    #[cold]
    fn look_again(&mut self) -> Result<bool> {
        self.source.region().file_size()?;
        self.most = self.hidden.min(self.source.region().known_words() / LEAST_BINDING) + 1;
        Ok(self.met < self.most)
    }
}

impl<'a, S: Source<'a>> Iterator for Bindings<'a, S> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == 0 {
            return None;
        }
        let has_room = match self.met < self.most {
            true => Ok(true),
            false => self.look_again(),
        };
        let has_room = match has_room {
            Ok(has_room) => has_room,
            Err(error) => {
                self.next = 0;
                return Some(Err(error));
            }
        };
        if !has_room || self.ring.closes(self.next) {
            let at = std::mem::take(&mut self.next);
            return Some(Err(self.source.region().corrupt(at, "a stack of bindings is longer than the stripe has")));
        }
        self.met += 1;
        let record = Record::binding(self.source, self.next);
        self.next = record.as_ref().map_or(0, Record::older);
        Some(record)
    }
}

//! The directory of an array: a sparse tree of chunks in each stripe.
//!
//! Elements are grouped into chunks, and chunks are dealt out to the stripes in turn. In its stripe a chunk is reached
//! through nodes of 64 pointers, as many levels as the highest chunk so far needs. Elements of fixed size lie densely in
//! their chunk; for others it holds pointers to records. What has never been written is not there.

mod resize;
mod walk;

pub(crate) use resize::resize;
pub(crate) use walk::chunks_in;

use std::ops::Range;
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Error, Result};
use crate::heap::Memory;
use crate::index::record::{IN_PLACE, Payload, Record, write_record};
use crate::layout::{DENSE, Geometry, Offset, StripeAt};
use crate::os::copy;
use crate::region::{Inconclusive, ReadError, Region};
use crate::source::{Source, Stripe};
use crate::store::Transaction;

/// Words in a chunk, about.
const CHUNK_WORDS: u64 = 256;
/// Words of a chunk that are logged one by one when all of it is set; of more, another chunk takes its place.
const LOGGED_MOST: usize = 32;
/// Pointers in a node, as a power of two.
pub(crate) const FANOUT_BITS: u32 = 6;
pub(crate) const FANOUT: u64 = 1 << FANOUT_BITS;
/// More levels than the longest array needs, but few enough for the numbers of chunks to fit into a word.
pub(crate) const HIGHEST: u64 = 10;

/// Layout of an array's elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements {
    /// Words of an element that lies in its chunk; `None` for pointers to records.
    dense: Option<u64>,
    /// Elements in a chunk, as a power of two.
    bits: u32,
}

/// Place of an element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) stripe: u32,
    /// Fields of the stripe.
    pub(crate) at: StripeAt,
    /// Number of its chunk within the stripe.
    chunk: u64,
    /// First word within the chunk.
    word: u64,
    /// Words there: of the element, or one pointer.
    words: u64,
}

impl Spot {
    /// Returns the number of words of each element in the chunk: its own, or one pointer.
    pub(crate) fn words_each(self) -> usize {
        self.words as usize
    }

    /// Address of the element in the record that holds its chunk.
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
    fn words_each(self) -> u64 {
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
        let stripe = geometry.first() + (chunk as u32 & (geometry.stripes - 1));
        let chunk = chunk >> geometry.stripes.trailing_zeros();
        Spot { stripe, at: geometry.stripe(stripe), chunk, word, words }
    }
}

/// Returns the stored words of an element; `None` if it has never been written.
#[inline]
pub(crate) fn find<'a>(source: impl Source<'a>, elements: Elements, spot: Spot) -> Result<Option<&'a [AtomicU64]>> {
    find_in(source, source.stripe(spot.at), elements, spot)
}

/// As [`find`], in a stripe whose fields are at hand.
#[inline(always)]
pub(crate) fn find_in<'a, S: Source<'a>, E: ReadError>(
    source: S,
    stripe: S::Stripe,
    elements: Elements,
    spot: Spot,
) -> Result<Option<&'a [AtomicU64]>, E> {
    let Some(chunk) = find_chunk_inline(source, stripe, spot.chunk)? else { return Ok(None) };
    element_in(source, elements, spot, chunk)
}

/// Returns the words of an element that lies in its chunk, with their place.
#[inline(always)]
pub(crate) fn optimistic_element(region: &Region, elements: Elements, spot: Spot) -> Option<(Offset, &[AtomicU64])> {
    let chunk = find_chunk_inline::<_, Inconclusive>(region, region.stripe(spot.at), spot.chunk).ok().flatten()?;
    let words = element_in::<Inconclusive>(region, elements, spot, chunk).ok().flatten()?;
    Some((Offset(spot.place(chunk)), words))
}

/// Returns the stored words of an element whose chunk is there.
#[inline(always)]
fn element_in<'a, E: ReadError>(
    source: impl Source<'a>,
    elements: Elements,
    spot: Spot,
    chunk: u64,
) -> Result<Option<&'a [AtomicU64]>, E> {
    let place = spot.place(chunk);
    let words = match spot.words {
        // One compare is enough.
        1 => slice::from_ref(source.word_or(place)?),
        words => source.words_or(place, words)?,
    };
    if elements.dense.is_some() {
        return Ok(Some(words));
    }
    match words[0].load(Relaxed) {
        0 => Ok(None),
        record => Ok(Some(Record::at_or(source, record)?.value())),
    }
}

/// Returns the words of some elements in a row in one chunk: of the elements, or pointers to their records.
pub(crate) fn find_run<'a, S: Source<'a>, E: ReadError>(
    source: S,
    stripe: S::Stripe,
    elements: Elements,
    spot: Spot,
    count: u64,
) -> Result<Option<&'a [AtomicU64]>, E> {
    debug_assert!(count <= elements.in_chunk() as u64);
    match find_chunk(source, stripe, spot.chunk)? {
        Some(chunk) => source.words_or(spot.place(chunk), count * spot.words).map(Some),
        None => Ok(None),
    }
}

/// Returns the stored words of an element, of which the chunk has these; `None` if it has never been written.
pub(crate) fn stored<'a>(
    source: impl Source<'a>,
    elements: Elements,
    words: &'a [AtomicU64],
) -> Result<Option<&'a [AtomicU64]>> {
    match (elements.dense, words) {
        (None, [pointer]) => match pointer.load(Relaxed) {
            0 => Ok(None),
            record => Ok(Some(Record::at(source, record)?.value())),
        },
        _ => Ok(Some(words)),
    }
}

/// Prefetches an element, or the chunk pointer that leads to it.
#[inline]
pub(crate) fn prefetch(region: &Region, spot: Spot) {
    if let Ok::<_, Inconclusive>(Some(chunk)) = find_chunk(region, region.stripe(spot.at), spot.chunk) {
        region.prefetch(spot.place(chunk));
    }
}

/// Returns the address of the record that holds a chunk.
fn find_chunk<'a, S: Source<'a>, E: ReadError>(source: S, stripe: S::Stripe, chunk: u64) -> Result<Option<u64>, E> {
    find_chunk_inline(source, stripe, chunk)
}

/// As [`find_chunk`], for hot paths.
#[inline(always)]
fn find_chunk_inline<'a, S: Source<'a>, E: ReadError>(
    source: S,
    stripe: S::Stripe,
    chunk: u64,
) -> Result<Option<u64>, E> {
    let at = stripe.at();
    let height = stripe.get(at.buckets());
    if height == 1 && chunk < FANOUT {
        // Most arrays need no more.
        let node = stripe.get(at.segment(0));
        let child = if node == 0 { 0 } else { source.word_or(child_at(node, chunk))?.load(Relaxed) };
        return Ok((child != 0).then_some(child));
    }
    if !reaches(source.region(), at, height, chunk)? {
        return Ok(None);
    }
    let mut node = stripe.get(at.segment(0));
    let mut shift = height as u32 * FANOUT_BITS;
    while node != 0 {
        shift -= FANOUT_BITS;
        node = source.word_or(child_at(node, chunk >> shift))?.load(Relaxed);
        if shift == 0 {
            break;
        }
    }
    Ok((node != 0).then_some(node))
}

/// Returns whether a tree of that height has a place for the chunk.
#[inline]
fn reaches<E: ReadError>(region: &Region, at: StripeAt, height: u64, chunk: u64) -> Result<bool, E> {
    match height {
        1..=HIGHEST => Ok(chunk >> (height as u32 * FANOUT_BITS) == 0),
        0 => Ok(false),
        _ => Err(E::corrupt(region, at.buckets().0, "a directory is higher than it can be")),
    }
}

/// Returns where a node keeps the pointer to a child, which the low bits of its number select. The words of a node follow the
/// head of its record.
#[inline]
fn child_at(node: u64, child: u64) -> u64 {
    node.wrapping_add(8 + (child & (FANOUT - 1)) * 8)
}

/// Stores an element. `default` is what other elements of a fresh chunk are filled with.
pub(crate) fn set(
    change: &mut Transaction<'_>,
    elements: Elements,
    spot: Spot,
    default: &[u64],
    value: Payload<'_>,
) -> Result<()> {
    change.write_stripe(spot.stripe)?;
    match (elements.dense, value) {
        (Some(_), Payload::Words(words)) => set_words(change, elements, spot, default, words),
        _ => set_record(change, elements, spot, default, value),
    }
}

/// Stores an element that lies in its chunk. The stripe is locked already.
#[inline(always)]
pub(crate) fn set_words(
    change: &mut Transaction<'_>,
    elements: Elements,
    spot: Spot,
    default: &[u64],
    words: &[u64],
) -> Result<()> {
    let chunk = chunk_of(change, elements, spot, default)?;
    store_words(change, spot.place(chunk), words)
}

/// Stores elements in a row that lie in one chunk. The stripe is locked already.
pub(crate) fn set_run(
    change: &mut Transaction<'_>,
    elements: Elements,
    spot: Spot,
    default: &[u64],
    words: &[u64],
) -> Result<()> {
    let region = change.store().region();
    let chunk = match find_chunk::<_, Error>(region, region.stripe(spot.at), spot.chunk)? {
        Some(chunk) => chunk,
        // It shows them without being there.
        None if words.chunks_exact(spot.words_each()).all(|element| element == default) => return Ok(()),
        None if words.len() as u64 == elements.chunk_words() => {
            return add_chunk(change, spot.stripe, spot.chunk, elements.chunk_words(), words).map(drop);
        }
        None => add_chunk(change, spot.stripe, spot.chunk, elements.chunk_words(), default)?,
    };
    let place = spot.place(chunk);
    let stored = region.words(place, words.len() as u64)?;
    if words.len() as u64 == elements.chunk_words() {
        let differing = stored.iter().zip(words).filter(|(word, new)| word.load(Relaxed) != **new);
        if differing.take(LOGGED_MOST).count() == LOGGED_MOST {
            return exchange_chunk(change, spot, chunk, words);
        }
    }
    for (i, (word, new)) in stored.iter().zip(words).enumerate() {
        if word.load(Relaxed) != *new {
            change.write(Offset(place + i as u64 * 8), *new)?;
        }
    }
    Ok(())
}

/// Puts another chunk in the place of one that is there: faster than logging every word, and it takes less memory meanwhile.
fn exchange_chunk(change: &mut Transaction<'_>, spot: Spot, old: u64, words: &[u64]) -> Result<()> {
    let height = change.load(spot.at.buckets())?;
    let mut link = spot.at.segment(0);
    for level in (0..height as u32).rev() {
        link = Offset(child_at(change.load(link)?, spot.chunk >> (level * FANOUT_BITS)));
    }
    if change.load(link)? != old {
        return Err(change.store().region().corrupt(link.0, "a directory has changed under its lock"));
    }
    let new = write_record(change, spot.stripe, &[], Payload::Words(words), 0)?;
    change.write(link, new)?;
    change.free_record(spot.stripe, old);
    Ok(())
}

/// Stores an element that has a record of its own. The stripe is locked already.
pub(crate) fn set_record(
    change: &mut Transaction<'_>,
    elements: Elements,
    spot: Spot,
    default: &[u64],
    value: Payload<'_>,
) -> Result<()> {
    let chunk = chunk_of(change, elements, spot, default)?;
    store_known(change, spot, chunk, default, value)
}

/// Stores an element that has a record of its own, in a chunk that is there. What the type of the program does not know of the old
/// one stays.
fn store_known(
    change: &mut Transaction<'_>,
    spot: Spot,
    chunk: u64,
    default: &[u64],
    value: Payload<'_>,
) -> Result<()> {
    if !change.store().may_have_tails() {
        return store_record(change, spot, chunk, value);
    }
    let (region, store) = (change.store().region(), change.store());
    let old = match region.word(spot.place(chunk))?.load(Relaxed) {
        0 => default.to_vec(),
        record => load(Record::at(region, record)?.value()),
    };
    let (tail, is_counted) = store.tail_of(&old);
    value.with_tail(tail, is_counted, |value| store_record(change, spot, chunk, value))
}

/// Stores a record in a chunk that is there.
fn store_record(change: &mut Transaction<'_>, spot: Spot, chunk: u64, value: Payload<'_>) -> Result<()> {
    let place = spot.place(chunk);
    let (region, stripe) = (change.store().region(), spot.stripe);
    let old = region.word(place)?.load(Relaxed);
    if old != 0
        && let Payload::Words(words) = value
    {
        let record = Record::at(region, old)?;
        if record.lengths.value == words.len() as u64 && words.len() <= IN_PLACE {
            return store_words(change, record.value_at(), words);
        }
    }
    let record = write_record(change, stripe, &[], value, 0)?;
    change.write(Offset(place), record)?;
    if old != 0 {
        change.free_record(stripe, old);
    }
    Ok(())
}

/// Place at which an element was found, for a later part of the same change.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    chunk: Option<u64>,
    /// Number of entries that the change had logged by then.
    entries: u64,
}

impl Seen {
    /// Locks the stripe of an element, for a change that may come, and looks for the element.
    #[inline]
    pub(crate) fn look(change: &mut Transaction<'_>, spot: Spot) -> Result<Self> {
        change.lock_stripe(spot.stripe)?;
        let region = change.store().region();
        Ok(Seen { chunk: find_chunk(region, region.stripe(spot.at), spot.chunk)?, entries: change.entries() })
    }

    /// Returns the stored words of the element; `None` if it has never been written.
    #[inline]
    pub(crate) fn words(self, region: &Region, elements: Elements, spot: Spot) -> Result<Option<&[AtomicU64]>> {
        self.chunk.map_or(Ok(None), |chunk| element_in(region, elements, spot, chunk))
    }

    /// As [`set`], where it was found, unless the change has gone on since.
    #[inline]
    pub(crate) fn set(
        self,
        change: &mut Transaction<'_>,
        elements: Elements,
        spot: Spot,
        default: &[u64],
        value: Payload<'_>,
    ) -> Result<()> {
        change.write_stripe(spot.stripe)?;
        match self.chunk {
            Some(chunk) if change.entries() == self.entries => match (elements.dense, value) {
                (Some(_), Payload::Words(words)) => store_words(change, spot.place(chunk), words),
                _ => store_known(change, spot, chunk, default, value),
            },
            _ => set(change, elements, spot, default, value),
        }
    }
}

/// Exchanges two elements, with all that they have. Their stripes are locked already.
pub(crate) fn swap(change: &mut Transaction<'_>, elements: Elements, a: Spot, b: Spot, default: &[u64]) -> Result<()> {
    if elements.dense.is_none() {
        return swap_records(change, elements, a, b, default);
    }
    let a = a.place(chunk_of(change, elements, a, default)?);
    let b = b.place(chunk_of(change, elements, b, default)?);
    for offset in (0..elements.words_each()).map(|word| word * 8) {
        let places = [a, b].map(|at| Offset(at.wrapping_add(offset)));
        let [one, other] = [change.load(places[0])?, change.load(places[1])?];
        if one != other {
            change.write(places[0], other)?;
            change.write(places[1], one)?;
        }
    }
    Ok(())
}

fn load(words: &[AtomicU64]) -> Vec<u64> {
    copy::load_vec(words, words.len())
}

/// Exchanges two elements that have records of their own: each stripe has its own memory, so they are written anew.
fn swap_records(change: &mut Transaction<'_>, elements: Elements, a: Spot, b: Spot, default: &[u64]) -> Result<()> {
    let region = change.store().region();
    let words = |spot| Ok(find(region, elements, spot)?.map(load));
    let (one, other) = (words(a)?, words(b)?);
    if one == other {
        return Ok(());
    }
    for (spot, words) in [(a, other), (b, one)] {
        let chunk = chunk_of(change, elements, spot, default)?;
        store_record(change, spot, chunk, Payload::Words(words.as_deref().unwrap_or(default)))?;
    }
    Ok(())
}

/// Returns the address of the record that holds the chunk of an element, which is added if it is not there.
#[inline(always)]
fn chunk_of(change: &mut Transaction<'_>, elements: Elements, spot: Spot, default: &[u64]) -> Result<u64> {
    let region = change.store().region();
    match find_chunk::<_, Error>(region, region.stripe(spot.at), spot.chunk)? {
        Some(chunk) => Ok(chunk),
        None => {
            let pattern = if elements.dense.is_some() { default } else { &[0] };
            add_chunk(&mut change.reborrow(), spot.stripe, spot.chunk, elements.chunk_words(), pattern)
        }
    }
}

#[inline]
fn store_words(change: &mut Transaction<'_>, place: u64, words: &[u64]) -> Result<()> {
    words.iter().enumerate().try_for_each(|(i, word)| change.write(Offset(place + i as u64 * 8), *word))
}

/// Adds a chunk of `words` words, filled with a pattern, and the nodes on the way to it. Returns the address of its record.
#[cold]
fn add_chunk(change: &mut Transaction<'_>, stripe: u32, chunk: u64, words: u64, pattern: &[u64]) -> Result<u64> {
    let region = change.store().region();
    let at = region.geometry().stripe(stripe);
    let mut height = change.load(at.buckets())?;
    while !reaches::<Error>(region, at, height, chunk)? {
        let root = change.load(at.segment(0))?;
        let mut root_words = [0; FANOUT as usize];
        root_words[0] = root;
        // An empty tree grows at once: there is nothing to keep at the old height.
        if height == 0 || root != 0 {
            let node = if height == 0 { 0 } else { write_record(change, stripe, &[], Payload::Words(&root_words), 0)? };
            change.write(at.segment(0), node)?;
        }
        height += 1;
        change.write(at.buckets(), height)?;
    }
    let mut link = at.segment(0);
    for level in (0..height as u32).rev() {
        let mut node = change.load(link)?;
        if node == 0 {
            node = write_record(change, stripe, &[], Payload::Words(&[0; FANOUT as usize]), 0)?;
            change.write(link, node)?;
        }
        link = Offset(child_at(node, chunk >> (level * FANOUT_BITS)));
    }
    let fill = |words: &[AtomicU64]| {
        for (word, value) in words.iter().zip(pattern.iter().cycle()) {
            word.store(*value, Relaxed);
        }
        Ok(())
    };
    let added = write_record(change, stripe, &[], Payload::Fill(words, &fill), 0)?;
    change.write(link, added)?;
    let chunks = change.load(at.keys())?;
    change.write(at.keys(), chunks.wrapping_add(1))?;
    Ok(added)
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

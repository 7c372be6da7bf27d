//! The directory of an array: a sparse tree of chunks in each stripe.
//!
//! Elements are grouped into chunks, and chunks are dealt out to the stripes in turn. In its stripe a chunk is reached
//! through nodes of 64 pointers, as many levels as the highest chunk so far needs. Elements of fixed size lie densely in
//! their chunk; for others it holds pointers to records. What has never been written is not there.

mod elements;
mod resize;
mod set;
mod walk;

pub(crate) use elements::{Elements, Spot};
pub(crate) use resize::resize;
pub(crate) use set::{Seen, set, set_record, set_run, set_words, swap};
pub(crate) use walk::chunks_in;

use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::index::record::Record;
use crate::layout::{Offset, StripeAt};
use crate::region::{Inconclusive, ReadError, Region};
use crate::sequence::Sequence;
use crate::source::{Source, Stripe};

/// Pointers in a node, as a power of two.
pub(crate) const FANOUT_BITS: u32 = 6;
pub(crate) const FANOUT: u64 = 1 << FANOUT_BITS;
/// More levels than the longest array needs, but few enough for the numbers of chunks to fit into a word.
pub(crate) const HIGHEST: u64 = 10;

/// Returns the stored words of an element; `None` if it has never been written.
#[inline]
pub(crate) fn find<'a>(source: impl Source<'a>, elements: Elements, spot: Spot) -> Result<Option<&'a [AtomicU64]>> {
    find_in(source, source.stripe(spot.at), elements, spot)
}

/// Works like [`find`], given the fields of the stripe.
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
    Some((Offset::at(spot.place(chunk)), words))
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

/// Returns the stored words of an element, given its words in the chunk; `None` if it has never been written.
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
    if !Sequence(region.field(spot.at.sequence())).needs_care()
        && let Ok::<_, Inconclusive>(Some(chunk)) = find_chunk(region, region.stripe(spot.at), spot.chunk)
    {
        region.prefetch(spot.place(chunk));
    }
}

/// Returns the address of the record that holds a chunk.
fn find_chunk<'a, S: Source<'a>, E: ReadError>(source: S, stripe: S::Stripe, chunk: u64) -> Result<Option<u64>, E> {
    find_chunk_inline(source, stripe, chunk)
}

/// Works like [`find_chunk`], for hot paths.
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
        _ => Err(E::corrupt(region, at.buckets().bytes(), "a directory is higher than it can be")),
    }
}

/// Returns where a node keeps the pointer to a child, which the low bits of its number select. The words of a node follow the
/// head of its record.
#[inline]
fn child_at(node: u64, child: u64) -> u64 {
    node.wrapping_add(8 + (child & (FANOUT - 1)) * 8)
}

//! Growing and shrinking the index by one bucket at a time.

use std::sync::atomic::Ordering::Relaxed;

use smallvec::{SmallVec, smallvec};

use super::bindings::overflow_bucket;
use super::buckets::{Chain, MOST_BUCKETS, segment_of};
use super::walk::Cells;
use crate::heap::Memory;
use crate::layout::record::{BUCKET_BYTES, BUCKET_WORDS, CELLS, Cell};
use crate::layout::run::{RUN_HEADER, RunAt, Use};
use crate::layout::{Place, StripeAt};
use crate::store::Change;
use crate::{Error, Result};

/// Keys for each four buckets at which the index grows: fifteen fill a little more than half of the cells.
const GROW_AT: u64 = 15;
/// And at which it shrinks.
const SHRINK_AT: u64 = 6;
/// A stripe that has so few buckets does not shrink.
const FEW: u64 = 16;
/// Chains longer than this are not split: it would not make them shorter.
const LONGEST_SPLIT: usize = 64;
/// Log entries that shrinking needs at most.
const SHRINK_ROOM: u64 = 40;

/// Makes room for one more key, if the index is full enough.
pub(super) fn grow(change: &mut Change<'_>, stripe: u32, at: StripeAt) -> Result<()> {
    let buckets = change.load(at.buckets())?;
    if buckets == 0 {
        return start(change, stripe, at);
    }
    let keys = change.load(at.keys())?;
    if buckets >= MOST_BUCKETS || keys.saturating_mul(4) < buckets * GROW_AT {
        return Ok(());
    }
    match change.part(|change| split(change, stripe, at, buckets)) {
        // A full index still works, with longer chains.
        Err(Error::Full { .. } | Error::NoSpace { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// The first buckets of a stripe: as many as the expected number of keys asks for.
fn start(change: &mut Change<'_>, stripe: u32, at: StripeAt) -> Result<()> {
    let geometry = *change.target().geometry();
    let wanted = (geometry.init / u64::from(geometry.stripes) * 4 / GROW_AT).clamp(1, MOST_BUCKETS);
    match change.part(|change| fill_segments(change, stripe, at, wanted)) {
        Err(Error::Full { .. } | Error::NoSpace { .. }) if wanted > 1 => fill_segments(change, stripe, at, 1),
        outcome => outcome,
    }
}

fn fill_segments(change: &mut Change<'_>, stripe: u32, at: StripeAt, buckets: u64) -> Result<()> {
    let mut bucket = 0;
    while bucket < buckets {
        let (_, _, size) = segment_of(bucket);
        let start = take_segment(change, stripe, at, bucket)?;
        for word in change.target().region().words(start, size.min(buckets - bucket) * BUCKET_WORDS as u64)? {
            word.store(0, Relaxed);
        }
        bucket += size;
    }
    change.store(at.buckets(), buckets)
}

/// Takes the segment that starts with that bucket: the address of its buckets.
fn take_segment(change: &mut Change<'_>, stripe: u32, at: StripeAt, bucket: u64) -> Result<u64> {
    let (segment, _, size) = segment_of(bucket);
    let run = change.records(stripe).take_run(change, size * BUCKET_BYTES, Use::Segment)?;
    change.store(at.segment(segment), run.content())?;
    Ok(run.content())
}

/// Adds bucket number `buckets`; the keys that belong there come from one other bucket.
fn split(change: &mut Change<'_>, stripe: u32, at: StripeAt, buckets: u64) -> Result<()> {
    let region = change.target().region();
    let level = buckets.ilog2();
    let source = buckets - (1 << level);
    let (mut stay, mut go) = (Cells::new(), Cells::new());
    let mut chain = Chain::of(region, at, buckets, source)?;
    let mut links: SmallVec<[u64; 4]> = smallvec![chain.at()];
    loop {
        for word in &chain.bucket()[..CELLS] {
            let cell = Cell(word.load(Relaxed));
            if !cell.is_empty() {
                if cell.hash_bits() & (1 << level) == 0 { &mut stay } else { &mut go }.push(cell);
            }
        }
        if !chain.advance()? {
            break;
        }
        links.push(chain.at());
        if links.len() > LONGEST_SPLIT {
            return Ok(());
        }
    }
    let (segment, place, _) = segment_of(buckets);
    let start =
        if place == 0 { take_segment(change, stripe, at, buckets)? } else { change.load(at.segment(segment))? };
    fill_fresh(change, stripe, start + place * BUCKET_BYTES, &go)?;
    if !go.is_empty() {
        pack(change, stripe, &links, &stay)?;
    }
    change.store(at.buckets(), buckets + 1)
}

/// Fills a bucket that nobody knows yet.
fn fill_fresh(change: &mut Change<'_>, stripe: u32, bucket: u64, cells: &[Cell]) -> Result<()> {
    let (here, rest) = cells.split_at(cells.len().min(CELLS));
    let mut link = 0;
    for group in rest.chunks(CELLS) {
        let overflow = overflow_bucket(change, stripe, group)?;
        change.fresh(Place(overflow + BUCKET_BYTES), link)?;
        link = overflow;
    }
    let words = change.target().region().words(bucket, BUCKET_WORDS as u64)?;
    for (i, word) in words.iter().enumerate() {
        word.store(if i == CELLS { link } else { here.get(i).map_or(0, |cell| cell.0) }, Relaxed);
    }
    Ok(())
}

/// Puts the cells that stay to the front of their chain, and frees the overflow buckets left empty.
fn pack(change: &mut Change<'_>, stripe: u32, chain: &[u64], cells: &[Cell]) -> Result<()> {
    let needed = cells.len().div_ceil(CELLS).max(1);
    for (i, bucket) in chain[..needed].iter().enumerate() {
        for j in 0..CELLS {
            let place = Place(bucket + j as u64 * 8);
            let word = cells.get(i * CELLS + j).map_or(0, |cell| cell.0);
            if change.load(place)? != word {
                change.store(place, word)?;
            }
        }
    }
    if needed < chain.len() {
        change.store(Place(chain[needed - 1] + CELLS as u64 * 8), 0)?;
    }
    for bucket in &chain[needed..] {
        change.free_record(stripe, bucket - 8);
    }
    Ok(())
}

/// Takes the last bucket back into the one it came from, if the index is empty enough, both are short and the log has
/// room: a removal must succeed in a full object.
pub(super) fn shrink(change: &mut Change<'_>, stripe: u32, at: StripeAt) -> Result<()> {
    let buckets = change.load(at.buckets())?;
    let keys = change.load(at.keys())?;
    let crowded = keys.saturating_mul(4) >= buckets.saturating_mul(SHRINK_AT);
    if buckets <= FEW || crowded || change.log_room() < SHRINK_ROOM {
        return Ok(());
    }
    let region = change.target().region();
    let last = buckets - 1;
    let from = Chain::of(region, at, buckets, last)?;
    let into = Chain::of(region, at, buckets, last - (1 << last.ilog2()))?;
    if from.link() != 0 || into.link() != 0 {
        return Ok(());
    }
    let cells = |chain: &Chain<'_>| -> Vec<u64> {
        chain.bucket()[..CELLS].iter().map(|word| word.load(Relaxed)).filter(|word| !Cell(*word).is_empty()).collect()
    };
    let moving = cells(&from);
    if moving.len() + cells(&into).len() > CELLS {
        return Ok(());
    }
    let free = (0..CELLS).filter(|i| Cell(into.bucket()[*i].load(Relaxed)).is_empty());
    for (i, cell) in free.zip(&moving) {
        change.store(Place(into.at() + i as u64 * 8), *cell)?;
    }
    change.store(at.buckets(), last)?;
    let (segment, place, _) = segment_of(last);
    if place == 0 {
        let content = change.load(at.segment(segment))?;
        change.free_run(stripe, RunAt(content.wrapping_sub(RUN_HEADER)));
    }
    Ok(())
}

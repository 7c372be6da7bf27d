//! Growing and shrinking the index by one bucket at a time.

use std::sync::atomic::Ordering::Relaxed;

use smallvec::SmallVec;

use super::bindings::overflow_bucket;
use super::buckets::{Chain, Content, Contents, Image, MOST_BUCKETS, segment_of};
use crate::heap::Memory;
use crate::layout::StripeAt;
use crate::layout::bucket::CELLS;
use crate::layout::run::{RUN_HEADER, RunAt, Use};
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
const SHRINK_ROOM: u64 = 48;

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
        let words = change.target().geometry().form.words() as u64;
        for word in change.target().region().words(start, size.min(buckets - bucket) * words)? {
            word.store(0, Relaxed);
        }
        bucket += size;
    }
    change.store(at.buckets(), buckets)
}

/// Takes the segment that starts with that bucket: the address of its buckets.
fn take_segment(change: &mut Change<'_>, stripe: u32, at: StripeAt, bucket: u64) -> Result<u64> {
    let (segment, _, size) = segment_of(bucket);
    let bytes = size * change.target().geometry().form.bytes();
    let run = change.records(stripe).take_run(change, bytes, Use::Segment)?;
    change.store(at.segment(segment), run.content())?;
    Ok(run.content())
}

/// Adds bucket number `buckets`; the keys that belong there come from one other bucket.
fn split(change: &mut Change<'_>, stripe: u32, at: StripeAt, buckets: u64) -> Result<()> {
    let region = change.target().region();
    let level = buckets.ilog2();
    let source = buckets - (1 << level);
    let mut go = Contents::new();
    let mut chain = Chain::of(region, at, buckets, source)?;
    let mut images: SmallVec<[(u64, Image); 2]> = SmallVec::new();
    loop {
        let mut image = chain.image();
        for cell in 0..CELLS {
            if let Some(content) = image.content(cell)
                && content.hash_bits(change.target()) & (1 << level) != 0
            {
                go.push(content);
                image.clear(cell);
            }
        }
        images.push((chain.at(), image));
        if !chain.advance()? {
            break;
        }
        if images.len() == LONGEST_SPLIT {
            return Ok(());
        }
    }
    let (segment, place, _) = segment_of(buckets);
    let start =
        if place == 0 { take_segment(change, stripe, at, buckets)? } else { change.load(at.segment(segment))? };
    fill_fresh(change, stripe, start + place * chain.form().bytes(), &go)?;
    if !go.is_empty() {
        pack(change, stripe, &mut images)?;
    }
    change.store(at.buckets(), buckets + 1)
}

/// Fills a bucket that nobody knows yet.
fn fill_fresh(change: &mut Change<'_>, stripe: u32, bucket: u64, contents: &[Content]) -> Result<()> {
    let form = change.target().geometry().form;
    let (here, rest) = contents.split_at(contents.len().min(CELLS));
    let mut link = 0;
    for group in rest.chunks(CELLS) {
        link = overflow_bucket(change, stripe, group, link)?;
    }
    let mut image = Image::empty(form);
    image.take_from(&mut here.iter().copied());
    image.set_link(link);
    let words = change.target().region().words(bucket, form.words() as u64)?;
    words.iter().zip(image.words()).for_each(|(stored, word)| stored.store(*word, Relaxed));
    Ok(())
}

/// Moves what is left in a chain to its front, and frees the overflow buckets left empty.
fn pack(change: &mut Change<'_>, stripe: u32, chain: &mut [(u64, Image)]) -> Result<()> {
    let staying: usize = chain.iter().map(|(_, image)| image.contents().count()).sum();
    let (kept, dropped) = chain.split_at_mut(staying.div_ceil(CELLS).max(1));
    let mut moving = dropped.iter().flat_map(|(_, image)| image.contents().map(|(_, content)| content));
    let last = kept.len() - 1;
    for (i, (bucket, image)) in kept.iter_mut().enumerate() {
        image.take_from(&mut moving);
        if i == last {
            image.set_link(0);
        }
        image.store(change, *bucket)?;
    }
    for (bucket, _) in dropped.iter() {
        change.free_record(stripe, *bucket - 8);
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
    let from = Chain::of(region, at, buckets, last)?.image();
    let chain = Chain::of(region, at, buckets, last - (1 << last.ilog2()))?;
    let mut into = chain.image();
    if from.link() != 0 || into.link() != 0 || from.contents().count() + into.contents().count() > CELLS {
        return Ok(());
    }
    into.take_from(&mut from.contents().map(|(_, content)| content));
    into.store(change, chain.at())?;
    change.store(at.buckets(), last)?;
    let (segment, place, _) = segment_of(last);
    if place == 0 {
        let content = change.load(at.segment(segment))?;
        change.free_run(stripe, RunAt(content.wrapping_sub(RUN_HEADER)));
    }
    Ok(())
}

//! Growing and shrinking the index by one bucket at a time.

use super::buckets::{CELLS, Chain, Content, MOST_BUCKETS, bucket_at, clear_cells, segment_of};
use super::image::{Image, overflow_bucket};
use crate::error::{Error, Result};
use crate::heap::Memory;
use crate::layout::StripeAt;
use crate::layout::bucket::{BucketAt, Cells, Form};
use crate::layout::run::{RUN_HEADER, RunAt, Use};
use crate::store::{Store, Transaction};

/// Keys for each four buckets at which the index grows: about half of the cells are used then.
const GROW_AT: u64 = 16;
/// Keys for each four buckets at which the index shrinks.
const SHRINK_AT: u64 = 6;
/// A stripe with this number of buckets or fewer does not shrink.
pub(super) const FEW: u64 = 16;
/// Chains longer than this are not split: it would not make them shorter.
const LONGEST_SPLIT: usize = 64;
/// Buckets merged in one change at most.
const MERGES: u32 = 64;
/// Log entries that shrinking needs at most.
const SHRINK_ROOM: u64 = 48;

/// Splits the next bucket if `keys` exceed the load factor of `buckets`.
#[inline]
pub(super) fn grow(change: &mut Transaction<'_>, stripe: u32, at: StripeAt, buckets: u64, keys: u64) -> Result<()> {
    if buckets >= MOST_BUCKETS || keys.saturating_mul(4) <= buckets * GROW_AT {
        return Ok(());
    }
    match change.with_savepoint(|change| split(change, stripe, at, buckets)) {
        // A full index still works, with longer chains.
        Err(Error::Full { .. } | Error::NoSpace { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// Makes the first buckets of a stripe, enough for the expected number of keys.
#[cold]
pub(super) fn start(change: &mut Transaction<'_>, stripe: u32, at: StripeAt) -> Result<()> {
    let geometry = *change.store().geometry();
    let wanted = (geometry.init / u64::from(geometry.stripes) * 4 / GROW_AT).clamp(1, MOST_BUCKETS);
    match change.with_savepoint(|change| fill_segments(change, stripe, at, wanted)) {
        Err(Error::Full { .. } | Error::NoSpace { .. }) if wanted > 1 => fill_segments(change, stripe, at, 1),
        outcome => outcome,
    }
}

fn fill_segments(change: &mut Transaction<'_>, stripe: u32, at: StripeAt, buckets: u64) -> Result<()> {
    let form = change.store().geometry().form;
    let empty = Image::empty(form);
    let mut bucket = 0;
    while bucket < buckets {
        let (_, _, size) = segment_of(bucket);
        let start = take_segment(change, stripe, at, bucket)?;
        (0..size.min(buckets - bucket)).try_for_each(|place| empty.fill(change, form.bucket(start, size, place)))?;
        bucket += size;
    }
    change.write(at.buckets(), buckets)
}

/// Takes a run for the segment that starts with bucket `bucket`, and returns the address of its buckets.
fn take_segment(change: &mut Transaction<'_>, stripe: u32, at: StripeAt, bucket: u64) -> Result<u64> {
    let (segment, _, size) = segment_of(bucket);
    let bytes = change.store().geometry().form.segment_bytes(size);
    let run = change.records(stripe).take_run(change, bytes, Use::Segment)?;
    change.init(run.buckets(), size)?;
    change.write(at.segment(segment), run.content())?;
    Ok(run.content())
}

/// Adds bucket number `buckets`; the keys that belong there come from one other bucket.
fn split(change: &mut Transaction<'_>, stripe: u32, at: StripeAt, buckets: u64) -> Result<()> {
    let level = buckets.ilog2();
    let chain = Chain::of(change.store().region(), at, buckets, buckets - (1 << level))?;
    if chain.link::<Error>()? != 0 {
        return split_chain(change, stripe, at, buckets, chain);
    }
    let mut going = Packed::new(chain.form());
    let gone = going.take_from(change.store(), &chain.image()?, 1 << level);
    let bucket = new_bucket(change, stripe, at, buckets)?;
    going.fill_behind_last(change, stripe, bucket)?;
    clear_cells(change, chain.at(), gone)?;
    set_buckets(change, at, buckets + 1)
}

/// Ends a split, and prefetches what the next one of the stripe will touch: it comes only after more additions than there
/// are stripes, so the caches will have the memory by then.
fn set_buckets(change: &mut Transaction<'_>, at: StripeAt, buckets: u64) -> Result<()> {
    let region = change.store().region();
    let form = region.geometry().form;
    for bucket in [buckets - (1 << buckets.ilog2()), buckets] {
        bucket_at(form, region.stripe(at), bucket).lines(form).for_each(|line| region.prefetch(line));
    }
    change.set_field(at.buckets(), buckets)
}

/// Works like [`split`], for a bucket with overflow buckets.
fn split_chain(
    change: &mut Transaction<'_>,
    stripe: u32,
    at: StripeAt,
    buckets: u64,
    mut chain: Chain<'_>,
) -> Result<()> {
    let (mut staying, mut going) = (Vec::new(), Packed::new(chain.form()));
    loop {
        let mut image = chain.image()?;
        going.take_from(change.store(), &image, 1 << buckets.ilog2()).for_each(|cell| image.clear(cell));
        staying.push((chain.at(), image));
        if !chain.advance()? {
            break;
        }
        if staying.len() == LONGEST_SPLIT {
            return Ok(());
        }
    }
    let bucket = new_bucket(change, stripe, at, buckets)?;
    going.fill_behind_last(change, stripe, bucket)?;
    if !going.is_empty() {
        pack(change, stripe, &mut staying)?;
    }
    set_buckets(change, at, buckets + 1)
}

/// Returns where the next bucket, number `bucket`, belongs; takes a segment if it starts one.
fn new_bucket(change: &mut Transaction<'_>, stripe: u32, at: StripeAt, bucket: u64) -> Result<BucketAt> {
    let (segment, place, size) = segment_of(bucket);
    let start = if place == 0 { take_segment(change, stripe, at, bucket)? } else { change.field(at.segment(segment)) };
    Ok(change.store().geometry().form.bucket(start, size, place))
}

/// Contents of cells, in as few buckets as possible. (A bucket of pairs would have room for one more.)
struct Packed {
    first: Image,
    /// Cells for which the first bucket has no room.
    more: Vec<Image>,
    /// The number of contents in the last one.
    last: usize,
}

impl Packed {
    fn new(form: Form) -> Self {
        Packed { first: Image::empty(form), more: Vec::new(), last: 0 }
    }

    fn is_empty(&self) -> bool {
        self.last == 0
    }

    /// Takes the contents of a bucket with that bit set in their hashes. Returns the cells they were in.
    #[inline]
    fn take_from(&mut self, store: &Store, bucket: &Image, bit: u64) -> Cells {
        let mut taken = Cells::NONE;
        for (cell, content) in bucket.contents() {
            if content.hash_bits(store) & bit != 0 {
                self.push(content);
                taken = taken.with(cell);
            }
        }
        taken
    }

    #[inline]
    fn push(&mut self, content: Content) {
        if self.last == CELLS {
            self.more.push(Image::empty(self.first.form()));
            self.last = 0;
        }
        self.more.last_mut().unwrap_or(&mut self.first).put(content);
        self.last += 1;
    }

    /// Fills the bucket after the last one, and its overflow buckets.
    fn fill_behind_last(&mut self, change: &mut Transaction<'_>, stripe: u32, bucket: BucketAt) -> Result<()> {
        for image in &mut self.more {
            image.set_link(self.first.link());
            self.first.set_link(overflow_bucket(change, stripe, image)?);
        }
        self.first.fill_behind_last(change, bucket)
    }
}

/// Moves what is left in a chain to its front, and frees the overflow buckets left empty.
fn pack(change: &mut Transaction<'_>, stripe: u32, chain: &mut [(BucketAt, Image)]) -> Result<()> {
    let staying: usize = chain.iter().map(|(_, image)| image.count()).sum();
    let (kept, dropped) = chain.split_at_mut(staying.div_ceil(CELLS).max(1));
    let mut moving = dropped.iter().flat_map(|(_, image)| image.contents().map(|(_, content)| content)).peekable();
    let last = kept.len() - 1;
    for (i, (bucket, image)) in kept.iter_mut().enumerate() {
        if i == last {
            image.set_link(0);
        }
        while moving.next_if(|content| image.put(*content)).is_some() {}
        image.store(change, *bucket)?;
    }
    for (bucket, _) in dropped.iter() {
        change.free_record(stripe, bucket.record(change.store().geometry().form));
    }
    Ok(())
}

/// Merges the last bucket into the one it came from, if the index is empty enough, both are short and the log has
/// room: a removal must succeed in a full object.
pub(super) fn shrink(change: &mut Transaction<'_>, stripe: u32, at: StripeAt) -> Result<()> {
    let buckets = change.load(at.buckets())?;
    let keys = change.load(at.keys())?;
    let crowded = keys.saturating_mul(4) >= buckets.saturating_mul(SHRINK_AT);
    if buckets <= FEW || crowded || change.log_room() < SHRINK_ROOM {
        return Ok(());
    }
    let region = change.store().region();
    let last = buckets - 1;
    let from = Chain::of(region, at, buckets, last)?.image()?;
    let chain = Chain::of(region, at, buckets, last - (1 << last.ilog2()))?;
    let mut into = chain.image()?;
    if from.link() != 0 || into.link() != 0 || from.count() + into.count() > into.form().cells() {
        return Ok(());
    }
    from.contents().for_each(|(_, content)| {
        into.put(content);
    });
    into.store(change, chain.at())?;
    end_at(change, stripe, at, last)
}

/// Merges buckets at the end of the index, those with overflow buckets as well, while it is empty enough; returns whether there may
/// be more to do.
pub(crate) fn compact(change: &mut Transaction<'_>, stripe: u32) -> Result<bool> {
    change.write_stripe(stripe)?;
    let at = change.store().geometry().stripe(stripe);
    for _ in 0..MERGES {
        if !merge_chains(change, stripe, at)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn merge_chains(change: &mut Transaction<'_>, stripe: u32, at: StripeAt) -> Result<bool> {
    let (buckets, keys) = (change.field(at.buckets()), change.field(at.keys()));
    if buckets <= FEW || keys.saturating_mul(4) >= buckets.saturating_mul(SHRINK_AT) {
        return Ok(false);
    }
    let (region, form) = (change.store().region(), change.store().geometry().form);
    let last = buckets - 1;
    let into = last - (1 << last.ilog2());
    let (mut contents, mut records) = (Vec::new(), Vec::new());
    for bucket in [into, last] {
        let mut chain = Chain::of(region, at, buckets, bucket)?;
        loop {
            contents.extend(chain.image()?.contents().map(|(_, content)| content));
            if !chain.advance()? {
                break;
            }
            records.push(chain.at());
            if records.len() == LONGEST_SPLIT {
                return Ok(false);
            }
        }
    }
    let needed = contents.len().div_ceil(CELLS).max(1);
    if needed > records.len() + 1 {
        return Ok(false);
    }
    let first = Chain::of(region, at, buckets, into)?.at();
    let dropped = records.split_off(needed - 1);
    let links = records.iter().map(|bucket| bucket.record(form)).chain([0]);
    let mut rest = contents.into_iter();
    for (bucket, link) in [first].into_iter().chain(records.iter().copied()).zip(links) {
        let mut image = Image::empty(form);
        image.set_link(link);
        rest.by_ref().take(CELLS).for_each(|content| {
            image.put(content);
        });
        image.store(change, bucket)?;
    }
    for bucket in dropped {
        change.free_record(stripe, bucket.record(form));
    }
    end_at(change, stripe, at, last)?;
    Ok(true)
}

/// Gives up most of the index of a stripe that has no key any more: merging one bucket for each key removed need not come so far.
#[cold]
pub(super) fn empty(change: &mut Transaction<'_>, stripe: u32, at: StripeAt) -> Result<()> {
    let buckets = change.field(at.buckets());
    let give_up = |change: &mut Transaction<'_>| {
        let mut bucket = FEW;
        while bucket < buckets {
            let (segment, place, size) = segment_of(bucket);
            if place == 0 {
                let content = change.field(at.segment(segment));
                change.free_run(stripe, RunAt(content.wrapping_sub(RUN_HEADER)));
            }
            bucket += size - place;
        }
        change.shorten(at.buckets(), FEW)
    };
    match change.with_savepoint(give_up) {
        // It is as it was.
        Err(Error::Full { .. } | Error::NoSpace { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// Removes bucket number `last`, the last one.
fn end_at(change: &mut Transaction<'_>, stripe: u32, at: StripeAt, last: u64) -> Result<()> {
    change.shorten(at.buckets(), last)?;
    let (segment, place, _) = segment_of(last);
    if place == 0 {
        let content = change.field(at.segment(segment));
        change.free_run(stripe, RunAt(content.wrapping_sub(RUN_HEADER)));
    }
    Ok(())
}

//! Visiting all keys of a stripe.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

use super::buckets::{Chain, bucket_at, pair_at, row_from};
use super::record::Record;
use super::stored_pair;
use crate::error::Result;
use crate::layout::StripeAt;
use crate::layout::bucket::{Cell, Cells, Form, Tags};
use crate::region::{Inconclusive, ReadError, Region, StripeFields};
use crate::source::{Source, Stripe};

/// Distance of prefetching in buckets: for the bucket itself, then for the records it points to.
const AHEAD: [u64; 2] = [8, 4];

/// Visits the newest bindings of the keys in a bucket's chain, in an index with buckets of that form, until `visit` breaks.
/// Buckets are visited in order, so the records that come next are prefetched.
#[inline(always)]
pub(crate) fn newest_in<'a, S: Source<'a>, E: ReadError>(
    source: S,
    form: Form,
    at: StripeAt,
    bucket: u64,
    mut visit: impl FnMut(Record<'a>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let stripe = source.stripe(at);
    let buckets = stripe.get(at.buckets());
    let mut chain = Chain::of_or(source, form, stripe, buckets, bucket.min(buckets))?;
    if form == Form::Records && S::MAY_LOOK_AHEAD {
        look_ahead(source.region(), source.region().stripe(at), bucket, buckets);
    }
    loop {
        let (tags, pairs, used) = match form {
            Form::Records => {
                let words = chain.records()?;
                let is_used = |cell: usize| !Cell(words[cell].load(Relaxed)).is_empty();
                (Tags(0), Default::default(), Cells::of(Form::Records.cells(), is_used))
            }
            Form::Pairs => {
                let tags = chain.tags()?;
                (tags, chain.pairs()?, tags.used())
            }
        };
        for cell in used {
            let newest = match form {
                Form::Records => Record::at_or(source, Cell(chain.records()?[cell].load(Relaxed)).record())?,
                Form::Pairs => stored_pair(&chain, tags.tag(cell), cell, &pairs[cell])?,
            };
            // The only call, so that it can be inlined.
            if visit(newest)?.is_break() {
                return Ok(());
            }
        }
        if !chain.advance()? {
            return Ok(());
        }
    }
}

/// Returns the pairs of a bucket and of those that follow it in its segment, bucket by bucket, up to one that holds anything else. What is
/// damaged is left to [`newest_in`].
#[inline(always)]
pub(crate) fn pairs_from(
    region: &Region,
    at: StripeAt,
    bucket: u64,
) -> impl Iterator<Item = impl Iterator<Item = Record<'_>>> {
    row_from(region, region.stripe(at), bucket).unwrap_or_default().map_while(|(tags, bucket, pairs)| {
        tags.are_pairs().then(|| tags.used().map(move |cell| Record::pair(pair_at(bucket, cell), &pairs[cell])))
    })
}

fn look_ahead(region: &Region, stripe: StripeFields<'_>, bucket: u64, buckets: u64) {
    let [bucket_ahead, records_ahead] = AHEAD.map(|ahead| bucket + ahead);
    if bucket_ahead < buckets {
        region.prefetch(bucket_at(Form::Records, stripe, bucket_ahead).cells);
    }
    if records_ahead < buckets
        && let Ok::<_, Inconclusive>(chain) = Chain::of_or(region, Form::Records, stripe, buckets, records_ahead)
        && let Ok::<_, Inconclusive>(words) = chain.records()
    {
        let cells = words[..Form::Records.cells()].iter();
        cells.for_each(|word| region.prefetch(Cell(word.load(Relaxed)).record()));
    }
}

//! Visiting all keys of a stripe.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

use super::buckets::{Chain, address_of};
use super::{Record, stored_pair};
use crate::Result;
use crate::layout::StripeAt;
use crate::layout::bucket::{CELLS, Cell, Cells, Form, Tags};
use crate::region::{Fault, Region};

/// How many buckets ahead of the visitor memory is asked for: for the bucket itself, then for the records it leads to.
const AHEAD: [u64; 2] = [8, 4];

/// Visits the newest bindings of the keys in a bucket's chain, until `visit` breaks. Buckets are visited in order, so the
/// records that come next are asked for.
#[inline(always)]
pub(crate) fn newest_in<'a, E: Fault>(
    region: &'a Region,
    at: StripeAt,
    bucket: u64,
    mut visit: impl FnMut(Record<'a>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let buckets = region.field(at.buckets()).load(Relaxed);
    let mut chain = Chain::of_or(region, at, buckets, bucket.min(buckets))?;
    if chain.form() == Form::Records {
        look_ahead(region, at, bucket, buckets);
    }
    loop {
        let words = chain.words();
        let tags = Tags(words[0].load(Relaxed));
        let used = match chain.form() {
            Form::Records => Cells::of(|cell| !Cell(words[cell].load(Relaxed)).is_empty()),
            Form::Pairs => tags.used(),
        };
        for cell in used {
            let newest = match chain.form() {
                Form::Records => Record::at_or(region, Cell(words[cell].load(Relaxed)).record())?,
                Form::Pairs => stored_pair(region, &chain, tags.tag(cell), cell)?,
            };
            // The only call, so that it can be inlined.
            if visit(newest)?.is_break() {
                return Ok(());
            }
        }
        if !chain.advance_or()? {
            return Ok(());
        }
    }
}

fn look_ahead(region: &Region, at: StripeAt, bucket: u64, buckets: u64) {
    let [bucket_ahead, records_ahead] = AHEAD.map(|ahead| bucket + ahead);
    if bucket_ahead < buckets {
        region.prefetch(address_of(region, at, bucket_ahead));
    }
    if records_ahead < buckets
        && let Ok(chain) = Chain::of(region, at, buckets, records_ahead)
    {
        chain.words()[..CELLS].iter().for_each(|word| region.prefetch(Cell(word.load(Relaxed)).record()));
    }
}

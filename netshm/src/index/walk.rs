//! Visiting all keys of a stripe.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

use super::buckets::{Chain, address_of};
use super::{Record, stored_pair};
use crate::Result;
use crate::layout::StripeAt;
use crate::layout::bucket::{CELLS, Cell, Form, Tags};
use crate::region::Region;

/// How many buckets ahead of the visitor memory is asked for: for the bucket itself, then for the records it leads to.
const AHEAD: [u64; 2] = [8, 4];

/// Visits the newest bindings of the keys in a bucket's chain, until `visit` breaks. Buckets are visited in order, so the
/// records that come next are asked for.
#[inline(always)]
pub(crate) fn newest_in<'a>(
    region: &'a Region,
    at: StripeAt,
    bucket: u64,
    mut visit: impl FnMut(Record<'a>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let buckets = region.field(at.buckets()).load(Relaxed);
    let mut chain = Chain::of(region, at, buckets, bucket.min(buckets))?;
    if chain.form() == Form::Records {
        look_ahead(region, at, bucket, buckets);
    }
    loop {
        match chain.form() {
            Form::Records => {
                for cell in chain.words()[..CELLS].iter().map(|word| Cell(word.load(Relaxed))) {
                    if !cell.is_empty() && visit(Record::at(region, cell.record())?)?.is_break() {
                        return Ok(());
                    }
                }
            }
            Form::Pairs => {
                let tags = Tags(chain.words()[0].load(Relaxed));
                for cell in tags.used() {
                    if visit(stored_pair(region, &chain, tags.tag(cell), cell)?)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        if !chain.advance()? {
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

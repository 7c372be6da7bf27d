//! Visiting all keys of a stripe.

use std::sync::atomic::Ordering::Relaxed;

use smallvec::SmallVec;

use super::buckets::{Chain, address_of};
use crate::Result;
use crate::layout::StripeAt;
use crate::layout::bucket::{CELLS, Cell, Form};
use crate::region::Region;

/// Addresses of the newest bindings of the keys in a bucket's chain; seldom more than one bucket has.
pub(crate) type Newest = SmallVec<[u64; CELLS]>;

/// How many buckets ahead of the visitor memory is asked for: for the bucket itself, then for the records it leads to.
const AHEAD: [u64; 2] = [8, 4];

/// The newest bindings of all keys in a bucket's chain. Buckets are visited in order, so what comes next is asked for.
pub(crate) fn newest_in(region: &Region, at: StripeAt, bucket: u64) -> Result<Newest> {
    let buckets = region.field(at.buckets()).load(Relaxed);
    let mut newest = Newest::new();
    if bucket >= buckets {
        return Ok(newest);
    }
    let mut chain = Chain::of(region, at, buckets, bucket)?;
    let [bucket_ahead, records_ahead] = AHEAD.map(|ahead| bucket + ahead);
    if bucket_ahead < buckets {
        region.prefetch(address_of(region, at, bucket_ahead));
    }
    if chain.form() == Form::Records
        && records_ahead < buckets
        && let Ok(chain) = Chain::of(region, at, buckets, records_ahead)
    {
        chain.words()[..CELLS].iter().for_each(|word| region.prefetch(Cell(word.load(Relaxed)).record()));
    }
    loop {
        newest.extend(chain.image().contents().map(|(cell, content)| content.newest(chain.at(), cell)));
        if !chain.advance()? {
            return Ok(newest);
        }
    }
}

//! Visiting all keys of a stripe.

use std::sync::atomic::Ordering::Relaxed;

use smallvec::SmallVec;

use super::buckets::{Chain, address_of};
use crate::Result;
use crate::layout::StripeAt;
use crate::layout::record::{CELLS, Cell};
use crate::region::Region;

/// The cells of a bucket's chain; seldom more than one bucket has.
pub(crate) type Cells = SmallVec<[Cell; CELLS]>;

/// How many buckets ahead of the visitor memory is asked for: for the bucket itself, then for the records it leads to.
const AHEAD: [u64; 2] = [8, 4];

/// The newest bindings of all keys in a bucket's chain. Buckets are visited in order, so what comes next is asked for.
pub(crate) fn bucket_cells(region: &Region, at: StripeAt, bucket: u64) -> Result<Cells> {
    let buckets = region.field(at.buckets()).load(Relaxed);
    let mut cells = Cells::new();
    if bucket >= buckets {
        return Ok(cells);
    }
    let mut chain = Chain::of(region, at, buckets, bucket)?;
    let [bucket_ahead, records_ahead] = AHEAD.map(|ahead| bucket + ahead);
    if bucket_ahead < buckets {
        region.prefetch(address_of(region, at, bucket_ahead));
    }
    if records_ahead < buckets
        && let Ok(chain) = Chain::of(region, at, buckets, records_ahead)
    {
        chain.bucket()[..CELLS].iter().for_each(|word| region.prefetch(Cell(word.load(Relaxed)).record()));
    }
    loop {
        cells.extend(
            chain.bucket()[..CELLS].iter().map(|word| Cell(word.load(Relaxed))).filter(|cell| !cell.is_empty()),
        );
        if !chain.advance()? {
            return Ok(cells);
        }
    }
}

//! Visiting all keys of a stripe.

use std::sync::atomic::Ordering::Relaxed;

use super::buckets::Chain;
use crate::Result;
use crate::layout::StripeAt;
use crate::layout::record::{CELLS, Cell};
use crate::region::Region;

/// The newest bindings of all keys in a bucket's chain.
pub(crate) fn bucket_cells(region: &Region, at: StripeAt, bucket: u64) -> Result<Vec<Cell>> {
    let buckets = region.field(at.buckets()).load(Relaxed);
    let mut cells = Vec::new();
    if bucket >= buckets {
        return Ok(cells);
    }
    let mut chain = Chain::of(region, at, buckets, bucket)?;
    loop {
        cells.extend(
            chain.bucket()[..CELLS].iter().map(|word| Cell(word.load(Relaxed))).filter(|cell| !cell.is_empty()),
        );
        if !chain.advance()? {
            return Ok(cells);
        }
    }
}

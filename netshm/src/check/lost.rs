//! Used blocks and segments, whether anything refers to them or not.

use std::ops::Range;

use super::Report;
use super::blocks::Blocks;
use super::runs::RunMap;
use crate::Result;
use crate::layout::run::Use;
use crate::store::Store;

/// What the stripes of an object use, as far as its runs and chunks can be walked.
pub(crate) struct UsedBlocks<'a> {
    store: &'a Store,
    runs: RunMap<'a>,
}

impl<'a> UsedBlocks<'a> {
    pub(crate) fn read(store: &'a Store) -> Result<Self> {
        Ok(UsedBlocks { store, runs: RunMap::read(store.region(), &mut Report::default())? })
    }

    /// Addresses of the used blocks of a stripe.
    pub(crate) fn blocks(&mut self, stripe: u32) -> Vec<u64> {
        Blocks::read(self.store.region(), stripe, &mut self.runs, &mut Report::default()).used().collect()
    }

    /// Where the segments of a stripe's index lie.
    pub(crate) fn segments(&self, stripe: u32) -> Vec<Range<u64>> {
        self.runs.contents(Use::Segment, stripe).collect()
    }
}

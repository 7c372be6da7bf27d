//! Used blocks and segments, whether anything refers to them or not.

use std::sync::atomic::Ordering::Relaxed;

use super::Report;
use super::blocks::Blocks;
use super::runs::RunMap;
use crate::error::Result;
use crate::index::MOST_BUCKETS;
use crate::layout::run::{RUN_HEADER, RunAt, Use};
use crate::store::Store;

/// Blocks that the stripes of an object use, as far as its runs and chunks can be walked.
pub(crate) struct UsedBlocks<'a> {
    store: &'a Store,
    runs: RunMap<'a>,
}

impl<'a> UsedBlocks<'a> {
    pub(crate) fn read(store: &'a Store) -> Result<Self> {
        Ok(UsedBlocks { store, runs: RunMap::read(store, &store.members()?, &mut Report::default())? })
    }

    /// Returns the addresses of the used blocks of a stripe.
    pub(crate) fn blocks(&mut self, stripe: u32) -> Vec<u64> {
        Blocks::read(self.store.region(), stripe, &mut self.runs, &mut Report::default()).used().collect()
    }

    /// Returns the addresses of the segments of a stripe's index, and the number of buckets they have room for.
    pub(crate) fn segments(&self, stripe: u32) -> Vec<(u64, u64)> {
        let form = self.store.geometry().form;
        let segments = self.runs.contents(Use::Segment, stripe).filter_map(|content| {
            let run = RunAt(content.start - RUN_HEADER);
            let buckets = self.store.region().word(run.buckets().bytes()).ok()?.load(Relaxed);
            let fit = buckets <= MOST_BUCKETS && form.segment_bytes(buckets) <= content.end - content.start;
            fit.then_some((content.start, buckets))
        });
        segments.collect()
    }
}

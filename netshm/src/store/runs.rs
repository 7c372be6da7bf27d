//! The runs of an object, one after the other, and what they hold for whom.

use std::sync::atomic::Ordering::Relaxed;

use super::{Limits, Store, group};
use crate::error::Result;
use crate::layout::run::{RunAt, RunHead, Use};

/// Attempts to look at all runs without a lock.
const TRIES: u32 = 64;

/// The bytes of an object's runs.
pub(crate) struct Sizes {
    /// By stripe, over the whole object.
    by_stripe: Vec<u64>,
    pub(crate) free: u64,
}

impl Sizes {
    /// Returns the bytes of a stripe's runs.
    pub(crate) fn of(&self, stripe: u32) -> u64 {
        self.by_stripe.get(stripe as usize).copied().unwrap_or(0)
    }
}

impl Store {
    /// Calls back for each run, in order, with its end; returns the end of the managed area. The run heap is locked.
    pub(super) fn walk_runs(&self, mut each: impl FnMut(RunAt, RunHead, u64) -> Result<()>) -> Result<u64> {
        let (region, geometry) = (self.region(), self.geometry());
        let end = region.field(geometry.stripe(geometry.meta()).top()).load(Relaxed);
        let mut at = geometry.data_start();
        if end < at || !end.is_multiple_of(geometry.pagesize) || end > geometry.max_size {
            return Err(region.corrupt(end, "the end of the managed area is wrong"));
        }
        // So that all of it is there.
        region.words(end, 1)?;
        while at < end {
            let head = RunHead(region.word(at)?.load(Relaxed));
            let next = head.pages().checked_mul(geometry.pagesize).and_then(|bytes| at.checked_add(bytes));
            let Some(next) = next.filter(|next| *next > at && *next <= end) else {
                return Err(region.corrupt(at, "the size of a run is wrong"));
            };
            each(RunAt(at), head, next)?;
            at = next;
        }
        Ok(end)
    }

    /// Returns the bytes of the runs of each stripe.
    pub(crate) fn sizes(&self, limits: Limits) -> Result<Sizes> {
        self.check_fork()?;
        if !self.region().object().read_only() {
            let deadline = group::own_deadline(limits);
            return group::with_slot(self, &deadline, |slot| self.with_meta(slot, &deadline, || self.sizes_now()));
        }
        // Runs that are joined or split meanwhile look like damage.
        (1..TRIES).find_map(|_| self.sizes_now().ok()).map_or_else(|| self.sizes_now(), Ok)
    }

    fn sizes_now(&self) -> Result<Sizes> {
        let mut sizes = Sizes { by_stripe: vec![0; self.all_stripes().end as usize], free: 0 };
        self.walk_runs(|run, head, end| {
            let bytes = end - run.0;
            if head.is_free() {
                sizes.free += bytes;
                return Ok(());
            }
            let content = Use::from_word(self.region().word(run.use_word().bytes())?.load(Relaxed));
            if let Some((Use::Chunk | Use::Segment | Use::Large, stripe)) = content
                && let Some(sum) = sizes.by_stripe.get_mut(stripe as usize)
            {
                *sum += bytes;
            }
            Ok(())
        })?;
        Ok(sizes)
    }
}

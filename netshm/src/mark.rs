//! The dirty mark of an object: set while the object may differ from what its storage is known to hold.
//!
//! ```text
//! 0   clean      storage holds every change
//! 2   noted      a change is about to be made; the mark itself may not have reached storage
//! 1   durable    the mark has: pages that change may follow in any order
//! ```
//! It changes only under a stripe's lock or the meta lock, so that the holder of all of them can clear it. A writer that finds
//! it noted flushes too: the one that noted it may have died before the flush. A flush that fails leaves it as it is.

use crate::os::atomic::{AtomicU64, Ordering::*};
use crate::os::steps;

const CLEAN: u64 = 0;
/// Initial value of a fresh object.
pub(crate) const DURABLE: u64 = 1;
const NOTED: u64 = 2;

/// The dirty mark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark<'a>(pub(crate) &'a AtomicU64);

impl Mark<'_> {
    /// Returns whether the mark is durable, so that changes can be made.
    #[inline(always)]
    pub(crate) fn is_durable(self) -> bool {
        // SYNC POINT: mark. Pairs with the exchange at the end of `note`.
        self.0.load(Acquire) == DURABLE
    }

    /// Makes the mark durable. `flush` writes it to storage.
    pub(crate) fn note<E>(self, flush: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let _ = self.0.compare_exchange(CLEAN, NOTED, AcqRel, Acquire);
        steps::step();
        flush()?;
        // SYNC POINT: mark. A writer that sees it durable does not flush.
        let _ = self.0.compare_exchange(NOTED, DURABLE, AcqRel, Acquire);
        steps::step();
        Ok(())
    }

    /// Clears the mark; all changes are in storage. The caller excludes every writer.
    pub(crate) fn clear(self) {
        self.0.store(CLEAN, Release);
        steps::step();
    }
}

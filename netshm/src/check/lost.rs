//! Used blocks, whether anything refers to them or not.

use super::Report;
use super::blocks::Blocks;
use super::runs::RunMap;
use crate::Result;
use crate::store::Store;

/// The used blocks of an object, by stripe, as far as its chunks can be walked.
pub(crate) struct LostBlocks<'a> {
    store: &'a Store,
    runs: RunMap<'a>,
}

impl<'a> LostBlocks<'a> {
    pub(crate) fn read(store: &'a Store) -> Result<Self> {
        Ok(LostBlocks { store, runs: RunMap::read(store.region(), &mut Report::default())? })
    }

    /// Addresses of the used blocks of a stripe.
    pub(crate) fn of_stripe(&mut self, stripe: u32) -> Vec<u64> {
        Blocks::read(self.store.region(), stripe, &mut self.runs, &mut Report::default()).used().collect()
    }
}

//! Locks between the threads of one process, for what the kernel sees as one owner.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Owners, Patience};
use crate::Result;

/// How long a thread sleeps between looks at its patience.
const LOOK: Duration = Duration::from_millis(20);

/// Some locks, each held by a slot.
pub(crate) struct LocalLocks {
    holders: Mutex<Vec<Option<u32>>>,
    released: Condvar,
}

impl LocalLocks {
    pub(crate) fn new(count: u32) -> Self {
        LocalLocks { holders: Mutex::new(vec![None; count as usize]), released: Condvar::new() }
    }

    /// Waits for a lock. Who has it already gets it again.
    pub(crate) fn lock(&self, owners: &impl Owners, index: u32, slot: u32, patience: &Patience) -> Result<()> {
        let mut patience = patience.unwatched();
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match holders[index as usize] {
                Some(holder) if holder != slot => {
                    patience.check(owners, index, Some(holder))?;
                    holders = self.released.wait_timeout(holders, LOOK).unwrap_or_else(PoisonError::into_inner).0;
                }
                _ => {
                    holders[index as usize] = Some(slot);
                    return Ok(());
                }
            }
        }
    }

    /// Frees a lock held by `slot`.
    pub(crate) fn unlock(&self, index: u32, slot: u32) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if holders[index as usize] == Some(slot) {
            holders[index as usize] = None;
            drop(holders);
            self.released.notify_all();
        }
    }
}

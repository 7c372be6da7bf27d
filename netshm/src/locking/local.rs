//! Locks between the threads of one process, for what the kernel sees as one owner.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Owners, Patience};
use crate::Result;

/// How long a thread sleeps between looks at its patience.
const LOOK: Duration = Duration::from_millis(20);

/// Some locks, each held by a slot.
pub(crate) struct LocalLocks {
    state: Mutex<State>,
    released: Condvar,
}

struct State {
    holders: Vec<Option<u32>>,
    /// Threads that sleep; to wake nobody would cost a system call too.
    sleepers: usize,
}

impl LocalLocks {
    pub(crate) fn new(count: u32) -> Self {
        let state = State { holders: vec![None; count as usize], sleepers: 0 };
        LocalLocks { state: Mutex::new(state), released: Condvar::new() }
    }

    /// Waits for a lock. Who has it already gets it again.
    pub(crate) fn lock(&self, owners: &impl Owners, index: u32, slot: u32, patience: &Patience) -> Result<()> {
        let mut patience = patience.unwatched();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match state.holders[index as usize] {
                Some(holder) if holder != slot => {
                    patience.check(owners, index, Some(holder))?;
                    state.sleepers += 1;
                    state = self.released.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
                    state.sleepers -= 1;
                }
                _ => {
                    state.holders[index as usize] = Some(slot);
                    return Ok(());
                }
            }
        }
    }

    /// Frees a lock held by `slot`.
    pub(crate) fn unlock(&self, index: u32, slot: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.holders[index as usize] == Some(slot) {
            state.holders[index as usize] = None;
            let sleepers = state.sleepers;
            drop(state);
            if sleepers > 0 {
                self.released.notify_all();
            }
        }
    }
}

//! Reclaiming memory of dead writers before the object grows.
//!
//! Whoever recovers a dead writer only undoes its log. Runs in transit, and the segments of its log, stay noted in its slot
//! until somebody takes that slot, which may be never: then each death could cost the object some memory for good.

use std::sync::atomic::Ordering::Relaxed;

use super::Store;
use crate::error::Result;
use crate::locking::Deadline;

impl Store {
    /// Settles all slots without a living owner, as far as they can be settled. No lock but stripes may be held.
    #[cold]
    pub(super) fn reclaim(&self, own: u32, deadline: &Deadline) {
        for slot in (0..self.geometry().slots).filter(|&slot| slot != own) {
            if self.has_remains(slot) {
                // Damage is reported elsewhere; it must not prevent the object from growing.
                let _ = self.reclaim_slot(slot, deadline);
            }
        }
    }

    fn has_remains(&self, slot: u32) -> bool {
        let at = self.geometry().slot(slot);
        let link = self.geometry().log(slot).link();
        [at.transit(), at.adopted(), at.release(), link].into_iter().any(|place| self.field(place).load(Relaxed) != 0)
    }

    fn reclaim_slot(&self, slot: u32, deadline: &Deadline) -> Result<()> {
        self.recover_slot_owner(slot)?;
        if !self.claim_slot(slot, self.number(deadline)?) {
            return Ok(());
        }
        let outcome = self.undo_slot(slot).and_then(|()| {
            self.settle(slot, deadline)?;
            self.trim_log(slot, deadline, 0)
        });
        self.give_slot_back(slot);
        outcome
    }
}

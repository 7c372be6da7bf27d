//! Undoing what a dead writer left behind.
//!
//! One process at a time recovers a number: the one that locks the number's byte. It takes no other lock and allocates nothing
//! until the dead writer's stripes are free. An interrupted recovery is repeated by the next one, with the same result. Runs in
//! transit stay noted in the slot; whoever takes the slot next settles them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::processes::Byte;
use super::{Store, group};
use crate::error::{Error, Result};
use crate::events;
use crate::journal::Journal;
use crate::layout::{Offset, PROCESSES};
use crate::locking::word::Released;
use crate::locking::{Awaited, Deadline, Fate, Owners, retract, word_of};
use crate::log_word::LogWord;
use crate::os::atomic::in_one_order;
use crate::os::{futex, steps};
use crate::region::Region;

/// The numbers that threads of this process are recovering or taking: the kernel sees them as one owner of the bytes.
#[derive(Default)]
pub(crate) struct Recoveries(Mutex<BTreeSet<u32>>);

impl Recoveries {
    /// Returns whether a thread has a turn.
    pub(super) fn is_under_way(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Begins a turn at the number, unless another thread has it.
    pub(super) fn begin(&self, number: u32) -> Option<Turn<'_>> {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Built lazily: dropping a turn takes the lock and would end another thread's turn.
        numbers.insert(number).then(|| Turn { recoveries: self, number })
    }
}

/// A thread's turn at a number; ends when dropped.
pub(super) struct Turn<'a> {
    recoveries: &'a Recoveries,
    number: u32,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.recoveries.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Times that a lock word is seen to name a slot without an owner before the slot is taken to find out why.
const STALE_LOOKS: u32 = 16;

/// The pause between attempts to recover a number whose byte somebody else's shared lock keeps.
const SHIELDED_PAUSE: Duration = Duration::from_millis(5);

impl Store {
    /// Recovers every dead process, while others use the object.
    pub(super) fn recover_all(&self, deadline: &Deadline) -> Result<()> {
        let geometry = *self.geometry();
        let owners: BTreeSet<_> =
            (0..geometry.slots).map(|slot| self.field32(geometry.slot(slot).owner()).load(Relaxed)).collect();
        for number in 1..=PROCESSES {
            // A number may have slots though its word is 0: they lie in different pages, and not all may have reached the disk.
            let has_slots = owners.contains(&number);
            if self.field32(geometry.process(number)).load(Relaxed) == 0 && !has_slots {
                continue;
            }
            let mut wait = None;
            // Words in the middle of a change would be taken for damage, or for values that were never committed.
            while let fate @ Fate::Shielded { .. } = self.recover_number(number)?
                && has_slots
            {
                let wait = wait.get_or_insert_with(|| deadline.wait(Awaited::Recovery));
                wait.note(fate);
                wait.check(self, None)?;
                std::thread::sleep(wait.pause(SHIELDED_PAUSE));
            }
        }
        Ok(())
    }

    /// Recovers the owner of a slot if it is dead.
    pub(super) fn recover_slot_owner(&self, slot: u32) -> Result<Fate> {
        let number = in_one_order(self.field32(self.geometry().slot(slot).owner()));
        match number {
            0 => Ok(Fate::Gone),
            number if number > PROCESSES => {
                let place = self.geometry().slot(slot).log_word();
                Err(self.region().corrupt(place.bytes() & !63, "a slot names an owner that cannot exist"))
            }
            number if Some(number) == self.known_number() => Ok(Fate::Alive),
            number => self.recover_number(number),
        }
    }

    fn recover_number(&self, number: u32) -> Result<Fate> {
        if Some(number) == self.known_number() || self.lives(number)? {
            return Ok(Fate::Alive);
        }
        if self.region().object().read_only() {
            return Err(Error::NeedsRecovery { object: self.name() });
        }
        let Some(_turn) = self.shared.recoveries.begin(number) else {
            // Another thread of this process recovers it.
            std::thread::sleep(Duration::from_millis(1));
            return Ok(Fate::Gone);
        };
        // This process may have taken the number itself meanwhile; and if another one has the byte, it is recovering
        // the number, or has taken it after doing so.
        if Some(number) == self.known_number() {
            return Ok(Fate::Alive);
        }
        match self.lock_number(number)? {
            Byte::Locked => {}
            Byte::Owned => return Ok(Fate::Alive),
            Byte::Shared { reader } => return Ok(Fate::Shielded { reader }),
        }
        let outcome = self.recover_number_held(number);
        self.unlock_number(number);
        outcome.map(|()| Fate::Gone)
    }

    /// Recovers what a former owner of the number left; its byte is held by this process.
    ///
    /// Its slots are searched even if its word is 0, which proves nothing.
    pub(super) fn recover_number_held(&self, number: u32) -> Result<()> {
        let word = self.field32(self.geometry().process(number));
        let mut writers = 0;
        for slot in 0..self.geometry().slots {
            if self.field32(self.geometry().slot(slot).owner()).load(SeqCst) == number {
                writers += 1;
                self.undo_slot(slot)?;
                self.give_slot_back(slot);
                self.prefer_slot(slot);
            }
        }
        if word.load(SeqCst) != 0 {
            word.store(0, SeqCst);
            steps::step();
        }
        // A process that ended normally may leave its number, but no slot.
        if writers > 0 {
            self.tell_all();
            events::recovered(self.region().object().name(), number, writers);
        }
        Ok(())
    }

    /// Rolls back the logs of a slot and frees its stripes, the meta stripe first.
    pub(super) fn undo_slot(&self, slot: u32) -> Result<()> {
        let geometry = *self.geometry();
        let meta = geometry.meta();
        if word_of(self.region(), meta).load().owner() == Some(slot) {
            self.undo_meta()?;
            self.free_stripe(meta);
        }
        self.undo_log(geometry.slot(slot).log_word(), slot)?;
        for stripe in self.all_stripes() {
            if word_of(self.region(), stripe).load().owner() == Some(slot) {
                self.free_stripe(stripe);
            }
        }
        retract(self.region(), slot);
        Ok(())
    }

    /// Rolls back the log of the run heap.
    pub(super) fn undo_meta(&self) -> Result<()> {
        let geometry = *self.geometry();
        self.undo_log(geometry.stripe(geometry.meta()).top_end(), geometry.slots)
    }

    pub(super) fn undo_log(&self, word: Offset, log: u32) -> Result<()> {
        if LogWord(self.field(word)).own().entries() == 0 {
            return Ok(());
        }
        self.note_dirty()?;
        Journal::reopen(word, self.geometry().log(log), self.region())?.roll_back_to(self.region(), 0)
    }

    /// Returns where a log is that storage holds of another moment than the words that it names, if there is one.
    pub(super) fn inconsistent_log(&self) -> Result<Option<u64>> {
        let geometry = *self.geometry();
        let meta = (geometry.stripe(geometry.meta()).top_end(), geometry.slots);
        let slots = (0..geometry.slots).map(|slot| (geometry.slot(slot).log_word(), slot));
        for (length, log) in slots.chain([meta]) {
            if LogWord(self.field(length)).load().entries() == 0 {
                continue;
            }
            if !Journal::reopen(length, geometry.log(log), self.region())?.is_consistent(self.region())? {
                return Ok(Some(length.bytes()));
            }
        }
        Ok(None)
    }

    pub(super) fn free_stripe(&self, stripe: u32) {
        self.sequence(stripe).end_change();
        let word = word_of(self.region(), stripe);
        let (Released::Quiet | Released::Sleepers) = word.release();
        futex::wake(word.0, u32::MAX >> 1);
    }
}

impl Owners for Store {
    fn region(&self) -> &Region {
        &self.region
    }

    fn take_over(&self, stripe: u32, slot: u32) -> Result<Fate> {
        let word = word_of(&self.region, stripe);
        for _ in 0..STALE_LOOKS {
            if word.load().owner() != Some(slot) {
                return Ok(Fate::Gone);
            }
            if in_one_order(self.field32(self.geometry().slot(slot).owner())) != 0 {
                return self.recover_slot_owner(slot);
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        if self.region.object().read_only() {
            return Err(Error::NeedsRecovery { object: self.name() });
        }
        // A writer owns its slot as long as any lock word names it. So what names the slot while it is owned here is stale, and
        // nobody else changes it; if the slot cannot be taken, it has a new owner, which is probed next.
        let number = match self.known_number() {
            Some(number) => number,
            None => match self.take_number_now()? {
                Ok(number) => number,
                Err(none) => return Ok(none),
            },
        };
        if self.claim_slot(slot, number) {
            let outcome = self.undo_slot(slot);
            self.give_slot_back(slot);
            self.tell_all();
            outcome?;
        }
        Ok(Fate::Gone)
    }

    fn probe(&self, slot: u32) -> Result<Fate> {
        self.recover_slot_owner(slot)
    }

    fn check_other_thread(&self, slot: u32) -> Result<()> {
        if group::is_apart(self, slot) { Err(self.outside_group(group::OWN)) } else { Ok(()) }
    }

    fn free_stale(&self, stripe: u32, slot: u32) -> Result<()> {
        debug_assert!(word_of(&self.region, stripe).load().owner() == Some(slot));
        if stripe == self.geometry().meta() {
            self.undo_meta()?;
        }
        self.free_stripe(stripe);
        Ok(())
    }

    fn pid(&self, slot: u32) -> Option<u32> {
        // A slot changes hands often, and so may its number: the pid counts only if the owner is still the same.
        let owner = self.field32(self.geometry().slot(slot).owner());
        let number = in_one_order(owner);
        if number == 0 || number > PROCESSES {
            return None;
        }
        let pid = in_one_order(self.field32(self.geometry().process(number)));
        (pid != 0 && in_one_order(owner) == number).then_some(pid)
    }
}

#[cfg(test)]
mod tests {
    use super::Recoveries;

    #[test]
    fn a_number_is_one_threads_at_a_time() {
        let recoveries = Recoveries::default();
        let turn = recoveries.begin(7);
        assert!(turn.is_some() && recoveries.is_under_way());
        assert!(recoveries.begin(7).is_none());
        assert!(recoveries.begin(7).is_none());
        assert!(recoveries.begin(8).is_some());
        drop(turn);
        assert!(recoveries.begin(7).is_some());
    }
}

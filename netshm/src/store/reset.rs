//! Resetting the words of writers when the object is opened and no writer lives.
//!
//! Locks, owners and process numbers are words in different pages. If the machine stopped, any of those pages may have reached
//! the disk without the others, and damage may change any of them; so no word says reliably which writers have to be recovered. But where
//! no process has a number, nobody owns anything: then all logs are undone, and all such words are set to what they are at
//! rest.

use std::collections::BTreeMap;
use std::iter;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::Store;
use crate::error::Result;
use crate::events;
use crate::layout::PROCESSES;
use crate::locking::{Deadline, retract, word_of};
use crate::os::steps;

impl Store {
    /// Undoes what dead writers left. The caller keeps others from opening the object meanwhile.
    pub(super) fn recover_or_reset(&self, deadline: &Deadline) -> Result<()> {
        // A number that this process has still, from a store that is being dropped, must not be given up here.
        if self.known_number().is_some() || !self.lock_all_numbers()? {
            return self.recover_all(deadline);
        }
        let outcome = self.reset();
        self.unlock_all_numbers();
        outcome
    }

    /// Resets everything; no process has a number or can take one. If this one dies, the next opener repeats it.
    fn reset(&self) -> Result<()> {
        let geometry = *self.geometry();
        // The run heap comes first, as where a single writer died in a meta change. A damaged log does not keep the others
        // from being undone.
        let mut outcome = self.undo_meta();
        for slot in 0..geometry.slots {
            outcome = outcome.and(self.undo_log(geometry.slot(slot).log_word(), slot));
        }
        outcome?;
        for stripe in iter::once(geometry.meta()).chain(self.all_stripes()) {
            self.sequence(stripe).end_change();
            if !word_of(self.region(), stripe).load().is_free() {
                self.free_stripe(stripe);
            }
        }
        let mut writers = BTreeMap::new();
        for slot in 0..geometry.slots {
            retract(self.region(), slot);
            let owner = clear(self.field32(geometry.slot(slot).owner()));
            if owner != 0 {
                *writers.entry(owner).or_insert(0) += 1;
                self.prefer_slot(slot);
            }
        }
        for number in 1..=PROCESSES {
            clear(self.field32(geometry.process(number)));
        }
        if !writers.is_empty() {
            self.tell_all();
        }
        for (number, writers) in writers {
            events::recovered(self.region().object().name(), number, writers);
        }
        Ok(())
    }
}

/// Sets a word to 0 and returns its old value. A word that is 0 is not written, so that its page stays clean.
fn clear(word: &AtomicU32) -> u32 {
    let old = word.load(Relaxed);
    if old != 0 {
        word.store(0, SeqCst);
        steps::step();
    }
    old
}

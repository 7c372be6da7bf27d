//! The words that a transaction changes, each with an entry in its log.

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use super::transaction::Transaction;
use crate::error::Result;
use crate::heap::Memory;
use crate::heap::records::RunSource;
use crate::heap::runs::Runs;
use crate::layout::Offset;
use crate::layout::run::{RunAt, Use};
use crate::os::steps;
use crate::region::Region;

impl Transaction<'_> {
    /// Returns the number of log entries that can be made without growing the log.
    pub(crate) fn log_room(&self) -> u64 {
        self.tx.journal.capacity() - self.tx.journal.entries()
    }

    /// Returns the number of words logged so far: as long as that stays, nothing has changed.
    #[inline]
    pub(crate) fn entries(&self) -> u64 {
        self.tx.journal.entries()
    }

    /// Reads a field before the data area.
    #[inline]
    pub(crate) fn field(&self, place: Offset) -> u64 {
        self.store.field(place).load(Relaxed)
    }

    /// Changes a field before the data area, with an entry in the log.
    #[inline]
    pub(crate) fn set_field(&mut self, place: Offset, value: u64) -> Result<()> {
        debug_assert!(self.store.geometry().is_journalled(place.bytes()));
        self.change_word(place, self.store.field(place), |_| value)
    }

    /// Changes a word to `new(old)`, with an entry in the log.
    #[inline]
    pub(crate) fn modify(&mut self, place: Offset, new: impl FnOnce(u64) -> u64) -> Result<()> {
        self.change_word(place, self.store.region().journalled(place.bytes())?, new)
    }

    #[inline(always)]
    fn change_word(&mut self, place: Offset, word: &AtomicU64, new: impl FnOnce(u64) -> u64) -> Result<()> {
        let old = word.load(Relaxed);
        let new = new(old);
        if !self.tx.journal.is_ready() {
            self.reborrow().make_log_ready()?;
        }
        self.tx.journal.note(self.store.region(), place.bytes(), old, new)?;
        word.store(new, Release);
        steps::step();
        Ok(())
    }

    /// Writes an unused cell. Unlogged if the log is empty: then this change cannot have emptied the cell, so nothing would
    /// have to be restored.
    #[inline]
    pub(crate) fn write_unused<const N: usize>(&mut self, place: Offset, values: [u64; N]) -> Result<()> {
        let means_nothing = self.tx.journal.entries() == 0;
        let words: &[AtomicU64; N] = self.store.region().array_or(place.bytes())?;
        if means_nothing {
            self.audit_unlogged(place, N as u64);
        }
        for (i, (word, value)) in words.iter().zip(values).enumerate() {
            if means_nothing {
                word.store(value, Relaxed);
                steps::step();
            } else {
                self.change_word(place.word(i as u64), word, |_| value)?;
            }
        }
        Ok(())
    }

    /// Stores a smaller end of an area whose rest counts as unused. For the rest of this change that is not so: undoing
    /// restores the end, but the content past it only as far as it is logged.
    pub(crate) fn shorten(&mut self, end: Offset, value: u64) -> Result<()> {
        self.tx.vacated = true;
        self.write(end, value)
    }

    /// Returns whether this change has shortened an area, so that what lies past its end must be logged.
    pub(crate) fn has_shortened(&self) -> bool {
        self.tx.vacated
    }

    /// Checks, in tests, that words may be overwritten without an entry in the log.
    #[inline(always)]
    pub(crate) fn audit_unlogged(&self, place: Offset, words: u64) {
        self.tx.audit.store_unlogged(self.store, &self.tx.journal, place.bytes(), words);
    }

    /// Finds the place of the next entry, and grows the log if it has none.
    #[cold]
    fn make_log_ready(mut self) -> Result<()> {
        if self.tx.journal.has_room() {
            return Ok(());
        }
        self.reborrow().grow_log()?;
        if self.tx.journal.has_room() {
            return Ok(());
        }
        let slot = self.store.geometry().slot(self.tx.slot);
        Err(self.store.region().corrupt(slot.log_word().bytes(), "a log cannot be extended"))
    }

    fn grow_log(self) -> Result<()> {
        self.store.grow_log(self.tx.slot, self.deadline, &mut self.tx.journal)
    }
}

impl Memory for Transaction<'_> {
    fn region(&self) -> &Region {
        self.store.region()
    }

    #[inline]
    fn load(&self, place: Offset) -> Result<u64> {
        Ok(self.store.region().journalled(place.bytes())?.load(Relaxed))
    }

    #[inline]
    fn write(&mut self, place: Offset, value: u64) -> Result<()> {
        self.modify(place, |_| value)
    }

    #[inline]
    fn init(&mut self, place: Offset, value: u64) -> Result<()> {
        self.audit_unlogged(place, 1);
        // Release: not before the entries that preserve what the word held.
        self.store.region().word(place.bytes())?.store(value, Release);
        steps::step();
        Ok(())
    }

    #[inline]
    fn log(&mut self, place: Offset) -> Result<()> {
        let old = self.load(place)?;
        if !self.tx.journal.is_ready() {
            self.reborrow().make_log_ready()?;
        }
        self.tx.journal.note_untold(self.store.region(), place.bytes(), old)
    }
}

impl RunSource for Transaction<'_> {
    fn take_run(&mut self, bytes: u64, content: Use, owner: u32) -> Result<RunAt> {
        let run = self.store.take_run(self.tx.slot, self.deadline, bytes, content, owner)?;
        self.tx.transit += 1;
        // The run is filled only when it is known to be on its way.
        fence(Release);
        Ok(run)
    }

    fn release_chain(&mut self, first: RunAt) -> Result<()> {
        let release = self.store.geometry().slot(self.tx.slot).release();
        let next = self.load(release)?;
        self.write(first.release(), next)?;
        self.write(release, first.0)
    }

    fn content_bytes(&self, run: RunAt) -> Result<u64> {
        Runs::of(self.store.geometry()).content_bytes(self, run)
    }
}

//! Slots: what a running writer owns in the object.

use super::{Offset, Offset32};

pub(super) const SLOT_BYTES: u64 = 128;

/// The fields of a slot: one for each running writer. What every change touches lies in its first cache line, how its log has
/// been cut in the second.
///
/// Invariant: a multiple of [`WORD`](super::WORD), since the table of slots begins with a multiple of [`SLOT_BYTES`] and has
/// that for each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotAt(pub(super) u64);

impl SlotAt {
    /// Words from the owner to the last field that says whether something is left to be done.
    pub(crate) const HEAD_WORDS: usize = 2 + PENDING;

    /// Returns the place of the owner's process number; 0 while the slot is free.
    pub(crate) const fn owner(self) -> Offset32 {
        Offset32(self.0)
    }
    /// Returns the place of what the owner waits for: see `locking::wait`.
    pub(crate) const fn wait(self) -> Offset32 {
        Offset32(self.0 + 4)
    }
    /// Returns the place of the word that says since when the owner has waited: see `locking::waits`.
    pub(crate) const fn waits_since(self) -> Offset {
        Offset(self.0 + 8)
    }
    /// Returns the place of the first field that says whether something is left to be done for the slot. They lie side by side, as
    /// many as [`PENDING`]: from the word of the log to the runs on their way back.
    pub(crate) const fn pending(self) -> Offset {
        self.log_word()
    }
    /// Returns the place of the word that says which entries of the slot's log count: see `log_word`. When none does any more, the
    /// change is committed.
    pub(crate) const fn log_word(self) -> Offset {
        Offset(self.0 + 16)
    }
    /// Returns the place of the first of the runs on their way from the run heap to a stripe; written by meta changes.
    pub(crate) const fn transit(self) -> Offset {
        Offset(self.0 + 24)
    }
    /// Returns the flag that is 1 as soon as the runs in transit belong to their stripes; written by groups.
    pub(crate) const fn adopted(self) -> Offset {
        Offset(self.0 + 32)
    }
    /// Returns the place of the first of the runs on their way back to the run heap.
    pub(crate) const fn release(self) -> Offset {
        Offset(self.0 + 40)
    }
    /// Returns the place of the first of the words that say which entries of the log were left when a part of a change was undone:
    /// see `log_word`.
    pub(crate) const fn cuts(self) -> Offset {
        Offset(self.0 + 64)
    }
    /// Returns the place of the word that says in which epoch a change began, parts of which have been undone: see `Began`.
    pub(crate) const fn began(self) -> Offset {
        Offset(self.0 + 48)
    }
    /// Returns the place of the word that says how the owner waits, and what it holds meanwhile: see `locking::waits`.
    pub(crate) const fn waits_with(self) -> Offset {
        Offset(self.0 + 56)
    }
}

/// The number of fields of a slot that say whether something is left to be done for it.
pub(crate) const PENDING: usize = 4;
/// The number of words that say which entries of a log were left when a part of a change was undone.
pub(crate) const CUTS: usize = 8;

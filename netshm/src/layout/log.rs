//! Segments and entries of an undo log.

use super::{MAX_OBJECT, Offset};

pub(super) const LOG_BYTES: u64 = 1024;

/// A log segment: link, capacity, entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogAt(pub(crate) u64);

impl LogAt {
    /// Entries in a segment of the log table.
    pub(crate) const FIRST_CAPACITY: u64 = Self::capacity_of(LOG_BYTES);

    /// Bytes of an entry.
    pub(crate) const ENTRY_BYTES: u64 = 16;

    /// Returns the place of the address of the next segment; 0 stands for none.
    pub(crate) const fn link(self) -> Offset {
        Offset(self.0)
    }
    /// Returns the place of the number of entries that fit into the segment.
    pub(crate) const fn capacity(self) -> Offset {
        Offset(self.0.wrapping_add(8))
    }
    /// Returns the place that an entry names; the old word follows it.
    pub(crate) const fn entry(self, index: u64) -> Offset {
        Offset(self.0.wrapping_add(16 + index * Self::ENTRY_BYTES))
    }
    /// Returns the bytes of content for `entries` entries.
    pub(crate) const fn bytes_for(entries: u64) -> u64 {
        16 + entries * Self::ENTRY_BYTES
    }
    /// Returns the number of entries that fit into `bytes` bytes.
    pub(crate) const fn capacity_of(bytes: u64) -> u64 {
        (bytes - 16) / Self::ENTRY_BYTES
    }
}

/// The first word of a log entry: which word changes, and a part of a hash of what it becomes.
///
/// ```text
/// 44..=63  part of a hash of the new word and the state of the log, which no two entries of a log have in common
/// 0..=43   place of the word
/// 0        1 if it is not known what the word becomes, as its memory is filled without entries; nothing is hashed then
/// ```
/// So whoever finds pages of different moments, after a loss of power, notices that the entry and the word do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted(pub(crate) u64);

impl Noted {
    const HASH: u64 = !(MAX_OBJECT - 1);
    const UNTOLD: u64 = 1;

    /// Returns the entry for a word at `place` that becomes `new`; `state` is the log's before the entry.
    #[inline(always)]
    pub(crate) fn new(place: u64, state: u64, new: u64) -> Self {
        Noted(place | Self::hash(state, new))
    }
    /// Returns the entry for a word at `place` that may become anything.
    pub(crate) fn untold(place: u64) -> Self {
        Noted(place | Self::UNTOLD)
    }
    /// Returns the place of the word.
    #[inline]
    pub(crate) fn place(self) -> u64 {
        self.0 & !Self::HASH & !Self::UNTOLD
    }
    /// Returns whether it is known what the word becomes.
    pub(crate) fn tells(self) -> bool {
        self.0 & Self::UNTOLD == 0
    }
    /// Returns the same entry after it has been undone, so that the word becomes `old`, which it was before.
    pub(crate) fn undone(self, state: u64, old: u64) -> Self {
        if self.tells() { Self::new(self.place(), state, old) } else { self }
    }
    /// Returns whether the word may become `new`, by an entry that was made in that state of the log.
    pub(crate) fn agrees(self, state: u64, new: u64) -> bool {
        self.0 & Self::HASH == Self::hash(state, new)
    }
    /// Hashes a state and a word. An odd multiplier spreads each bit over all that are above it. The state is spread first:
    /// otherwise an entry of another epoch would agree with a word that differs just as the epochs do.
    #[inline(always)]
    fn hash(state: u64, new: u64) -> u64 {
        (new ^ state.wrapping_mul(0xD6E8_FEB8_6659_FD93)).wrapping_mul(0x9E37_79B9_7F4A_7C15) & Self::HASH
    }
}

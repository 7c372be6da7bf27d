//! The word of a log that says which of its entries count.
//!
//! ```text
//! 32..=63  epoch: counts up whenever entries cease to count, by a commit or by undoing
//! 0..=31   number of entries
//! ```
//! Within one change, the same word means the same entries and the same state of the object. So whoever reads past the
//! change learns from this word whether what has been read is of one moment.

use crate::os::atomic::{AtomicU64, Ordering::*, fence};
use crate::os::steps;

/// Content of the word of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogState(pub(crate) u64);

impl LogState {
    /// The most entries that can be counted.
    pub(crate) const MOST_ENTRIES: u64 = u32::MAX as u64;

    /// Returns the state of an epoch in which `entries` entries count.
    pub(crate) fn of(epoch: u32, entries: u64) -> Self {
        LogState(u64::from(epoch) << 32 | entries)
    }

    /// Returns the number of entries that count.
    #[inline(always)]
    pub(crate) fn entries(self) -> u64 {
        self.0 & Self::MOST_ENTRIES
    }

    /// Returns the number of times that entries have ceased to count.
    #[inline(always)]
    pub(crate) fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns the next epoch, in which that number of entries is left.
    #[inline(always)]
    fn cut(self, entries: u64) -> Self {
        LogState(((self.0 >> 32).wrapping_add(1) << 32) | entries)
    }
}

/// Number of epochs whose beginnings are remembered.
pub(crate) const CUTS: usize = 8;

/// Beginnings of the last epochs of a log, those that began with a part of a change being undone: the state then, so that whoever
/// reads past the change knows which of the entries still count. What a commit begins is not noted; the word for it is another
/// epoch's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cuts<'a>(pub(crate) &'a [AtomicU64; CUTS]);

impl Cuts<'_> {
    fn of(&self, epoch: u32) -> &AtomicU64 {
        &self.0[epoch as usize % CUTS]
    }

    /// Returns how many of the entries that counted in an epoch still do in a later one; `None` if that is not known. The later
    /// one has been loaded from the log's word.
    pub(crate) fn since(self, epoch: u32, later: u32) -> Option<u64> {
        let cuts = later.wrapping_sub(epoch);
        if cuts as usize > CUTS {
            return None;
        }
        let mut left = LogState::MOST_ENTRIES;
        for epoch in (1..=cuts).map(|cut| epoch.wrapping_add(cut)) {
            let state = LogState(self.of(epoch).load(Relaxed));
            if state.epoch() != epoch {
                return None;
            }
            left = left.min(state.entries());
        }
        Some(left)
    }
}

/// In which epoch a change began, once a part of it has been undone.
///
/// ```text
/// 32..=63  epoch that began when the last of these parts was undone: the present one, or the word is of another change
/// 0..=31   epoch in which the change began
/// ```
/// It lies in the page of the [`LogWord`], so that after a loss of power it is of the same moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began(pub(crate) u64);

impl Began {
    /// Returns what it becomes before a part is undone in `epoch`.
    pub(crate) fn next(self, epoch: u32) -> Self {
        let first = if (self.0 >> 32) as u32 == epoch { self.0 as u32 } else { epoch };
        Began(u64::from(epoch.wrapping_add(1)) << 32 | u64::from(first))
    }

    /// Returns in which epoch the change began, if the present one is `epoch`.
    pub(crate) fn first(self, epoch: u32) -> u32 {
        // It is stored before the epoch ends.
        let is_present = matches!(((self.0 >> 32) as u32).wrapping_sub(epoch), 0 | 1);
        if is_present { self.0 as u32 } else { epoch }
    }
}

/// The word of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWord<'a>(pub(crate) &'a AtomicU64);

impl LogWord<'_> {
    /// Returns what it holds.
    #[inline]
    pub(crate) fn load(self) -> LogState {
        // SYNC POINT: log entry. Pairs with the store in `count`. A fence, since std allows only relaxed loads from read-only
        // memory.
        let state = LogState(self.0.load(Relaxed));
        fence(Acquire);
        state
    }

    /// Returns what it holds, for the owner of the log.
    #[inline(always)]
    pub(crate) fn own(self) -> LogState {
        LogState(self.0.load(Relaxed))
    }

    /// Counts an entry that has been written, when the word held `state`.
    #[inline(always)]
    pub(crate) fn count(self, state: LogState) {
        self.count_all(state, 1);
    }

    /// Counts entries that have been written, together.
    #[inline(always)]
    pub(crate) fn count_all(self, state: LogState, entries: u64) {
        // SYNC POINT: log entry. Pairs with the load in `load`.
        self.0.store(state.0.wrapping_add(entries), Release);
        steps::step();
    }

    /// Lets no entry count any more: commits what has been changed, or ends undoing it.
    #[inline(always)]
    pub(crate) fn clear(self) {
        self.cut(0);
    }

    /// Lets only the first entries count, when what the others name has been undone. They can be written over then.
    pub(crate) fn cut_to(self, entries: u64, cuts: Option<Cuts<'_>>) {
        let state = self.own().cut(entries);
        if let Some(cuts) = cuts {
            // SYNC POINT: log entry. Not after the word; pairs with the load in `load`.
            cuts.of(state.epoch()).store(state.0, Relaxed);
            steps::step();
        }
        self.cut(entries);
        // No entry is written over before that; pairs with the fence in `after_reading`.
        fence(Release);
    }

    #[inline(always)]
    fn cut(self, entries: u64) {
        self.0.store(self.own().cut(entries).0, Release);
        steps::step();
    }

    /// Returns what it holds after entries of the log, or words that a change may be about to store, have been read.
    ///
    /// The epoch tells whether the entries were those that counted. If a word that was read had been changed already, the entry
    /// for it counts in what is returned.
    pub(crate) fn after_reading(self) -> LogState {
        // SYNC POINT: log entry. Pairs with the stores of changed words, which are Release, and with the fence in `cut_to`.
        fence(Acquire);
        self.load()
    }
}

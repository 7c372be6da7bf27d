//! The undo log: what a word held before it changed.
//!
//! An entry is written, then counted, then the word changes, each with a Release store: whoever finds the writer dead,
//! or looks from another processor, sees an entry for every changed word. Letting no entry count any more commits
//! ([`LogWord`]).

use std::collections::{BTreeMap, btree_map};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use crate::error::{Error, Result};
use crate::layout::{LogAt, Noted, Offset, WORD};
use crate::log_word::{Began, Cuts, LogState, LogWord};
use crate::os::steps;
use crate::region::Region;
use crate::source::led_to;

const _: () = assert!(crate::log_word::CUTS == crate::layout::CUTS);

/// Unit in which storage writes.
const PAGE: u64 = 4096;
/// More segments than a log can have: each is at least as large as all before it, up to a limit.
const MOST_SEGMENTS: usize = 1 << 16;

/// Greatest number of epochs between two entries: undone parts of the change that had entries.
const MOST_EPOCHS: u32 = 1024;
/// Attempts at finding the epochs of all entries.
const MOST_TRIES: u32 = 1 << 24;

/// The epochs of entries, from the last entry backwards.
struct Epochs {
    /// Epoch in which the change began.
    first: u32,
    /// Epoch of the entry found last; no earlier one has a later epoch.
    last: u32,
    /// Epoch of the one before, if only one entry speaks for `last`.
    before: Option<u32>,
    tries: u32,
}

impl Epochs {
    /// Returns which of the values the word becomes, according to an entry.
    fn find(&mut self, noted: Noted, index: u64, values: [u64; 2]) -> Option<u64> {
        let most = MOST_EPOCHS.min(self.tries).min(self.last.wrapping_sub(self.first).saturating_add(1));
        for back in 0..most {
            let epoch = self.last.wrapping_sub(back);
            let state = LogState::of(epoch, index).0;
            if let Some(value) = values.into_iter().find(|value| noted.agrees(state, *value)) {
                self.before = (back > 0).then_some(self.last);
                (self.last, self.tries) = (epoch, self.tries - back);
                return Some(value);
            }
        }
        self.tries -= most;
        None
    }

    /// Forgets the entry found last: that of a change which was not stored agrees with some epoch by chance,
    /// once in a few hundred times. Returns whether there was one.
    fn forget_last(&mut self) -> bool {
        let before = self.before.take();
        self.last = before.unwrap_or(self.last);
        before.is_some()
    }
}

/// A segment after the first, with the number of its first entry.
#[derive(Debug, Clone, Copy)]
struct Segment {
    at: LogAt,
    first: u64,
    capacity: u64,
}

/// A log, as seen by its writer, or by a reader that looks past the writer's change.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Place of its [`LogWord`].
    word: Offset,
    first: LogAt,
    /// The segments linked after the first.
    more: Vec<Segment>,
    entries: u64,
    /// Place of the next entry, and the number of further entries that fit in the same segment; if that is 0, the place has to
    /// be looked up.
    next: Offset,
    left: u64,
}

impl Journal {
    /// Returns an empty log whose first segment, in the log table, is `first`.
    #[inline]
    pub(crate) fn new(word: Offset, first: LogAt) -> Self {
        Journal { word, first, more: Vec::new(), entries: 0, next: first.entry(0), left: LogAt::FIRST_CAPACITY }
    }

    /// Turns this into the empty log of another slot.
    #[inline]
    pub(crate) fn renew(&mut self, word: Offset, first: LogAt) {
        self.more.clear();
        (self.word, self.first, self.entries) = (word, first, 0);
        (self.next, self.left) = (first.entry(0), LogAt::FIRST_CAPACITY);
    }

    fn segment(&self, index: usize) -> Segment {
        match index.checked_sub(1) {
            Some(index) => self.more[index],
            None => Segment { at: self.first, first: 0, capacity: LogAt::FIRST_CAPACITY },
        }
    }

    /// Opens the log as it was left, to roll it back.
    pub(crate) fn reopen(word: Offset, first: LogAt, region: &Region) -> Result<Self> {
        let mut journal = Journal::new(word, first);
        let entries = LogWord(region.field(word)).load().entries();
        journal.reach(region, entries)?;
        journal.entries = entries;
        journal.seek();
        Ok(journal)
    }

    /// Adds all segments that hold the first `entries` entries.
    pub(crate) fn reach(&mut self, region: &Region, entries: u64) -> Result<()> {
        self.reach_while(region, entries, || true).map(drop)
    }

    /// Works like [`reach`](Self::reach) as long as the log `is` what it was: that is asked before each step. Returns whether it was.
    pub(crate) fn reach_while(&mut self, region: &Region, entries: u64, is: impl Fn() -> bool) -> Result<bool> {
        while self.capacity() < entries {
            let next = led_to!(self.next_segment(region)?);
            if !is() {
                return Ok(false);
            }
            if next == 0 {
                return Err(region.corrupt(self.word.bytes(), "a log has more entries than room"));
            }
            self.extend_to(region, next)?;
        }
        Ok(true)
    }

    /// Returns the words of entries `from` to `until`, or of the first of them, which lie in a row. They have been reached.
    pub(crate) fn entries_in_a_row<'a>(&self, region: &'a Region, from: u64, until: u64) -> Result<&'a [AtomicU64]> {
        let segment = self.segment_of(from);
        let count = until.min(segment.first + segment.capacity) - from;
        match segment.first {
            0 => Ok(self.words_of(region, from)?.1),
            first => region.words(segment.at.entry(from - first).bytes(), 2 * count),
        }
    }

    /// Returns an entry, in a segment that has been reached: the place, and what it held.
    pub(crate) fn entry(&self, region: &Region, entry: u64) -> Result<[u64; 2]> {
        let [noted, old] = self.words_of(region, entry)?.1.each_ref().map(|word| word.load(Relaxed));
        Ok([Noted(noted).place(), old])
    }

    /// Returns the words of an entry, and their place.
    fn words_of<'a>(&self, region: &'a Region, entry: u64) -> Result<(Offset, &'a [AtomicU64; 2])> {
        let segment = self.segment_of(entry);
        let at = segment.at.entry(entry - segment.first);
        Ok((at, Self::pair(region, at)?))
    }

    /// Returns the number of entries so far: a savepoint to roll back to.
    #[inline]
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    #[inline(always)]
    fn word<'a>(&self, region: &'a Region) -> LogWord<'a> {
        LogWord(region.field(self.word))
    }

    /// Returns the number of entries that the log can hold.
    pub(crate) fn capacity(&self) -> u64 {
        let last = self.segment(self.more.len());
        last.first + last.capacity
    }

    /// Returns where the link to a further segment belongs.
    pub(crate) fn last_link(&self) -> Offset {
        self.segment(self.more.len()).at.link()
    }

    /// Returns whether only the first segment has been in use.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.more.is_empty()
    }

    /// Returns the segments after the first, the last one first, each with the one that leads to it.
    pub(crate) fn further_segments(&self) -> impl Iterator<Item = (LogAt, LogAt)> {
        (1..=self.more.len()).rev().map(|index| (self.segment(index - 1).at, self.segment(index).at))
    }

    /// Adds the next segment, if one is linked to the last. Returns whether there was one.
    pub(crate) fn extend(&mut self, region: &Region) -> Result<bool> {
        let next = self.next_segment(region)?;
        if next == 0 {
            return Ok(false);
        }
        self.extend_to(region, next).map(|()| true)
    }

    /// Returns the address of the segment that is linked to the last, or 0.
    fn next_segment(&self, region: &Region) -> Result<u64> {
        Ok(region.journalled(self.last_link().bytes())?.load(Relaxed))
    }

    fn extend_to(&mut self, region: &Region, next: u64) -> Result<()> {
        if self.more.len() >= MOST_SEGMENTS {
            return Err(region.corrupt(next, "a log has too many segments"));
        }
        let at = LogAt(next);
        let capacity = region.word(at.capacity().bytes())?.load(Relaxed);
        region.words(next, 2u64.saturating_add(capacity.saturating_mul(2)))?;
        if capacity == 0 {
            return Err(region.corrupt(next, "a log segment is empty"));
        }
        let first = self.capacity();
        if first == LogState::MOST_ENTRIES {
            return Err(Error::TooLarge { what: "a change", size: first * 16, limit: first * 16 });
        }
        // Segments that go in a circle would hold more than the object.
        if first.saturating_add(capacity) > region.known_words() / 2 + LogAt::FIRST_CAPACITY {
            return Err(region.corrupt(next, "the segments of a log are larger than the object"));
        }
        let capacity = capacity.min(LogState::MOST_ENTRIES - first);
        self.more.push(Segment { at, first, capacity });
        Ok(())
    }

    /// Returns whether the place of the next entry is known. If not, [`Journal::has_room`] finds it, if there is one.
    #[inline(always)]
    pub(crate) fn is_ready(&self) -> bool {
        self.left > 0
    }

    /// Returns whether the first segment has room for `entries` more, so that making them cannot fail.
    #[inline(always)]
    pub(crate) fn has_at_hand(&self, entries: u64) -> bool {
        self.left >= entries && self.more.is_empty()
    }

    /// Returns whether there is room for another entry.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        if self.left == 0 && self.entries < self.capacity() {
            self.seek();
        }
        self.left > 0
    }

    /// Returns the segment that an entry belongs to.
    fn segment_of(&self, entry: u64) -> Segment {
        self.segment(self.more.partition_point(|segment| segment.first <= entry))
    }

    /// Finds the place of the next entry.
    #[cold]
    fn seek(&mut self) {
        let segment = self.segment_of(self.entries);
        let used = self.entries - segment.first;
        (self.next, self.left) = (segment.at.entry(used), segment.capacity - used);
    }

    /// Logs the old word at `place`, and a part of a hash of the new one. There must be room.
    #[inline(always)]
    pub(crate) fn note(&mut self, region: &Region, place: u64, old: u64, new: u64) -> Result<()> {
        self.note_entry(region, |state| Noted::new(place, state, new), old)
    }

    /// Logs the old word at `place`, whose memory is then filled without further entries. There must be room.
    #[inline(always)]
    pub(crate) fn note_untold(&mut self, region: &Region, place: u64, old: u64) -> Result<()> {
        self.note_entry(region, |_| Noted::untold(place), old)
    }

    #[inline(always)]
    fn note_entry(&mut self, region: &Region, noted: impl FnOnce(u64) -> Noted, old: u64) -> Result<()> {
        debug_assert!(self.is_ready());
        let [first, second] = Self::pair(region, self.next)?;
        let word = self.word(region);
        let state = word.own();
        first.store(noted(state.0).0, Relaxed);
        second.store(old, Relaxed);
        steps::step();
        (self.next, self.left) = (self.next.word(LogAt::ENTRY_BYTES / WORD), self.left - 1);
        self.entries += 1;
        word.count(state);
        Ok(())
    }

    /// Returns whether an entry from number `from` on names the word at `place`.
    #[cfg(debug_assertions)]
    pub(crate) fn names(&self, region: &Region, place: u64, from: u64) -> bool {
        (from..self.entries).rev().any(|entry| self.entry(region, entry).is_ok_and(|[named, _]| named == place))
    }

    /// Returns whether the entries and the words that they name may be of one moment: not if storage has some of their pages as they
    /// were earlier or later, so that undoing the change could restore words where others are by now.
    ///
    /// A word must be what an entry for it says, before the change or after it. And an entry must be one of this very change: that
    /// shows in what the word becomes by it. Where the word is as before, a later entry in the same page shows it. One entry need not
    /// be shown, if all others show themselves: a writer that is stopped has counted an entry and not stored the word, or restored it
    /// and not noted that. Entries for words in a row may have been counted together ([`store::small`](crate::store)), so none of
    /// them need be shown.
    pub(crate) fn is_consistent(&self, region: &Region) -> Result<bool> {
        /// A word, as known on the way back from the present.
        struct Word {
            now: u64,
            /// Its content after the present entry, according to the later ones.
            then: u64,
            /// True if the entries explain the present content.
            is_told_of: bool,
        }
        let mut words: BTreeMap<u64, Word> = BTreeMap::new();
        // The page of entries that is known to be of this change from the present entry on.
        let mut shown = None;
        let mut may_be_cut_short = true;
        let mut is_mixed = false;
        let are_together = self.are_in_a_row(region)?;
        let last = self.word(region).load().epoch();
        let mut epochs = Epochs { first: self.first_epoch(region, last), last, before: None, tries: MOST_TRIES };
        for index in (0..self.entries).rev() {
            let (at, entry) = self.words_of(region, index)?;
            let [noted, old] = entry.each_ref().map(|word| word.load(Relaxed));
            let (noted, page) = (Noted(noted), at.bytes() / PAGE);
            let word = match words.entry(noted.place()) {
                btree_map::Entry::Occupied(word) => word.into_mut(),
                btree_map::Entry::Vacant(place) => {
                    let now = region.logged(noted.place())?.load(Relaxed);
                    place.insert(Word { now, then: now, is_told_of: false })
                }
            };
            word.is_told_of |= word.now == old;
            if !noted.tells() {
                (word.is_told_of, word.then) = (true, old);
                continue;
            }
            let mut found = epochs.find(noted, index, [old, word.then]);
            if found.is_none() && (are_together || may_be_cut_short) && epochs.forget_last() {
                may_be_cut_short = false;
                found = epochs.find(noted, index, [old, word.then]);
            }
            match found {
                // It has been undone already, or changed nothing.
                Some(value) if value == old => shown = Some(page),
                Some(_) => {
                    shown = Some(page);
                    word.is_told_of |= word.now == word.then;
                    word.then = old;
                }
                None if word.then != word.now => return Ok(false),
                None if shown == Some(page) => (word.then, is_mixed) = (old, true),
                None if are_together || std::mem::take(&mut may_be_cut_short) => word.then = old,
                None => return Ok(false),
            }
        }
        Ok((may_be_cut_short || !is_mixed) && words.values().all(|word| word.is_told_of))
    }

    /// Returns in which epoch the change began, if the present one is `epoch`: entries of an earlier one are another change's.
    fn first_epoch(&self, region: &Region, epoch: u32) -> u32 {
        let began = region.geometry().began(self.word);
        began.map_or(epoch, |place| Began(region.field(place).load(Relaxed)).first(epoch))
    }

    /// Returns whether the entries may be those of one small transaction.
    fn are_in_a_row(&self, region: &Region) -> Result<bool> {
        if self.entries > LogAt::FIRST_CAPACITY {
            return Ok(false);
        }
        let places = (0..self.entries).map(|index| Ok(self.entry(region, index)?[0])).collect::<Result<Vec<_>>>()?;
        Ok(places.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(8)))
    }

    /// Undoes the changes noted after `position`, the last one first.
    pub(crate) fn roll_back_to(&mut self, region: &Region, position: u64) -> Result<()> {
        let mut index = self.entries;
        if index <= position {
            return Ok(());
        }
        let epoch = self.word(region).own().epoch();
        while index > position {
            let segment = self.segment_of(index - 1);
            while index > position.max(segment.first) {
                index -= 1;
                let entry = segment.at.entry(index - segment.first);
                let words = Self::pair(region, entry)?;
                let [noted, old] = words.each_ref().map(|word| word.load(Relaxed));
                let noted = Noted(noted);
                region.logged(noted.place())?.store(old, Release);
                steps::step();
                // As if it had changed nothing: see `is_consistent`.
                words[0].store(noted.undone(LogState::of(epoch, index).0, old).0, Release);
            }
        }
        (self.entries, self.left) = (position, 0);
        if position > 0
            && let Some(place) = region.geometry().began(self.word)
        {
            let began = region.field(place);
            began.store(Began(began.load(Relaxed)).next(epoch).0, Release);
            steps::step();
        }
        // The length sinks only now: if this process dies before, all is undone once more, to the same end.
        let cuts = region.geometry().cuts_of(self.word).map(|cuts| Cuts(region.fields(cuts).words()));
        self.word(region).cut_to(position, cuts);
        Ok(())
    }

    /// Forgets all entries, if there are any: that is the commit.
    #[inline]
    pub(crate) fn commit(&mut self, region: &Region) {
        if self.entries > 0 {
            self.word(region).clear();
            (self.entries, self.left) = (0, 0);
        }
    }

    /// Returns the two words of an entry: in the log table, or in a segment of the data area.
    #[inline(always)]
    fn pair(region: &Region, entry: Offset) -> Result<&[AtomicU64; 2]> {
        if region.are_fields::<2>(entry) { Ok(region.fields(entry).words()) } else { Self::far_pair(region, entry) }
    }

    #[cold]
    fn far_pair(region: &Region, entry: Offset) -> Result<&[AtomicU64; 2]> {
        let words = region.words(entry.bytes(), 2)?;
        Ok(words.first_chunk().unwrap_or_else(|| unreachable!("two words have been asked for")))
    }
}

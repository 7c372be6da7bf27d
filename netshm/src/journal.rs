//! The undo log: what a word held before it changed.
//!
//! An entry is written, then counted, then the word changes, each with a Release store: whoever finds the writer dead,
//! or looks from another processor, sees an entry for every changed word. Storing 0 as the number of entries commits.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::Result;
use crate::layout::{LogAt, Place};
use crate::os::steps;
use crate::region::Region;

/// More segments than a log can have: each is at least as large as all before it, up to a limit.
const MOST_SEGMENTS: usize = 1 << 16;

/// One segment, with the number of its first entry.
#[derive(Debug, Clone, Copy)]
struct Segment {
    at: LogAt,
    first: u64,
    capacity: u64,
}

/// A writer's view of a log.
#[derive(Debug)]
pub(crate) struct Journal {
    length: Place,
    first: Segment,
    /// The segments linked behind the first.
    more: Vec<Segment>,
    entries: u64,
    capacity: u64,
    /// Segment of the next entry: 0 for the first, `n` for `more[n - 1]`.
    current: usize,
    /// The next entry in it, and how many more there is room for.
    next: Place,
    left: u64,
}

impl Journal {
    /// No log.
    #[inline]
    pub(crate) fn unused() -> Self {
        let first = Segment { at: LogAt(0), first: 0, capacity: 0 };
        Journal {
            length: Place(0),
            first,
            more: Vec::new(),
            entries: 0,
            capacity: 0,
            current: 0,
            next: Place(0),
            left: 0,
        }
    }

    /// Starts with a log whose number of entries is kept at `length` and whose first segment, in the log table, is
    /// `first`.
    #[inline]
    pub(crate) fn start(&mut self, length: Place, first: LogAt) {
        self.length = length;
        self.first = Segment { at: first, first: 0, capacity: LogAt::FIRST_CAPACITY };
        self.capacity = LogAt::FIRST_CAPACITY;
        self.seek();
    }

    /// An empty log.
    pub(crate) fn new(length: Place, first: LogAt) -> Self {
        let mut journal = Journal::unused();
        journal.start(length, first);
        journal
    }

    fn segment(&self, index: usize) -> Segment {
        if index == 0 { self.first } else { self.more[index - 1] }
    }

    /// Takes up the log as it was left, for rolling it back.
    pub(crate) fn reopen(length: Place, first: LogAt, region: &Region) -> Result<Self> {
        let mut journal = Journal::new(length, first);
        let entries = region.field(length).load(Acquire);
        while journal.capacity < entries {
            if !journal.extend(region)? {
                return Err(region.corrupt(length.0, "a log has more entries than room"));
            }
        }
        journal.entries = entries;
        journal.current = journal.more.len();
        journal.seek();
        Ok(journal)
    }

    /// Number of entries so far: a position to roll back to.
    #[inline]
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Entries that the log can hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Place where the link to a further segment belongs.
    pub(crate) fn last_link(&self) -> Place {
        self.segment(self.more.len()).at.link()
    }

    /// Whether only the first segment has been in use.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.more.is_empty()
    }

    /// The segments after the first, the last one first, each with the one that leads to it.
    pub(crate) fn further_segments(&self) -> impl Iterator<Item = (LogAt, LogAt)> {
        (1..=self.more.len()).rev().map(|index| (self.segment(index - 1).at, self.segment(index).at))
    }

    /// Takes in the next segment, if one is linked to the last.
    pub(crate) fn extend(&mut self, region: &Region) -> Result<bool> {
        let next = region.journalled(self.last_link().0)?.load(Relaxed);
        if next == 0 {
            return Ok(false);
        }
        if self.more.len() >= MOST_SEGMENTS {
            return Err(region.corrupt(next, "a log has too many segments"));
        }
        let at = LogAt(next);
        let capacity = region.word(at.capacity().0)?.load(Relaxed);
        region.words(next, 2u64.saturating_add(capacity.saturating_mul(2)))?;
        if capacity == 0 {
            return Err(region.corrupt(next, "a log segment is empty"));
        }
        self.more.push(Segment { at, first: self.capacity, capacity });
        self.capacity += capacity;
        Ok(true)
    }

    /// Whether another entry finds room.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.entries < self.capacity
    }

    /// Finds the place of the next entry.
    #[inline]
    fn seek(&mut self) {
        let segment = self.segment(self.current);
        let used = self.entries - segment.first;
        (self.next, self.left) = (segment.at.entry(used), segment.capacity - used);
    }

    #[cold]
    fn next_segment(&mut self) {
        self.current += 1;
        self.seek();
    }

    /// Notes what the word at `place` holds. There must be room.
    #[inline(always)]
    pub(crate) fn note(&mut self, region: &Region, place: u64, old: u64) -> Result<()> {
        debug_assert!(self.has_room());
        if self.left == 0 {
            self.next_segment();
        }
        let [first, second] = Self::raw_pair(region, self.next.0)?;
        first.store(place, Relaxed);
        second.store(old, Relaxed);
        steps::step();
        self.entries += 1;
        (self.next, self.left) = (Place(self.next.0 + LogAt::ENTRY_BYTES), self.left - 1);
        // SYNC POINT: log entry. Pairs with the load in `reopen`.
        region.field(self.length).store(self.entries, Release);
        steps::step();
        Ok(())
    }

    /// Undoes the changes noted after `position`, the last one first.
    pub(crate) fn roll_back_to(&mut self, region: &Region, position: u64) -> Result<()> {
        while self.entries > position {
            while self.segment(self.current).first >= self.entries {
                self.current -= 1;
            }
            let mut index = self.entries;
            let segment = self.segment(self.current);
            while index > position.max(segment.first) {
                index -= 1;
                let entry = segment.at.entry(index - segment.first).0;
                let [place, old] = Self::raw_pair(region, entry)?.map(|word| word.load(Relaxed));
                region.journalled(place)?.store(old, Release);
                steps::step();
            }
            self.entries = index;
        }
        self.seek();
        // The length sinks only now: if this process dies before, all is undone once more, to the same end.
        region.field(self.length).store(position, Release);
        steps::step();
        Ok(())
    }

    /// Forgets all entries: the store of 0 is the commit.
    #[inline]
    pub(crate) fn commit(&mut self, region: &Region) {
        region.field(self.length).store(0, Release);
        steps::step();
        self.entries = 0;
        self.current = 0;
        self.seek();
    }

    /// The two words of an entry: in the log table, or in a segment of the data area.
    #[inline(always)]
    fn raw_pair(region: &Region, entry: u64) -> Result<[&AtomicU64; 2]> {
        if entry < region.geometry().data_start() {
            return Ok([region.field(Place(entry)), region.field(Place(entry + 8))]);
        }
        let words = region.words(entry, 2)?;
        Ok([&words[0], &words[1]])
    }
}

//! Runs of pages: what the run heap hands out to stripes and logs.
//!
//! ```text
//! word 0   size in pages << 2 | previous run free << 1 | free
//! word 1   free: next free run of the class     used: next run in transit
//! word 2   free: previous one                   used: next run to be released
//! word 3   used: what it holds, for whom        free: where its content is a hole
//! word 4   used: next run of the same stripe    free: the second in which it became free
//! word 5   used: previous run of the same stripe
//! word 6   used, in a segment of an index: buckets that it has room for
//! last     free: size in pages
//! ```

use super::Offset;

/// Bytes before a run's content, a cache line.
pub(crate) const RUN_HEADER: u64 = 64;

const FREE: u64 = 1;
const PREVIOUS_FREE: u64 = 2;

/// The head word of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunHead(pub(crate) u64);

impl RunHead {
    pub(crate) const fn new(pages: u64, free: bool, previous_free: bool) -> Self {
        RunHead((pages << 2) | (free as u64 * FREE) | (previous_free as u64 * PREVIOUS_FREE))
    }
    pub(crate) const fn pages(self) -> u64 {
        self.0 >> 2
    }
    pub(crate) const fn is_free(self) -> bool {
        self.0 & FREE != 0
    }
    pub(crate) const fn previous_free(self) -> bool {
        self.0 & PREVIOUS_FREE != 0
    }
    pub(crate) const fn with_previous_free(self, free: bool) -> Self {
        RunHead::new(self.pages(), self.is_free(), free)
    }
}

/// Use of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Small records of a stripe.
    Chunk,
    /// Buckets of a stripe's index.
    Segment,
    /// One large record of a stripe.
    Large,
    /// Entries of a slot's log.
    Log,
    /// The text of a schema that took the place of an older one.
    Schema,
    /// Nothing: its memory is on the way back to the system.
    Hollow,
}

impl Use {
    const ALL: [Use; 6] = [Use::Chunk, Use::Segment, Use::Large, Use::Log, Use::Schema, Use::Hollow];

    /// Returns the word stored in a run: what it holds, and the stripe or slot that it is for.
    pub(crate) fn word(self, owner: u32) -> u64 {
        let number = Self::ALL.iter().position(|u| *u == self).unwrap_or(0) as u64 + 1;
        number << 32 | owner as u64
    }
    /// Decodes that word.
    pub(crate) fn from_word(word: u64) -> Option<(Use, u32)> {
        let number = (word >> 32).checked_sub(1)?;
        Some((*Self::ALL.get(usize::try_from(number).ok()?)?, word as u32))
    }
}

/// The unit in which holes are noted.
const HOLE_UNIT: u64 = 4096;

/// Two holes at most this far apart are taken for one: between them are the ends of the runs that they were in.
const MOST_BETWEEN: u64 = 2 * HOLE_UNIT;

/// The part of a free run that may be a hole of the file, as its word 3 says; it need not be one everywhere. It lies wholly between the
/// memory page of the run's head and that of its last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Hole {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// True if a considerable part of it may have memory, which can be given back.
    pub(crate) is_mixed: bool,
}

impl Hole {
    pub(crate) const NONE: Hole = Hole { start: 0, end: 0, is_mixed: false };

    /// Returns all of a run that can be a hole.
    pub(crate) const fn inside(start: u64, end: u64) -> Hole {
        let hole = Hole {
            start: super::round_up(start.saturating_add(RUN_HEADER), HOLE_UNIT),
            end: end.saturating_sub(super::WORD) / HOLE_UNIT * HOLE_UNIT,
            is_mixed: false,
        };
        if hole.start < hole.end { hole } else { Hole::NONE }
    }

    pub(crate) const fn is_none(self) -> bool {
        self.start >= self.end
    }

    pub(crate) const fn bytes(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Returns how many bytes surely have no memory.
    pub(crate) const fn empty_bytes(self) -> u64 {
        if self.is_mixed { 0 } else { self.bytes() }
    }

    /// Returns what a word says, as far as it can be true of the run.
    pub(crate) fn from_word(word: u64, start: u64, end: u64) -> Hole {
        let most = Hole::inside(start, end);
        let (first, second) = (word >> 32, u64::from(word as u32));
        // In this order, since the start is less than the end.
        let is_mixed = first > second;
        let hole = Hole { start: first.min(second) * HOLE_UNIT, end: first.max(second) * HOLE_UNIT, is_mixed };
        hole.within(most.start, most.end)
    }

    /// Returns the word to be stored: start and end, or, if it is mixed, end and start.
    pub(crate) const fn word(self) -> u64 {
        if self.is_none() {
            return 0;
        }
        let (first, second) = if self.is_mixed { (self.end, self.start) } else { (self.start, self.end) };
        ((first / HOLE_UNIT) << 32) | (second / HOLE_UNIT)
    }

    fn within(self, start: u64, end: u64) -> Hole {
        let hole = Hole { start: self.start.max(start), end: self.end.min(end), is_mixed: self.is_mixed };
        if hole.is_none() { Hole::NONE } else { hole }
    }

    /// Returns the part before a place, with the whole page of that place.
    pub(crate) fn up_to(self, place: u64) -> Hole {
        self.within(0, super::round_up(place, HOLE_UNIT))
    }

    /// Returns the part after the page of a place.
    pub(crate) fn behind(self, place: u64) -> Hole {
        self.within(super::round_up(place, HOLE_UNIT), u64::MAX)
    }

    /// Returns the smallest hole that holds both.
    pub(crate) fn hull(self, other: Hole) -> Hole {
        match (self.is_none(), other.is_none()) {
            (true, _) => other,
            (_, true) => self,
            _ => {
                let between = self.start.max(other.start).saturating_sub(self.end.min(other.end));
                let is_mixed = self.is_mixed || other.is_mixed || between > MOST_BETWEEN;
                Hole { start: self.start.min(other.start), end: self.end.max(other.end), is_mixed }
            }
        }
    }
}

/// The fields of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunAt(pub(crate) u64);

impl RunAt {
    pub(crate) const fn head(self) -> Offset {
        Offset(self.0)
    }
    /// Returns the place of the next free run of the class, or next run in transit.
    pub(crate) const fn next(self) -> Offset {
        Offset(self.0.wrapping_add(8))
    }
    /// Returns the place of the previous free run of the class.
    pub(crate) const fn previous(self) -> Offset {
        Offset(self.0.wrapping_add(16))
    }
    /// Returns the place of the next run to be released.
    pub(crate) const fn release(self) -> Offset {
        Offset(self.0.wrapping_add(16))
    }
    /// Returns the place of what it holds.
    pub(crate) const fn use_word(self) -> Offset {
        Offset(self.0.wrapping_add(24))
    }
    /// Returns the place of the note which part of a free run is a hole.
    pub(crate) const fn hole(self) -> Offset {
        Offset(self.0.wrapping_add(24))
    }
    /// Returns the place of the second in which a free run became free, as the system counts them.
    pub(crate) const fn since(self) -> Offset {
        Offset(self.0.wrapping_add(32))
    }
    /// Returns the place of the next run of the same stripe.
    pub(crate) const fn chain_next(self) -> Offset {
        Offset(self.0.wrapping_add(32))
    }
    /// Returns the place of the previous run of the same stripe.
    pub(crate) const fn chain_previous(self) -> Offset {
        Offset(self.0.wrapping_add(40))
    }
    /// Returns the place of the number of buckets that a segment of an index has room for.
    pub(crate) const fn buckets(self) -> Offset {
        Offset(self.0.wrapping_add(48))
    }
    /// Returns where its content starts.
    pub(crate) const fn content(self) -> u64 {
        self.0.wrapping_add(RUN_HEADER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_over_two_holes_tells_that_there_is_memory_between_them() {
        let [first, second] = [(1, 3), (9, 12)].map(|(start, end)| Hole {
            start: start * HOLE_UNIT,
            end: end * HOLE_UNIT,
            is_mixed: false,
        });
        let hull = first.hull(second);
        assert_eq!((hull.bytes(), hull.empty_bytes()), (11 * HOLE_UNIT, 0));
        assert_eq!(Hole::from_word(hull.word(), 0, 100 * HOLE_UNIT), hull);
        assert_eq!(hull.behind(4 * HOLE_UNIT), Hole { start: 4 * HOLE_UNIT, ..hull });
        assert_eq!(Hole::from_word(first.word(), 0, 100 * HOLE_UNIT), first);
        // Only the ends of two runs lie between these.
        let near = first.hull(Hole { start: 5 * HOLE_UNIT, ..second });
        assert_eq!(near.empty_bytes(), near.bytes());
        assert_eq!(first.hull(Hole::NONE), first);
    }
}

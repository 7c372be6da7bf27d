//! What the log of a change says, as a thread has read it and keeps it for its next readings.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::iter;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rapidhash::fast::RandomState;

use crate::error::Result;
use crate::journal::Journal;
use crate::layout::{LINE, Noted, WORD};
use crate::locking::word_of;
use crate::log_word::{Cuts, LogState, LogWord};
use crate::region::Region;
use crate::sequence::Stamp;
use crate::store::Store;

/// Entries read between two looks at whether they still count.
const LOOK_EACH: u64 = 4096;
/// Changes that a thread remembers to have looked past.
const REMEMBERED: usize = 4;
/// Most words that these changes have named; one of them may have named more. A word takes about 50 bytes.
const MOST_WORDS: usize = 1 << 21;
/// Time for which it does so. The epochs of a log wrap around after 2^32 changes, which take longer.
const MEMORY: Duration = Duration::from_secs(60);
/// In place of a number of a word: there is none.
const NONE: u32 = u32::MAX;

/// The number of a word for each cache line.
type Lines = HashMap<u64, u32, RandomState>;

thread_local! {
    /// Changes that this thread read past last, the latest one at the end: a log is read once, not once for each lookup.
    static LAST: RefCell<Vec<Past>> = const { RefCell::new(Vec::new()) };
}

/// Contents of words before one change, which is identified by its log's epoch.
pub(super) struct Past {
    /// The number of its store.
    store: u64,
    slot: u32,
    epoch: u32,
    /// A stripe that it changes, and the stripe's sequence: as long as that stays, it is still this change.
    tie: (u32, u64),
    /// When it was read last.
    met: Instant,
    journal: Journal,
    /// Number of entries read.
    entries: u64,
    /// Words that the log names, in the order of the entries that named them first.
    named: Vec<Named>,
    /// The number in `named` of the last word of each cache line.
    lines: Lines,
}

/// A word that the log names.
struct Named {
    place: u64,
    /// Its content before the change.
    old: u64,
    /// The entry that named it first.
    entry: u32,
    /// The number of the word of the same line that was named before.
    before: u32,
}

impl Past {
    /// Returns the change that a slot makes now, of a stripe with that stamp.
    pub(super) fn of(store: &Store, slot: u32, stripe: u32, stamp: Stamp<'_>) -> Past {
        let met = Instant::now();
        // A thread that ends has forgotten what it met before.
        let known = LAST.try_with(|last| {
            let mut last = last.borrow_mut();
            last.retain(|past| met - past.met < MEMORY);
            let known = last.iter().position(|past| past.is_of(store, slot));
            known.map(|known| last.remove(known))
        });
        let word = store.geometry().slot(slot).log_word();
        let fresh = || Past {
            store: store.id,
            slot,
            epoch: LogWord(store.field(word)).load().epoch(),
            tie: (stripe, stamp.value()),
            met,
            journal: Journal::new(word, store.geometry().log(slot)),
            entries: 0,
            named: Vec::new(),
            lines: HashMap::default(),
        };
        let mut past = known.ok().flatten().unwrap_or_else(fresh);
        (past.met, past.tie) = (met, (stripe, stamp.value()));
        past
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Returns the number of entries that have been read.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns whether it is what the slot changes now.
    fn is_of(&self, store: &Store, slot: u32) -> bool {
        let (stripe, sequence) = self.tie;
        (self.store, self.slot) == (store.id, slot)
            && (self.word(store.region()).load().epoch() == self.epoch || store.sequence(stripe).value() == sequence)
    }

    /// Keeps it for this thread's next readings.
    pub(super) fn remember(self) {
        let _ = LAST.try_with(|last| {
            let mut last = last.borrow_mut();
            if last.len() == REMEMBERED {
                last.remove(0);
            }
            if last.iter().chain([&self]).map(|past| past.named.len()).sum::<usize>() > MOST_WORDS {
                last.clear();
            }
            last.push(self);
        });
    }

    pub(super) fn word<'a>(&self, region: &'a Region) -> LogWord<'a> {
        LogWord(region.field(region.geometry().slot(self.slot).log_word()))
    }

    /// Goes on to the epoch of a state, if only parts of the change have been undone since: returns whether that could be. That it is
    /// the same change is still to be looked at.
    pub(super) fn follow(&mut self, region: &Region, state: LogState) -> bool {
        if state.epoch() == self.epoch {
            return true;
        }
        let cuts = Cuts(region.fields(region.geometry().slot(self.slot).cuts()).words());
        let Some(left) = cuts.since(self.epoch, state.epoch()) else { return false };
        while let Some(Named { place, before, .. }) = self.named.pop_if(|named| u64::from(named.entry) >= left) {
            match before {
                NONE => self.lines.remove(&(place / LINE)),
                before => self.lines.insert(place / LINE, before),
            };
        }
        self.entries = self.entries.min(left);
        self.epoch = state.epoch();
        true
    }

    /// Reads the entries that have come since, and tells `met` which words they name that none before did. Whether they are those
    /// of the same epoch is still to be looked at.
    pub(super) fn read_on(
        &mut self,
        region: &Region,
        stamp: Stamp<'_>,
        state: LogState,
        mut met: impl FnMut(u64),
    ) -> Result<()> {
        let word = self.word(region);
        // Otherwise a link may be to anywhere.
        let counts = || stamp.holds() && word.after_reading().epoch() == state.epoch();
        if !self.journal.reach_while(region, state.entries(), counts)? {
            return Ok(());
        }
        while self.entries < state.entries() {
            if self.entries.is_multiple_of(LOOK_EACH) && word.after_reading().epoch() != self.epoch {
                return Ok(());
            }
            let until = state.entries().min((self.entries / LOOK_EACH + 1) * LOOK_EACH);
            for entry in self.journal.entries_in_a_row(region, self.entries, until)?.as_chunks().0 {
                let [noted, old]: [u64; 2] = entry.each_ref().map(|word: &AtomicU64| word.load(Relaxed));
                let place = Noted(noted).place();
                region.journalled(place)?;
                if name(&mut self.named, &mut self.lines, self.entries, place, old) {
                    met(place);
                }
                self.entries += 1;
            }
        }
        Ok(())
    }

    /// Returns the words of a cache line that the log names.
    fn line(&self, line: u64) -> impl Iterator<Item = &Named> {
        let named = |number: u32| self.named.get(number as usize);
        iter::successors(self.lines.get(&line).and_then(|last| named(*last)), move |word| named(word.before))
    }

    /// Returns what the word held, if the log names it.
    pub(super) fn old(&self, offset: u64) -> Option<u64> {
        self.line(offset / LINE).find(|word| word.place == offset).map(|word| word.old)
    }

    /// Returns those of the `count` words from `offset` on that the log names, by number, with what they held.
    pub(super) fn old_of(&self, offset: u64, count: u64) -> impl Iterator<Item = (usize, u64)> {
        let last = offset + count.saturating_sub(1) * WORD;
        let words = (offset / LINE..=last / LINE).flat_map(|line| self.line(line));
        words.filter_map(move |word| {
            let index = word.place.checked_sub(offset)? / WORD;
            (index < count).then_some((index as usize, word.old))
        })
    }
}

/// Notes that an entry names a word, unless an older one does: that counts. Returns whether none did.
fn name(named: &mut Vec<Named>, lines: &mut Lines, entry: u64, place: u64, old: u64) -> bool {
    let number = named.len() as u32;
    let mut before = NONE;
    match lines.entry(place / LINE) {
        Entry::Vacant(line) => {
            line.insert(number);
        }
        Entry::Occupied(mut line) => {
            let mut words = iter::successors(named.get(*line.get() as usize), |word| named.get(word.before as usize));
            if words.any(|word| word.place == place) {
                return false;
            }
            before = line.insert(number);
        }
    }
    named.push(Named { place, old, entry: entry as u32, before });
    true
}

/// Returns whether this thread has looked before past the change that is under way in a stripe.
pub(in crate::store) fn is_known(store: &Store, stripe: u32) -> bool {
    let Some(slot) = word_of(store.region(), stripe).load().owner() else { return false };
    // A thread that ends has forgotten it.
    LAST.try_with(|last| last.borrow().iter().any(|past| past.is_of(store, slot))).unwrap_or(false)
}

/// Forgets changes of a store that have ended: what their logs said may have been large.
#[cold]
pub(in crate::store) fn forget_ended(store: &Store) {
    // A thread that ends has forgotten it.
    let _ =
        LAST.try_with(|last| last.borrow_mut().retain(|past| past.store != store.id || past.is_of(store, past.slot)));
}

/// Returns how many changes this thread remembers.
#[cfg(test)]
pub(in crate::store) fn remembered() -> usize {
    LAST.with_borrow(Vec::len)
}

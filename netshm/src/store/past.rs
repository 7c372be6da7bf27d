//! Reading past a change under way: the object as it was before, however long the change takes, and whoever makes it.
//!
//! The log of a change says what each word held that it has changed. A reader that finds a sequence odd takes the owner of
//! the stripe from its lock word, reads the owner's log, and then reads with the old words in place of the present ones.
//! Words that no entry names are read as they lie. If the change goes on meanwhile, new entries may name such words; then it is
//! read once more, from copies: after each of these has been made, the log says what in it has to be put right, so whatever the
//! change does later, the copy shows what was there before. If the change has been committed or undone meanwhile, the epoch of
//! its log tells. If only a part of it has been undone, the log says how many entries are left, and the reader goes on from there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use typed_arena::Arena;

use super::Store;
use super::read::{Attempt, View};
use crate::error::Result;
use crate::journal::Journal;
use crate::layout::{Offset, StripeAt, WORD};
use crate::locking::{Owners, word_of};
use crate::log_word::{Cuts, LogState, LogWord};
use crate::os::pause;
use crate::region::{ReadError, Region};
use crate::sequence::Stamp;
use crate::source::{Source, Stripe};

/// Entries read between two looks at whether they still count.
const LOOK_EACH: u64 = 4096;
/// More words in a row are handed out only if nothing has been found to be spoiled.
const TRUSTED_WORDS: u64 = 512;
/// A read copies at most this multiple of the object's words.
const MOST_COPIES: u64 = 16;
/// Times that entries may cease to count while a reader tries to keep up with a log, or to copy a few words.
const MOST_CUTS: u32 = 64;
/// Name of the pause at which tests let a change go on while it is read past.
pub(super) const HAS_BEGUN: &str = "a reader is about to look whose change it is";
pub(super) const LOG_HAS_BEEN_READ: &str = "entries of a log have been read";
pub(super) const IS_COPIED: &str = "words are about to be copied";
pub(super) const HAS_BEEN_READ: &str = "a stripe has been read past a change";
/// Between two looks at whether the owner of a stripe lives.
const PROBE_EACH: Duration = Duration::from_millis(1);
/// Groups of stripes that a thread remembers to have looked at one of.
const PROBED: usize = 8;

/// Changes that a thread remembers to have looked past.
const REMEMBERED: usize = 4;
/// Lines of these changes, at most; those of one may be more. A line takes about 100 bytes.
const MOST_LINES: usize = 1 << 20;
/// Time for which it does so. The epochs of a log begin anew after 2^32 changes, which take longer.
const MEMORY: Duration = Duration::from_secs(60);

/// A store, and when one of its stripes was looked at.
type Probed = Option<(u64, Instant)>;

thread_local! {
    /// Changes that this thread read past last, the latest one at the end: a log is read once, not once for each lookup.
    static LAST: RefCell<Vec<Past>> = const { RefCell::new(Vec::new()) };
    /// When this thread last looked whether the owners of stripes live.
    static PROBES: Cell<[Probed; PROBED]> = const { Cell::new([None; PROBED]) };
}

/// Contents of words before one change, which is identified by its log's epoch.
struct Past {
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
    lines: HashMap<u64, Line>,
    /// The entries that were the first to name their words, and the words.
    firsts: Vec<(u32, u64)>,
}

/// Words that share a cache line.
#[derive(Default)]
struct Line {
    /// Which of them the log names, a bit for each.
    named: u8,
    words: [u64; 8],
}

/// Returns where a word belongs: the number of its line, and its own.
fn spot(offset: u64) -> (u64, usize) {
    (offset / 64, (offset / WORD % 8) as usize)
}

impl Past {
    /// Returns the change that a slot makes now, of a stripe with that stamp.
    fn of(store: &Store, slot: u32, stripe: u32, stamp: Stamp<'_>) -> Past {
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
            lines: HashMap::new(),
            firsts: Vec::new(),
        };
        let mut past = known.ok().flatten().unwrap_or_else(fresh);
        (past.met, past.tie) = (met, (stripe, stamp.value()));
        past
    }

    /// Returns whether it is what the slot changes now.
    fn is_of(&self, store: &Store, slot: u32) -> bool {
        let (stripe, sequence) = self.tie;
        (self.store, self.slot) == (store.id, slot)
            && (self.word(store.region()).load().epoch() == self.epoch || store.sequence(stripe).value() == sequence)
    }

    /// Keeps it for this thread's next readings.
    fn remember(self) {
        let _ = LAST.try_with(|last| {
            let mut last = last.borrow_mut();
            if last.len() == REMEMBERED {
                last.remove(0);
            }
            if last.iter().chain([&self]).map(|past| past.lines.len()).sum::<usize>() > MOST_LINES {
                last.clear();
            }
            last.push(self);
        });
    }

    fn word<'a>(&self, region: &'a Region) -> LogWord<'a> {
        LogWord(region.field(region.geometry().slot(self.slot).log_word()))
    }

    /// Goes on to the epoch of a state, if only parts of the change have been undone since: returns whether that could be. That it is
    /// the same change is still to be looked at.
    fn follow(&mut self, region: &Region, state: LogState) -> bool {
        if state.epoch() == self.epoch {
            return true;
        }
        let cuts = Cuts(region.fields(region.geometry().slot(self.slot).cuts()).words());
        let Some(left) = cuts.since(self.epoch, state.epoch()) else { return false };
        while let Some((_, place)) = self.firsts.pop_if(|(entry, _)| u64::from(*entry) >= left) {
            let (line, word) = spot(place);
            if let Entry::Occupied(mut line) = self.lines.entry(line) {
                line.get_mut().named &= !(1 << word);
                if line.get().named == 0 {
                    line.remove();
                }
            }
        }
        self.entries = self.entries.min(left);
        self.epoch = state.epoch();
        true
    }

    /// Reads the entries that have come since, and tells `met` which words they name that none before did. Whether they are those
    /// of the same epoch is still to be looked at.
    fn read_on(&mut self, region: &Region, state: LogState, mut met: impl FnMut(u64)) -> Result<()> {
        self.journal.reach(region, state.entries())?;
        while self.entries < state.entries() {
            if self.entries.is_multiple_of(LOOK_EACH) && self.word(region).after_reading().epoch() != self.epoch {
                return Ok(());
            }
            let [place, old] = self.journal.entry(region, self.entries)?;
            region.journalled(place)?;
            let (line, word) = spot(place);
            let line = self.lines.entry(line).or_default();
            // The oldest entry counts.
            if line.named & 1 << word == 0 {
                line.named |= 1 << word;
                line.words[word] = old;
                self.firsts.push((self.entries as u32, place));
                met(place);
            }
            self.entries += 1;
        }
        Ok(())
    }

    /// Returns what the word held, if the log names it.
    fn old(&self, offset: u64) -> Option<u64> {
        let (line, word) = spot(offset);
        self.lines.get(&line).filter(|line| line.named & 1 << word != 0).map(|line| line.words[word])
    }

    /// Returns those of the `count` words from `offset` on that the log names, by number, with what they held.
    fn old_of(&self, offset: u64, count: u64) -> impl Iterator<Item = (usize, u64)> {
        let (first, last) = (spot(offset).0, spot(offset + count.saturating_sub(1) * WORD).0);
        let lines = (first..=last).filter_map(|line| Some((line * 64, self.lines.get(&line)?)));
        let words = lines.flat_map(|(start, line)| {
            (0..8)
                .filter(|word| line.named & 1 << word != 0)
                .map(move |word| (start + word * WORD, line.words[word as usize]))
        });
        words.filter_map(move |(place, old)| {
            let index = place.checked_sub(offset)? / WORD;
            (index < count).then_some((index as usize, old))
        })
    }
}

/// Outcome of a reading.
enum Fate {
    /// All that has been read was there at one moment.
    Holds,
    /// Words have been read that the change was about to store.
    Again,
    /// The change has ended.
    Gone,
}

/// A reading past a change.
pub(crate) struct Reading<'a> {
    region: &'a Region,
    stamp: Stamp<'a>,
    past: RefCell<Past>,
    /// Words read as they lie: from where on, and how many words.
    seen: RefCell<Vec<(u64, u64)>>,
    copies: Arena<AtomicU64>,
    /// Words that have been copied.
    copied: Cell<u64>,
    /// True if only copies are handed out.
    copies_all: bool,
    /// True if words have been handed out, or refused, that the change has changed.
    spoiled: Cell<bool>,
    /// True if the change has been seen to have ended.
    gone: Cell<bool>,
}

impl<'a> Reading<'a> {
    fn new(region: &'a Region, stamp: Stamp<'a>, past: Past, copies_all: bool) -> Self {
        Reading {
            region,
            stamp,
            past: RefCell::new(past),
            seen: RefCell::default(),
            copies: Arena::new(),
            copied: Cell::new(0),
            copies_all,
            spoiled: Cell::new(false),
            gone: Cell::new(false),
        }
    }

    /// Returns the epoch of the change's log, and its slot.
    pub(super) fn epoch(&self) -> (u32, u32) {
        let past = self.past.borrow();
        (past.slot, past.epoch)
    }

    /// Reads what the log says meanwhile, and looks what that means for what has been read.
    fn look(&self) -> Result<Fate> {
        if self.gone.get() {
            return Ok(Fate::Gone);
        }
        let mut past = self.past.borrow_mut();
        let epoch = past.epoch;
        let Some(mut met) = self.keep_up(&mut past)? else { return Ok(Fate::Gone) };
        let seen = self.seen.borrow();
        met.sort_unstable();
        let changed = |&(offset, count): &(u64, u64)| {
            let next = met.partition_point(|place| *place < offset);
            met.get(next).is_some_and(|place| place - offset < count * WORD)
        };
        // What was undone may have been read, though no entry tells any more.
        let was_cut = past.epoch != epoch && !seen.is_empty();
        if was_cut || !met.is_empty() && seen.iter().any(changed) {
            self.spoiled.set(true);
        }
        Ok(if self.spoiled.get() { Fate::Again } else { Fate::Holds })
    }

    /// Reads what the log says meanwhile. Returns the words that it has come to name; `None` if the change has ended, or undoes parts
    /// of itself too often.
    fn keep_up(&self, past: &mut Past) -> Result<Option<Vec<u64>>> {
        let word = past.word(self.region);
        let mut met = Vec::new();
        let (mut furthest, mut turns) = (past.entries, 0);
        while turns < MOST_CUTS {
            let state = word.after_reading();
            if !self.stamp.holds() || !past.follow(self.region, state) {
                break;
            }
            if state.entries() == past.entries {
                return Ok(Some(met));
            }
            let outcome = past.read_on(self.region, state, |place| met.push(place));
            pause::at(LOG_HAS_BEEN_READ);
            // Those that have been written over meanwhile lie behind the cut.
            if word.after_reading().epoch() == past.epoch && self.stamp.holds() {
                outcome?;
                return Ok(Some(met));
            }
            turns = if past.entries > furthest { 0 } else { turns + 1 };
            furthest = furthest.max(past.entries);
        }
        self.gone.set(true);
        Ok(None)
    }

    /// Copies words, by `copy`, until the log says what to put right in them. Returns whether it could.
    fn settle(&self, past: &mut Past, mut copy: impl FnMut()) -> Result<bool> {
        for _ in 0..MOST_CUTS {
            let epoch = past.epoch;
            pause::at(IS_COPIED);
            copy();
            if self.gone.get() || self.keep_up(past)?.is_none() {
                return Ok(false);
            }
            // Otherwise, what was copied may have been undone, and no entry tells any more.
            if past.epoch == epoch {
                return Ok(true);
            }
        }
        self.gone.set(true);
        Ok(false)
    }

    fn see(&self, offset: u64, count: u64) {
        self.seen.borrow_mut().push((offset, count));
    }

    /// Returns a field in front of the data area.
    fn past_or(&self, place: Offset, present: &AtomicU64) -> u64 {
        let mut past = self.past.borrow_mut();
        if let Some(old) = past.old(place.0) {
            return old;
        }
        let mut word = present.load(Relaxed);
        if !self.copies_all {
            self.see(place.0, 1);
            return word;
        }
        if self.settle(&mut past, || word = present.load(Relaxed)).is_err() {
            // The next words that are read say why.
            self.gone.set(true);
        }
        past.old(place.0).unwrap_or(word)
    }

    /// Returns the words as they lie, if the log names none of them, or else a copy that is right.
    fn patched<E: ReadError>(&self, offset: u64, words: &'a [AtomicU64]) -> Result<&[AtomicU64], E> {
        let count = words.len() as u64;
        let mut past = self.past.borrow_mut();
        if !self.copies_all {
            self.see(offset, count);
            if past.old_of(offset, count).next().is_none() {
                return Ok(words);
            }
        }
        // What has been copied lies in the part that is known to be there.
        self.copied.set(self.copied.get().saturating_add(count));
        if self.copied.get() > self.region.known_words().saturating_mul(MOST_COPIES) {
            return Err(E::corrupt(self.region, offset, "reading leads to more words than the object has"));
        }
        let copy = self.copies.alloc_extend(words.iter().map(|_| AtomicU64::new(0)));
        let mut load = || copy.iter_mut().zip(words).for_each(|(copy, word)| *copy.get_mut() = word.load(Relaxed));
        if !self.copies_all {
            load();
        } else if !matches!(self.settle(&mut past, load), Ok(true)) {
            self.gone.set(true);
            return Err(E::corrupt(self.region, offset, "changed while it was read"));
        }
        past.old_of(offset, count).for_each(|(index, old)| *copy[index].get_mut() = old);
        Ok(copy)
    }
}

impl<'a> Source<'a> for &'a Reading<'a> {
    type Stripe = PastStripe<'a>;

    fn region(self) -> &'a Region {
        self.region
    }
    fn stripe(self, at: StripeAt) -> PastStripe<'a> {
        PastStripe { reading: self, at }
    }
    fn field(self, place: Offset) -> u64 {
        self.past_or(place, self.region.field(place))
    }
    fn word_or<E: ReadError>(self, offset: u64) -> Result<&'a AtomicU64, E> {
        let word: &[AtomicU64; 1] = self.array_or(offset)?;
        Ok(&word[0])
    }
    fn words_or<E: ReadError>(self, offset: u64, count: u64) -> Result<&'a [AtomicU64], E> {
        let words = self.region.words_or(offset, count)?;
        // A wrong length would be believed, and memory allocated accordingly.
        if count > TRUSTED_WORDS && !self.copies_all && !matches!(self.look(), Ok(Fate::Holds)) {
            self.spoiled.set(true);
            return Err(E::corrupt(self.region, offset, "changed while it was read"));
        }
        self.patched(offset, words)
    }
    fn array_or<const N: usize, E: ReadError>(self, offset: u64) -> Result<&'a [AtomicU64; N], E> {
        let words = self.patched(offset, self.region.array_or::<N, E>(offset)?)?;
        Ok(words.first_chunk().unwrap_or_else(|| unreachable!("as many words as were handed in")))
    }
    fn words_from<E: ReadError>(self, offset: u64) -> Result<(&'a AtomicU64, &'a [AtomicU64]), E> {
        Ok((self.word_or(offset)?, &[]))
    }
}

/// A stripe as it was before a change.
#[derive(Clone, Copy)]
pub(crate) struct PastStripe<'a> {
    reading: &'a Reading<'a>,
    at: StripeAt,
}

impl Stripe for PastStripe<'_> {
    fn at(self) -> StripeAt {
        self.at
    }
    fn get(self, place: Offset) -> u64 {
        self.reading.past_or(place, self.reading.region.field(place))
    }
}

/// Returns whether this thread has looked before past the change that is under way in a stripe.
pub(super) fn is_known(store: &Store, stripe: u32) -> bool {
    let Some(slot) = word_of(store.region(), stripe).load().owner() else { return false };
    // A thread that ends has forgotten it.
    LAST.try_with(|last| last.borrow().iter().any(|past| past.is_of(store, slot))).unwrap_or(false)
}

/// Forgets changes of a store that have ended: what their logs said may have been large.
#[cold]
pub(super) fn forget_ended(store: &Store) {
    // A thread that ends has forgotten it.
    let _ =
        LAST.try_with(|last| last.borrow_mut().retain(|past| past.store != store.id || past.is_of(store, past.slot)));
}

/// Returns how many changes this thread remembers.
#[cfg(test)]
pub(super) fn remembered() -> usize {
    LAST.with_borrow(Vec::len)
}

/// Reads a stripe past the change that is under way: as it lies, or else from copies.
#[cold]
pub(super) fn attempt<R>(store: &Store, stripe: u32, read: impl Fn(View<'_>) -> Result<R>) -> Attempt<R> {
    let region = store.region();
    let Some(stamp) = store.sequence(stripe).begin_reading_past() else { return Attempt::Spoiled };
    pause::at(HAS_BEGUN);
    let Some(slot) = word_of(region, stripe).load().owner() else {
        // The writer may have ended since.
        return if stamp.holds() { Attempt::Busy } else { Attempt::Spoiled };
    };
    if slot >= store.geometry().slots {
        let place = store.geometry().stripe(stripe).lock().0;
        let damage = region.corrupt(place, "a lock word names an owner that cannot exist");
        return if stamp.holds() { Attempt::Done(Err(damage)) } else { Attempt::Spoiled };
    }
    let mut past = Past::of(store, slot, stripe, stamp);
    for copies_all in [false, true] {
        let reading = Reading::new(region, stamp, past, copies_all);
        // Before anything is read.
        let outcome = match reading.look() {
            Ok(Fate::Holds | Fate::Again) => read(View { store, stamp: Some(stamp), past: Some(&reading) }),
            Ok(Fate::Gone) => return Attempt::Spoiled,
            Err(error) => return Attempt::Done(Err(error)),
        };
        pause::at(HAS_BEEN_READ);
        // Copies are right already.
        let fate = match (copies_all, reading.gone.get()) {
            (true, true) => Ok(Fate::Gone),
            (true, false) => Ok(Fate::Holds),
            (false, _) => reading.look(),
        };
        past = reading.past.into_inner();
        match fate {
            Ok(Fate::Holds) => {
                past.remember();
                return Attempt::Past(outcome, slot);
            }
            Ok(Fate::Again) => {}
            Ok(Fate::Gone) => return Attempt::Spoiled,
            Err(error) => return Attempt::Done(Err(error)),
        }
    }
    Attempt::Spoiled
}

/// Looks whether the owner of a stripe lives, and recovers it if not; now and then. The reading that met it is done already.
pub(super) fn probe(store: &Store, stripe: u32, slot: u32) {
    let mut probes = PROBES.get();
    let probed = &mut probes[(store.id as usize).wrapping_add(stripe as usize) % PROBED];
    let now = Instant::now();
    // Stripes of one object that share a place take turns.
    let is_due = probed.is_none_or(|(id, at)| id != store.id || now - at >= PROBE_EACH);
    // Another thread sees to it already, which may take long.
    if is_due && !store.shared.recoveries.is_under_way() {
        *probed = Some((store.id, now));
        PROBES.set(probes);
        // What keeps it from being recovered shows where it is in the way.
        let _ = store.take_over(stripe, slot);
    }
}

//! Reading past a change under way: the object as it was before, however long the change takes, and whoever makes it.
//!
//! The log of a change says what each word held that it has changed. A reader that finds a sequence odd takes the owner of
//! the stripe from its lock word, reads the owner's log, and then reads with the old words in place of the present ones.
//! Words that no entry names are read as they lie. If the change goes on meanwhile, new entries may name such words; then it is
//! read once more, from copies: after each of these has been made, the log says what in it has to be put right, so whatever the
//! change does later, the copy shows what was there before. If the change has been committed or undone meanwhile, the epoch of
//! its log tells. If only a part of it has been undone, the log says how many entries are left, and the reader goes on from there.

mod change;

use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use typed_arena::Arena;

use self::change::Past;
#[cfg(test)]
pub(super) use self::change::remembered;
pub(super) use self::change::{forget_ended, is_known};
use super::Store;
use super::careful::Guarded;
use super::read::{Attempt, State, View};
use crate::error::Result;
use crate::layout::{Offset, StripeAt, WORD};
use crate::locking::{Owners, word_of};
use crate::os::pause;
use crate::region::{ReadError, Region};
use crate::sequence::Stamp;
use crate::source::{Source, Stripe, led_to};

/// More words in a row are handed out only if nothing has been found to be spoiled.
const TRUSTED_WORDS: u64 = 512;
/// A read copies at most this multiple of the object's words.
const MOST_COPIES: u64 = 16;
/// Times that entries may cease to count while a reader tries to keep up with a log, or to copy a few words.
const MOST_CUTS: u32 = 64;
/// Name of the pause at which tests let a change go on while it is read past.
pub(super) const HAS_BEGUN: &str = "a reader is about to look whose change it is";
pub(crate) const LOG_HAS_BEEN_READ: &str = "entries of a log have been read";
pub(super) const IS_COPIED: &str = "words are about to be copied";
pub(super) const IS_RIGHT: &str = "a copy is right";
pub(super) const HAS_BEEN_READ: &str = "a stripe has been read past a change";
/// Between two looks at whether the owner of a stripe lives.
const PROBE_EACH: Duration = Duration::from_millis(1);
/// Groups of stripes that a thread remembers to have looked at one of.
const PROBED: usize = 8;

/// A store, and when one of its stripes was looked at.
type Probed = Option<(u64, Instant)>;

thread_local! {
    /// When this thread last looked whether the owners of stripes live.
    static PROBES: Cell<[Probed; PROBED]> = const { Cell::new([None; PROBED]) };
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

    /// Returns what the stripe that is read can be known by.
    pub(super) fn state(&self) -> State {
        let past = self.past.borrow();
        State { sequence: self.stamp.value(), log: Some((past.slot(), past.epoch())) }
    }

    pub(super) fn region(&self) -> &'a Region {
        self.region
    }

    /// Returns whether a place that a word has led to may be looked at: always, unless it may be a hole of the file, if the word was
    /// not what it seemed.
    fn may_follow(&self) -> bool {
        if !self.stamp.needs_care() {
            return true;
        }
        match self.copies_all {
            false => matches!(self.look(), Ok(Fate::Holds)),
            // Words that come from copies are right, but the change may have ended.
            true => !self.gone.get() && matches!(self.keep_up(&mut self.past.borrow_mut()), Ok(Some(_))),
        }
    }

    /// Returns an error where a place may not be looked at.
    fn check<E: ReadError>(&self, offset: u64) -> Result<(), E> {
        if self.may_follow() {
            return Ok(());
        }
        self.spoiled.set(true);
        Err(E::corrupt(self.region, offset, "changed while it was read"))
    }

    /// Returns whether the change has not been seen to have ended.
    pub(super) fn holds(&self) -> bool {
        !self.gone.get()
    }

    /// Reads what the log says meanwhile, and looks what that means for what has been read.
    fn look(&self) -> Result<Fate> {
        if self.gone.get() {
            return Ok(Fate::Gone);
        }
        let mut past = self.past.borrow_mut();
        let epoch = past.epoch();
        let Some(mut met) = self.keep_up(&mut past)? else { return Ok(Fate::Gone) };
        let seen = self.seen.borrow();
        met.sort_unstable();
        let changed = |&(offset, count): &(u64, u64)| {
            let next = met.partition_point(|place| *place < offset);
            met.get(next).is_some_and(|place| place - offset < count * WORD)
        };
        // What was undone may have been read, though no entry shows it any more.
        let was_cut = past.epoch() != epoch && !seen.is_empty();
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
        let (mut furthest, mut turns) = (past.entries(), 0);
        while turns < MOST_CUTS {
            let state = word.after_reading();
            if !self.stamp.holds() || !past.follow(self.region, state) {
                break;
            }
            if state.entries() == past.entries() {
                return Ok(Some(met));
            }
            let outcome = past.read_on(self.region, self.stamp, state, |place| met.push(place));
            pause::at(LOG_HAS_BEEN_READ);
            // Those that have been written over meanwhile lie after the cut.
            if word.after_reading().epoch() == past.epoch() && self.stamp.holds() {
                outcome?;
                return Ok(Some(met));
            }
            turns = if past.entries() > furthest { 0 } else { turns + 1 };
            furthest = furthest.max(past.entries());
        }
        self.gone.set(true);
        Ok(None)
    }

    /// Copies words, by `copy`, until the log says what to put right in them. Returns whether it could.
    fn settle(&self, past: &mut Past, mut copy: impl FnMut()) -> Result<bool> {
        for _ in 0..MOST_CUTS {
            let epoch = past.epoch();
            pause::at(IS_COPIED);
            copy();
            if self.gone.get() || self.keep_up(past)?.is_none() {
                return Ok(false);
            }
            // Otherwise, what was copied may have been undone, and no entry shows it any more.
            if past.epoch() == epoch {
                pause::at(IS_RIGHT);
                return Ok(true);
            }
        }
        self.gone.set(true);
        Ok(false)
    }

    fn see(&self, offset: u64, count: u64) {
        self.seen.borrow_mut().push((offset, count));
    }

    /// Returns a field before the data area.
    fn past_or(&self, place: Offset, present: &AtomicU64) -> u64 {
        let mut past = self.past.borrow_mut();
        if let Some(old) = past.old(place.bytes()) {
            return old;
        }
        let mut word = present.load(Relaxed);
        if !self.copies_all {
            self.see(place.bytes(), 1);
            return word;
        }
        if self.settle(&mut past, || word = present.load(Relaxed)).is_err() {
            // The next words that are read say why.
            self.gone.set(true);
        }
        past.old(place.bytes()).unwrap_or(word)
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
    const MAY_LOOK_AHEAD: bool = false;

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
        let words = self.region.words_or(led_to!(offset), count)?;
        self.check(offset)?;
        // A wrong length would be believed, and memory allocated accordingly.
        if count > TRUSTED_WORDS && !self.copies_all && !matches!(self.look(), Ok(Fate::Holds)) {
            self.spoiled.set(true);
            return Err(E::corrupt(self.region, offset, "changed while it was read"));
        }
        self.patched(offset, words)
    }
    fn array_or<const N: usize, E: ReadError>(self, offset: u64) -> Result<&'a [AtomicU64; N], E> {
        let words = self.region.array_or::<N, E>(led_to!(offset))?;
        self.check(offset)?;
        let words = self.patched(offset, words)?;
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
        let place = store.geometry().stripe(stripe).lock().bytes();
        let damage = region.corrupt(place, "a lock word names an owner that cannot exist");
        return if stamp.holds() { Attempt::Done(Err(damage)) } else { Attempt::Spoiled };
    }
    let mut past = Past::of(store, slot, stripe, stamp);
    for copies_all in [false, true] {
        let reading = Reading::new(region, stamp, past, copies_all);
        // Before anything is read.
        let outcome = match reading.look() {
            Ok(Fate::Holds | Fate::Again) => {
                // Copies stay right when the change ends.
                let stamp = (!copies_all).then_some(stamp);
                read(View { store, stamp, guarded: Some(&Guarded::Past(&reading)) })
            }
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

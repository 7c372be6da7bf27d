//! Reading past a change under way: the object as it was before, however long the change takes, and whoever makes it.
//!
//! The log of a change says what each word held that it has changed. A reader that finds a sequence odd takes the owner of
//! the stripe from its lock word, reads the owner's log, and then reads with the old words in place of the present ones.
//! Words that no entry names are read as they lie. If the change goes on meanwhile, new entries may name such words: these
//! join the others, and it is read again, so at most once for each word that a reading needs. If the change has been
//! committed or undone meanwhile, the epoch of its log tells.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
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
use crate::log_word::{LogState, LogWord};
use crate::region::{ReadError, Region};
use crate::sequence::Stamp;
use crate::source::{Source, Stripe};

/// Entries read between two looks at whether they still count.
const LOOK_EACH: u64 = 4096;
/// More words in a row are handed out only if nothing has been found to be spoiled.
const TRUSTED_WORDS: u64 = 512;
/// A read copies at most this multiple of the object's words.
const MOST_COPIES: u64 = 16;
/// Between two looks at whether the owner of a stripe lives.
const PROBE_EACH: Duration = Duration::from_millis(1);
/// Stripes that a thread remembers to have read past.
const PROBED: usize = 8;

/// Changes that a thread remembers to have looked past.
const REMEMBERED: usize = 4;
/// Time for which it does so. The epochs of a log begin anew after 2^32 changes, which take longer.
const MEMORY: Duration = Duration::from_secs(60);

/// A stripe of a store, and when it was read.
type Probed = Option<(u64, u32, Instant)>;

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
    /// When it was read last.
    met: Instant,
    journal: Journal,
    /// Number of entries read.
    entries: u64,
    lines: HashMap<u64, Line>,
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
    /// Returns the change that a slot makes now.
    fn of(store: &Store, slot: u32) -> Past {
        let word = store.geometry().slot(slot).log_word();
        let epoch = LogWord(store.field(word)).load().epoch();
        let met = Instant::now();
        // A thread that ends has forgotten what it met before.
        let known = LAST.try_with(|last| {
            let mut last = last.borrow_mut();
            last.retain(|past| met - past.met < MEMORY);
            let known = last.iter().position(|past| (past.store, past.slot, past.epoch) == (store.id, slot, epoch));
            known.map(|known| last.remove(known))
        });
        let journal = || Journal::new(word, store.geometry().log(slot));
        let fresh =
            || Past { store: store.id, slot, epoch, met, journal: journal(), entries: 0, lines: HashMap::new() };
        let mut past = known.ok().flatten().unwrap_or_else(fresh);
        past.met = met;
        past
    }

    /// Keeps it for this thread's next readings.
    fn remember(self) {
        let _ = LAST.try_with(|last| {
            let mut last = last.borrow_mut();
            if last.len() == REMEMBERED {
                last.remove(0);
            }
            last.push(self);
        });
    }

    fn word<'a>(&self, region: &'a Region) -> LogWord<'a> {
        LogWord(region.field(region.geometry().slot(self.slot).log_word()))
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
    /// Words that may still be copied.
    left: Cell<u64>,
    /// True if words have been handed out, or refused, that the change has changed.
    spoiled: Cell<bool>,
}

impl<'a> Reading<'a> {
    fn new(region: &'a Region, stamp: Stamp<'a>, past: Past) -> Self {
        Reading {
            region,
            stamp,
            past: RefCell::new(past),
            seen: RefCell::default(),
            copies: Arena::new(),
            left: Cell::new(region.known_words().saturating_mul(MOST_COPIES)),
            spoiled: Cell::new(false),
        }
    }

    /// Returns the epoch of the change's log, and its slot.
    pub(super) fn epoch(&self) -> (u32, u32) {
        let past = self.past.borrow();
        (past.slot, past.epoch)
    }

    /// Reads what the log says meanwhile, and looks what that means for what has been read.
    fn look(&self) -> Result<Fate> {
        let mut past = self.past.borrow_mut();
        let word = past.word(self.region);
        let state = word.after_reading();
        let epoch = past.epoch;
        let goes_on = |state: LogState| state.epoch() == epoch && self.stamp.holds();
        if !goes_on(state) {
            return Ok(Fate::Gone);
        }
        if state.entries() != past.entries {
            let mut met = Vec::new();
            let outcome = past.read_on(self.region, state, |place| met.push(place));
            if !goes_on(word.after_reading()) {
                return Ok(Fate::Gone);
            }
            outcome?;
            met.sort_unstable();
            let changed = |&(offset, count): &(u64, u64)| {
                let next = met.partition_point(|place| *place < offset);
                met.get(next).is_some_and(|place| place - offset < count * WORD)
            };
            if !met.is_empty() && self.seen.borrow().iter().any(changed) {
                self.spoiled.set(true);
            }
        }
        Ok(if self.spoiled.get() { Fate::Again } else { Fate::Holds })
    }

    fn see(&self, offset: u64, count: u64) {
        self.seen.borrow_mut().push((offset, count));
    }

    /// Returns a field in front of the data area.
    fn past_or(&self, place: Offset, present: &AtomicU64) -> u64 {
        self.past.borrow().old(place.0).unwrap_or_else(|| {
            self.see(place.0, 1);
            present.load(Relaxed)
        })
    }

    /// Returns the words as they lie, if the log names none of them, or else a copy that is right.
    fn patched<E: ReadError>(&self, offset: u64, words: &'a [AtomicU64]) -> Result<&[AtomicU64], E> {
        let count = words.len() as u64;
        self.see(offset, count);
        let past = self.past.borrow();
        let mut old = past.old_of(offset, count).peekable();
        if old.peek().is_none() {
            return Ok(words);
        }
        let Some(left) = self.left.get().checked_sub(count) else {
            return Err(E::corrupt(self.region, offset, "reading leads to more words than the object has"));
        };
        self.left.set(left);
        let copy = self.copies.alloc_extend(words.iter().map(|word| AtomicU64::new(word.load(Relaxed))));
        old.for_each(|(index, old)| *copy[index].get_mut() = old);
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
        if count > TRUSTED_WORDS && !matches!(self.look(), Ok(Fate::Holds)) {
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
    let is_it = |past: &Past| {
        (past.store, past.slot) == (store.id, slot) && past.word(store.region()).load().epoch() == past.epoch
    };
    // A thread that ends has forgotten it.
    LAST.try_with(|last| last.borrow().iter().any(is_it)).unwrap_or(false)
}

/// Reads a stripe past the change that is under way.
#[cold]
pub(super) fn attempt<R>(store: &Store, stripe: u32, read: impl Fn(View<'_>) -> Result<R>) -> Attempt<R> {
    let region = store.region();
    let Some(stamp) = store.sequence(stripe).begin_reading_past() else { return Attempt::Spoiled };
    let Some(slot) = word_of(region, stripe).load().owner() else { return Attempt::Busy };
    if slot >= store.geometry().slots {
        let place = store.geometry().stripe(stripe).lock().0;
        let damage = region.corrupt(place, "a lock word names an owner that cannot exist");
        return if stamp.holds() { Attempt::Done(Err(damage)) } else { Attempt::Spoiled };
    }
    let mut past = Past::of(store, slot);
    loop {
        let reading = Reading::new(region, stamp, past);
        // Before anything is read.
        let outcome = match reading.look() {
            Ok(Fate::Holds | Fate::Again) => Some(read(View { store, stamp: Some(stamp), past: Some(&reading) })),
            Ok(Fate::Gone) => None,
            Err(error) => return Attempt::Done(Err(error)),
        };
        let fate = reading.look();
        past = reading.past.into_inner();
        match (fate, outcome) {
            (Ok(Fate::Holds), Some(outcome)) => {
                past.remember();
                return Attempt::Past(outcome, slot);
            }
            (Ok(Fate::Again), _) => {}
            (Ok(Fate::Gone), _) | (_, None) => return Attempt::Spoiled,
            (Err(error), _) => return Attempt::Done(Err(error)),
        }
    }
}

/// Looks whether the owner of a stripe lives, and recovers it if not; now and then. The reading that met it is done already.
pub(super) fn probe(store: &Store, stripe: u32, slot: u32) {
    let mut probes = PROBES.get();
    let probed = &mut probes[stripe as usize % PROBED];
    let now = Instant::now();
    let is_due = probed.is_none_or(|(id, of, at)| (id, of) != (store.id, stripe) || now - at >= PROBE_EACH);
    if is_due {
        *probed = Some((store.id, stripe, now));
        PROBES.set(probes);
        // What keeps it from being recovered shows where it is in the way.
        let _ = store.take_over(stripe, slot);
    }
}

//! Reading past a change under way, under all schedules that loom finds, at small bounds.
//!
//! The protocols are those of the library, word for word: its source files are compiled here with loom's atomics. What a
//! reader does with the entries of a log is modelled, as is the change itself.
#![allow(dead_code, unreachable_pub)]

use loom::sync::Arc;
use loom::sync::atomic::Ordering::{Relaxed, Release};
use loom::sync::atomic::{AtomicU32, AtomicU64};
use loom::thread;

use death::{die_in_turn, live};
use log_word::{CUTS, Cuts, LogWord};
use sequence::Sequence;
use word::{LockWord, Released};

#[path = "common/death.rs"]
mod death;
#[path = "../../netshm/src/log_word.rs"]
mod log_word;
#[path = "common/os.rs"]
mod os;
#[path = "../../netshm/src/sequence.rs"]
mod sequence;
#[path = "../../netshm/src/locking/word.rs"]
mod word;

const SLOT: u32 = 3;
/// Entries that a log has room for.
const ROOM: usize = 3;

/// Two words that belong together, with all that guards them.
struct Stripe {
    lock: AtomicU32,
    sequence: AtomicU64,
    words: [AtomicU64; 2],
    /// Which word, and what it held.
    log: [[AtomicU64; 2]; ROOM],
    log_word: AtomicU64,
    cuts: [AtomicU64; CUTS],
}

impl Stripe {
    fn new() -> Arc<Stripe> {
        Arc::new(Stripe {
            lock: AtomicU32::new(0),
            sequence: AtomicU64::new(4),
            words: [AtomicU64::new(1), AtomicU64::new(1)],
            log: std::array::from_fn(|_| [AtomicU64::new(0), AtomicU64::new(0)]),
            log_word: AtomicU64::new(7 << 32),
            cuts: std::array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    fn log(&self) -> LogWord<'_> {
        LogWord(&self.log_word)
    }

    fn begin(&self) {
        assert!(LockWord(&self.lock).try_take(SLOT));
        Sequence(&self.sequence).begin_change();
    }

    fn end(&self) {
        Sequence(&self.sequence).end_change();
        let (Released::Quiet | Released::Sleepers) = LockWord(&self.lock).release();
    }

    /// Changes a word, as the store does.
    fn set(&self, word: usize, value: u64) {
        let [place, old] = &self.log[self.log().own().entries() as usize];
        place.store(word as u64, Relaxed);
        old.store(self.words[word].load(Relaxed), Relaxed);
        die_in_turn();
        self.log().count(self.log().own());
        self.words[word].store(value, Release);
        die_in_turn();
    }

    /// Undoes what has been changed since the log had `entries` entries.
    fn roll_back_to(&self, position: u64) {
        for entry in (position..self.log().own().entries()).rev() {
            let [place, old] = self.log[entry as usize].each_ref().map(|word| word.load(Relaxed));
            self.words[place as usize].store(old, Release);
            die_in_turn();
        }
        self.log().cut_to(position, Some(Cuts(&self.cuts)));
    }

    fn commit(&self) {
        self.log().clear();
    }

    /// Acts as another process that finds the writer dead.
    fn recover(&self) {
        if LockWord(&self.lock).load().owner() == Some(SLOT) {
            if self.log().own().entries() > 0 {
                self.roll_back_to(0);
            }
            self.end();
        }
    }

    /// Reads as the library does, with or without a writer about; `None` if a reading is spoiled. Past a change, that is words as they
    /// lie, or else copies.
    fn read(&self, copies: bool) -> Option<[u64; 2]> {
        if let Some(stamp) = Sequence(&self.sequence).begin_reading() {
            let words = self.words.each_ref().map(|word| word.load(Relaxed));
            return stamp.holds().then_some(words);
        }
        let stamp = Sequence(&self.sequence).begin_reading_past()?;
        LockWord(&self.lock).load().owner()?;
        let mut epoch = self.log().load().epoch();
        // The words named, by which entry, and what they held.
        let mut past: [Option<(usize, u64)>; 2] = [None; 2];
        let mut read = 0;
        // Reads what the log says meanwhile; `None` if the change has ended.
        let mut keep_up = |past: &mut [Option<(usize, u64)>; 2]| {
            loop {
                let state = self.log().after_reading();
                if !stamp.holds() {
                    return None;
                }
                if state.epoch() != epoch {
                    let left = Cuts(&self.cuts).since(epoch, state.epoch())? as usize;
                    for word in past.iter_mut() {
                        *word = word.filter(|(entry, _)| *entry < left);
                    }
                    (epoch, read) = (state.epoch(), read.min(left));
                }
                if read == state.entries() as usize {
                    return Some(epoch);
                }
                for entry in read..state.entries() as usize {
                    let [place, old] = self.log[entry].each_ref().map(|word| word.load(Relaxed));
                    past.get_mut(place as usize)?.get_or_insert((entry, old));
                }
                read = state.entries() as usize;
                if self.log().after_reading().epoch() == epoch && stamp.holds() {
                    return Some(epoch);
                }
            }
        };
        let begin = keep_up(&mut past)?;
        if copies {
            // Each put right as soon as it is copied.
            let (mut words, mut epoch) = ([0; 2], begin);
            for (word, copy) in words.iter_mut().enumerate() {
                loop {
                    *copy = self.words[word].load(Relaxed);
                    let now = keep_up(&mut past)?;
                    if now == epoch {
                        break;
                    }
                    epoch = now;
                }
                if let Some((_, old)) = past[word] {
                    *copy = old;
                }
            }
            return Some(words);
        }
        // If nothing names them then or comes to name them.
        let named = past.map(|word| word.is_some());
        let words = [0, 1].map(|word| past[word].map_or_else(|| self.words[word].load(Relaxed), |(_, old)| old));
        let end = keep_up(&mut past)?;
        (begin == end && named == past.map(|word| word.is_some())).then_some(words)
    }
}

/// Runs a writer against a reader, which must see what was committed before or after each change. The writer dies after every third
/// step, and lives the last time.
fn check(committed: &'static [u64], deaths: u32, preemptions: usize, write: fn(&Stripe)) {
    for (steps, copies) in (0..=deaths).step_by(3).flat_map(|steps| [(steps, false), (steps, true)]) {
        let mut model = loom::model::Builder::new();
        // Copies take many more steps.
        model.preemption_bound = Some(if copies { 1 } else { preemptions });
        model.check(move || {
            let stripe = Stripe::new();
            let reader = {
                let stripe = stripe.clone();
                thread::spawn(move || stripe.read(copies))
            };
            let lived = live(if steps == deaths { u32::MAX } else { steps }, || write(&stripe));
            if !lived {
                stripe.recover();
            }
            let seen = reader.join().unwrap();
            let left = stripe.read(copies).expect("nobody is at work any more");
            let mut last = 0;
            for words in seen.into_iter().chain([left]) {
                let moment = committed.iter().position(|value| words == [*value; 2]);
                let moment = moment.unwrap_or_else(|| panic!("{words:?} was never committed"));
                assert!(moment >= last, "what was seen has been undone");
                last = moment;
            }
            assert!(!lived || left == [committed[committed.len() - 1]; 2]);
        });
    }
}

#[test]
fn a_commit() {
    check(&[1, 2], 12, 2, |stripe| {
        stripe.begin();
        stripe.set(0, 2);
        stripe.set(1, 2);
        stripe.commit();
        stripe.end();
    });
}

#[test]
fn a_whole_rollback() {
    check(&[1], 15, 2, |stripe| {
        stripe.begin();
        stripe.set(0, 9);
        stripe.set(1, 9);
        stripe.roll_back_to(0);
        stripe.end();
    });
}

/// The entry of what has been undone is written over with another one.
#[test]
fn a_partial_rollback() {
    check(&[1, 2], 0, 2, |stripe| {
        stripe.begin();
        stripe.set(1, 2);
        stripe.set(0, 9);
        stripe.roll_back_to(1);
        stripe.set(0, 2);
        stripe.commit();
        stripe.end();
    });
}

/// Two parts are undone, one after the other.
#[test]
fn two_partial_rollbacks() {
    check(&[1], 0, 1, |stripe| {
        stripe.begin();
        for value in [8, 9] {
            stripe.set(0, value);
            stripe.roll_back_to(0);
        }
        stripe.end();
    });
}

/// A word is changed twice: the older entry counts.
#[test]
fn a_word_that_changes_twice() {
    check(&[1, 2], 0, 2, |stripe| {
        stripe.begin();
        stripe.set(0, 9);
        stripe.set(0, 2);
        stripe.set(1, 2);
        stripe.commit();
        stripe.end();
    });
}

/// What a change commits before it ends is committed: the rest of it has an epoch of its own.
#[test]
fn a_commit_within_a_change() {
    check(&[1, 2, 3], 0, 1, |stripe| {
        stripe.begin();
        for value in [2, 3] {
            stripe.set(0, value);
            stripe.set(1, value);
            stripe.commit();
            loom::sync::atomic::fence(Release);
        }
        stripe.end();
    });
}

#[test]
fn a_second_change() {
    check(&[1, 2, 3], 0, 1, |stripe| {
        for value in [2, 3] {
            stripe.begin();
            stripe.set(0, value);
            stripe.set(1, value);
            stripe.commit();
            stripe.end();
        }
    });
}

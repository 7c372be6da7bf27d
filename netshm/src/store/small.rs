//! Small transactions: a few words in a row, in one stripe, under [`Locking::Futex`]. The short way of most changes.
//!
//! The steps are those of a [`Transaction`](super::Transaction), in the same order and with the same effect on others. What is
//! to be changed is looked for before anything is locked, so that the stripe is held for a moment only; the stripe's sequence
//! tells whether it still lies there. Where something is not at hand, nothing has been done, and an ordinary transaction follows.

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::slots::{SlotHead, last};
use super::{Store, group};
use crate::layout::method::Locking;
use crate::layout::{LogAt, Noted, Offset};
use crate::locking::word::{LockWord, Released};
use crate::locking::{give_back, take};
use crate::os::atomic::fence_after_swap;
use crate::os::steps;
use crate::region::Region;
use crate::sequence::{Sequence, Stamp};
use crate::watch_word::WatchWord;

/// The most words that a small transaction changes; its log is the first segment.
pub(crate) const MOST_WORDS: usize = 32;
const _: () = assert!(MOST_WORDS as u64 <= LogAt::FIRST_CAPACITY);

/// Finds the words of a value in its stripe: a closure, or a type of its own for what a closure would be called for.
pub(crate) trait Find<'a> {
    /// Returns the place and the words; `None` if an ordinary transaction must look for them.
    fn find(&self, region: &'a Region) -> Option<(Offset, &'a [AtomicU64])>;
}

impl<'a, F: Fn(&'a Region) -> Option<(Offset, &'a [AtomicU64])>> Find<'a> for F {
    #[inline(always)]
    fn find(&self, region: &'a Region) -> Option<(Offset, &'a [AtomicU64])> {
        self(region)
    }
}

/// Changes some words in a row, which `find` finds in a stripe. `new` gets them while the stripe is locked, and gives those to
/// store, if they are others, and what is returned. `None` if an ordinary transaction has to do it.
#[inline(always)]
pub(crate) fn change<'a, W: AsRef<[u64]>, R>(
    store: &'a Store,
    stripe: u32,
    find: impl Find<'a>,
    new: impl FnOnce(&'a [AtomicU64]) -> Option<(Option<W>, R)>,
) -> Option<R> {
    let (held, place, words) = seek(store, stripe, find)?;
    let (new, result) = new(words)?;
    match new {
        Some(new) => held.store(place, words, new.as_ref())?,
        None => drop(held),
    }
    Some(result)
}

/// Takes a slot and the stripe, and returns what `find` finds there.
#[inline(always)]
pub(super) fn seek<'a>(
    store: &'a Store,
    stripe: u32,
    find: impl Find<'a>,
) -> Option<(Held<'a>, Offset, &'a [AtomicU64])> {
    if group::open() > 0 || !store.is_ready() || store.method() != Locking::Futex {
        return None;
    }
    let region = store.region();
    let (lock, sequence) = region.stripe_head(store.geometry().stripe(stripe));
    let stamp = Sequence(sequence).begin_reading();
    let mut found = None;
    if stamp.is_some() {
        found = Some(find.find(region)?);
    }
    let held = Held::take(store, stripe, lock, Sequence(sequence))?;
    let (place, words) = match found {
        Some(found) if stamp.is_some_and(Stamp::holds) => found,
        _ => find_again(region, find)?,
    };
    Some((held, place, words))
}

/// Looks again, since somebody has changed the stripe meanwhile.
#[cold]
#[inline(never)]
fn find_again<'a>(region: &'a Region, find: impl Find<'a>) -> Option<(Offset, &'a [AtomicU64])> {
    find.find(region)
}

/// A slot and a stripe, given back when this is dropped.
pub(super) struct Held<'a>(Taken<'a>);

/// A slot and a stripe, with the fields of both that a change needs.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    store: &'a Store,
    pub(super) slot: u32,
    pub(super) stripe: u32,
    head: SlotHead<'a>,
    /// The lock word, and the word of waiters for changes.
    lock: &'a [AtomicU32; 2],
    sequence: Sequence<'a>,
}

impl Taken<'_> {
    /// Returns whether the slot is still this process's: not if others have taken it for dead.
    #[inline(always)]
    pub(super) fn is_owned(&self) -> bool {
        self.head.is_of(self.store.shared.numbers.at_hand())
    }
}

impl<'a> Held<'a> {
    /// Takes the slot used last and a stripe, if both are free and nothing has to be done before.
    #[inline(always)]
    fn take(store: &'a Store, stripe: u32, lock: &'a [AtomicU32; 2], sequence: Sequence<'a>) -> Option<Self> {
        let number = store.shared.numbers.at_hand();
        let (id, slot) = last();
        if id != store.id || number == 0 {
            return None;
        }
        let head = store.slot_head(slot);
        if !head.claim(number) {
            return None;
        }
        if !head.is_settled() || !take(LockWord(&lock[0]), slot) {
            head.give_back();
            return None;
        }
        let held = Held(Taken { store, slot, stripe, head, lock, sequence });
        // Not before: whoever clears the mark holds all stripes.
        if store.mark().is_durable() { Some(held) } else { None }
    }

    /// Leaves slot and stripe to the caller.
    #[inline(always)]
    pub(super) fn into_taken(self) -> Taken<'a> {
        let taken = self.0;
        std::mem::forget(self);
        taken
    }

    /// Returns the guard of a slot and a stripe that [`into_taken`](Self::into_taken) has left to the caller.
    #[inline(always)]
    pub(super) fn again(taken: Taken<'a>) -> Self {
        Held(taken)
    }

    /// Overwrites words with the same number of others, and gives slot and stripe back.
    #[inline(always)]
    pub(super) fn store(self, place: Offset, words: &[AtomicU64], new: &[u64]) -> Option<()> {
        if words.len() != new.len() || new.len() > MOST_WORDS {
            return None;
        }
        let Taken { store, slot, stripe, head, lock, sequence } = self.0;
        let log = store.region().fields::<{ 2 * MOST_WORDS }>(store.geometry().log(slot).entry(0)).words();
        let log_word = head.log_word();
        sequence.begin_change();
        let state = log_word.own();
        for (i, ((word, new), [noted, old])) in (0..).zip(words.iter().zip(new).zip(log.as_chunks().0)) {
            noted.store(Noted::new(place.bytes() + i * 8, state.0 + i, *new).0, Relaxed);
            old.store(word.load(Relaxed), Relaxed);
            steps::step();
        }
        log_word.count_all(state, new.len() as u64);
        for (word, new) in words.iter().zip(new) {
            word.store(*new, Release);
            steps::step();
        }
        log_word.clear();
        sequence.end_change();
        std::mem::forget(self);
        let released = LockWord(&lock[0]).release();
        fence_after_swap();
        if released == Released::Sleepers || WatchWord(&lock[1]).is_watched() {
            store.wake_waiters(stripe, released, true);
        }
        head.give_back();
        Some(())
    }
}

impl Drop for Held<'_> {
    /// Takes the parts by value, so that nothing else has to lie in memory.
    #[inline(always)]
    fn drop(&mut self) {
        unchanged(self.0.lock, self.0.head);
    }
}

/// Gives slot and stripe back where nothing has been changed.
#[inline(never)]
fn unchanged(lock: &[AtomicU32; 2], head: SlotHead<'_>) {
    give_back(LockWord(&lock[0]));
    head.give_back();
}

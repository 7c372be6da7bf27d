//! Small transactions: a few words in a row, in one stripe, under [`Locking::Futex`]. The short way of most changes.
//!
//! The steps are those of a [`Transaction`](super::Transaction), in the same order and with the same effect on others. What is
//! to be changed is looked for before anything is locked, so that the stripe is held for a moment only; the stripe's sequence
//! tells whether it still lies there. Where something is not at hand, nothing has been done, and an ordinary transaction follows.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::slots::LAST;
use super::{Store, group};
use crate::layout::method::Locking;
use crate::layout::{LogAt, Noted, Offset};
use crate::locking::word::LockWord;
use crate::locking::{give_back, take};
use crate::log_word::LogWord;
use crate::os::atomic::fence_after_swap;
use crate::os::steps;
use crate::region::Region;
use crate::sequence::Stamp;
use crate::watch_word::WatchWord;

/// The most words that a small transaction changes; its log is the first segment.
pub(crate) const MOST_WORDS: usize = 32;
const _: () = assert!(MOST_WORDS as u64 <= LogAt::FIRST_CAPACITY);

/// Changes some words in a row, which `find` finds in a stripe. `new` gets them while the stripe is locked, and gives those to
/// store, if they are others, and what is returned. `None` if an ordinary transaction has to do it.
#[inline(always)]
pub(crate) fn change<'a, W: AsRef<[u64]>, R>(
    store: &'a Store,
    stripe: u32,
    find: impl Fn(&'a Region) -> Option<(Offset, &'a [AtomicU64])>,
    new: impl FnOnce(&'a [AtomicU64]) -> Option<(Option<W>, R)>,
) -> Option<R> {
    let (mut held, place, words) = seek(store, stripe, find)?;
    let (new, result) = new(words)?;
    if let Some(new) = new {
        held.store(place, words, new.as_ref())?;
    }
    Some(result)
}

/// Takes a slot and the stripe, and returns what `find` finds there.
#[inline(always)]
pub(super) fn seek<'a>(
    store: &'a Store,
    stripe: u32,
    find: impl Fn(&'a Region) -> Option<(Offset, &'a [AtomicU64])>,
) -> Option<(Held<'a>, Offset, &'a [AtomicU64])> {
    if group::open() > 0 || !store.is_ready() || store.method() != Locking::Futex {
        return None;
    }
    let region = store.region();
    let stamp = store.sequence(stripe).begin_reading();
    let mut found = None;
    if stamp.is_some() {
        found = Some(find(region)?);
    }
    let held = Held::take(store, stripe)?;
    let (place, words) = match found {
        Some(found) if stamp.is_some_and(Stamp::holds) => found,
        _ => find_again(region, find)?,
    };
    Some((held, place, words))
}

/// Looks again, since somebody has changed the stripe meanwhile.
#[cold]
#[inline(never)]
fn find_again<'a>(
    region: &'a Region,
    find: impl Fn(&'a Region) -> Option<(Offset, &'a [AtomicU64])>,
) -> Option<(Offset, &'a [AtomicU64])> {
    find(region)
}

/// A slot and a stripe, given back when this is dropped.
pub(super) struct Held<'a> {
    store: &'a Store,
    slot: u32,
    stripe: u32,
    /// True if something has been changed.
    changed: bool,
}

impl<'a> Held<'a> {
    /// Takes the slot used last and a stripe, if both are free and nothing has to be done before.
    #[inline(always)]
    fn take(store: &'a Store, stripe: u32) -> Option<Self> {
        let number = store.shared.numbers.at_hand();
        let (id, slot) = LAST.get();
        if id != store.id || number == 0 || !store.claim_slot(slot, number) {
            return None;
        }
        let region = store.region();
        if !store.is_settled(slot) || !take(region, slot, stripe) {
            store.give_slot_back(slot);
            return None;
        }
        let held = Held { store, slot, stripe, changed: false };
        // Not before: who clears the mark holds all stripes.
        if store.mark().is_durable() { Some(held) } else { None }
    }

    /// Returns the slot.
    #[inline(always)]
    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// Leaves slot and stripe to somebody else.
    #[inline(always)]
    pub(super) fn into_slot(self) -> u32 {
        let slot = self.slot;
        std::mem::forget(self);
        slot
    }

    /// Returns the lock on a stripe with a slot, which somebody else has left.
    #[inline(always)]
    pub(super) fn again(store: &'a Store, slot: u32, stripe: u32) -> Self {
        Held { store, slot, stripe, changed: false }
    }

    /// Stores words over others, of which there are as many.
    #[inline(always)]
    pub(super) fn store(&mut self, place: Offset, words: &[AtomicU64], new: &[u64]) -> Option<()> {
        if words.len() != new.len() || new.len() > MOST_WORDS {
            return None;
        }
        let (region, geometry) = (self.store.region(), self.store.geometry());
        let sequence = self.store.sequence(self.stripe);
        let log_word = LogWord(region.field(geometry.slot(self.slot).log_word()));
        let log = region.fields::<{ 2 * MOST_WORDS }>(geometry.log(self.slot).entry(0)).words();
        sequence.begin_change();
        let state = log_word.own();
        for (i, ((word, new), [noted, old])) in (0..).zip(words.iter().zip(new).zip(log.as_chunks().0)) {
            noted.store(Noted::new(place.0 + i * 8, state.0 + i, *new).0, Relaxed);
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
        self.changed = true;
        Some(())
    }
}

impl Drop for Held<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Both words at once, since they lie side by side.
        let [lock, watch] = self.store.region().pair32(self.store.geometry().stripe(self.stripe).lock());
        give_back(LockWord(lock));
        if self.changed {
            fence_after_swap();
            if WatchWord(watch).is_watched() {
                self.store.wake_watchers(self.stripe);
            }
        }
        self.store.give_slot_back(self.slot);
    }
}

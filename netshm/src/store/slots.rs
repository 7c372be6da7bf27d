//! Slots: one for each running writer, a thread inside an operation or a group.

use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use super::Store;
use crate::error::Result;
use crate::layout::PENDING;
use crate::locking::{Awaited, Backoff, Deadline, Fate};
use crate::log_word::{LogState, LogWord};
use crate::os::steps;

thread_local! {
    /// The store and slot that this thread used last.
    static LAST: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
}

/// Returns the store and slot that this thread used last. (`LocalKey::get` may be a call.)
#[inline(always)]
pub(super) fn last() -> (u64, u32) {
    LAST.try_with(Cell::get).unwrap_or_default()
}

/// Fields of a slot that every change reads.
#[derive(Clone, Copy)]
pub(super) struct SlotHead<'a> {
    owner: &'a AtomicU32,
    pending: &'a [AtomicU64; PENDING],
}

impl<'a> SlotHead<'a> {
    /// Takes the slot if it is free.
    #[inline(always)]
    pub(super) fn claim(self, number: u32) -> bool {
        let claimed = self.owner.compare_exchange(0, number, SeqCst, Relaxed).is_ok();
        steps::step();
        claimed
    }

    /// Returns whether nothing is left in it.
    #[inline(always)]
    pub(super) fn is_settled(self) -> bool {
        let [log, transit, adopted, release] = self.pending.each_ref().map(|word| word.load(Relaxed));
        LogState(log).entries() | transit | adopted | release == 0
    }

    /// Returns whether it is that process's.
    #[inline(always)]
    pub(super) fn is_of(self, number: u32) -> bool {
        self.owner.load(Relaxed) == number
    }

    /// Returns the word of its log.
    #[inline(always)]
    pub(super) fn log_word(self) -> LogWord<'a> {
        LogWord(&self.pending[0])
    }

    /// Gives it back.
    #[inline(always)]
    pub(super) fn give_back(self) {
        // Release: everything that the owner did comes before.
        self.owner.store(0, Release);
        steps::step();
    }
}

/// The owners of all slots, of which a waiter looks at one after the other, and the rarer the longer it waits: each look asks the kernel,
/// whose list of locks is as long as there are processes. If all who wait asked for all, those who have slots would not come to work.
struct OwnersInTurn {
    next: u32,
    /// Number of those looked at last which are dead and can be recovered by nobody, because of somebody's shared lock.
    hopeless: u32,
    began: Instant,
    looked: Instant,
}

impl OwnersInTurn {
    /// A waiter looks at least this often.
    const RAREST: Duration = Duration::from_millis(50);

    fn from(slot: u32) -> OwnersInTurn {
        let now = Instant::now();
        OwnersInTurn { next: slot, hopeless: 0, began: now, looked: now }
    }

    fn is_time(&self, now: Instant) -> bool {
        now - self.looked >= ((now - self.began) / 64).min(Self::RAREST)
    }

    /// Recovers the next owner if it is dead. Returns what the wait depends on: living owners give their slots back in the end.
    fn look_at_next(&mut self, store: &Store) -> Result<Fate> {
        let slots = store.geometry().slots;
        let fate = store.recover_slot_owner(self.next % slots)?;
        self.next = (self.next + 1) % slots;
        self.looked = Instant::now();
        self.hopeless = if matches!(fate, Fate::Shielded { .. }) { self.hopeless + 1 } else { 0 };
        Ok(if self.hopeless >= slots { fate } else { Fate::Alive })
    }
}

impl Store {
    /// Takes a slot: the one used last if it is free, otherwise any; waits while all are busy.
    #[inline(always)]
    pub(super) fn take_slot(&self, deadline: &Deadline) -> Result<u32> {
        let number = self.number(deadline)?;
        let (id, slot) = last();
        if id == self.id {
            let head = self.slot_head(slot);
            if head.claim(number) {
                return self.settled(head, slot, deadline);
            }
        }
        let slot = self.search_slot(number, deadline)?;
        self.settled(self.slot_head(slot), slot, deadline)
    }

    /// Settles a slot that has just been taken, if anything is left in it.
    #[inline(always)]
    fn settled(&self, head: SlotHead<'_>, slot: u32, deadline: &Deadline) -> Result<u32> {
        if !head.is_settled() {
            self.settle_foreign(slot, deadline)?;
        }
        Ok(slot)
    }

    /// Takes a slot if one is free.
    pub(super) fn try_slot(&self, deadline: &Deadline) -> Result<Option<u32>> {
        let Ok(number) = self.take_number_now()? else { return Ok(None) };
        let Some(slot) = (0..self.geometry().slots).find(|slot| self.claim_slot(*slot, number)) else {
            return Ok(None);
        };
        if !self.is_settled(slot) {
            self.settle_foreign(slot, deadline)?;
        }
        Ok(Some(slot))
    }

    /// Returns whether the slot is settled: nothing is left in it.
    #[inline]
    pub(super) fn is_settled(&self, slot: u32) -> bool {
        self.slot_head(slot).is_settled()
    }

    #[inline]
    pub(super) fn claim_slot(&self, slot: u32, number: u32) -> bool {
        self.slot_head(slot).claim(number)
    }

    /// Returns what every change looks at in a slot.
    #[inline(always)]
    pub(super) fn slot_head(&self, slot: u32) -> SlotHead<'_> {
        let (owner, pending) = self.region().slot_head(self.geometry().slot(slot));
        SlotHead { owner, pending }
    }

    #[cold]
    fn search_slot(&self, number: u32, deadline: &Deadline) -> Result<u32> {
        let slots = self.geometry().slots;
        let start = steps::process_id() % slots;
        let mut wait = None;
        let mut owners = OwnersInTurn::from(start);
        let mut backoff = Backoff::new(Duration::from_micros(20), Duration::from_millis(5));
        loop {
            for slot in (start..slots).chain(0..start) {
                if self.slot_head(slot).is_of(0) && self.claim_slot(slot, number) {
                    LAST.set((self.id, slot));
                    return Ok(slot);
                }
            }
            if wait.is_some() && backoff.is_too_early() {
                spin_loop();
                continue;
            }
            let wait = wait.get_or_insert_with(|| deadline.wait(Awaited::Slot));
            wait.check(self, None)?;
            if owners.is_time(Instant::now()) {
                wait.note(owners.look_at_next(self)?);
            }
            backoff.pause(wait);
        }
    }

    /// Undoes and settles what a former owner has left in the slot: a log, in a damaged object, and runs in transit.
    #[cold]
    pub(super) fn settle_foreign(&self, slot: u32, deadline: &Deadline) -> Result<()> {
        let outcome = self.undo_slot(slot).and_then(|()| self.settle(slot, deadline));
        if outcome.is_err() {
            self.give_slot_back(slot);
        }
        outcome
    }

    /// Returns whether the slot that this thread has taken is still its own: not if others have taken this process for dead.
    #[inline(always)]
    pub(super) fn owns_slot(&self, slot: u32) -> bool {
        self.field32(self.geometry().slot(slot).owner()).load(Relaxed) == self.shared.numbers.at_hand()
    }

    /// Gives a slot back.
    #[inline]
    pub(super) fn give_slot_back(&self, slot: u32) {
        self.slot_head(slot).give_back();
    }

    /// Leaves a slot as it is to whoever meets a word that names it, unless others have taken this process for dead and have it by
    /// now.
    #[cold]
    pub(super) fn abandon_slot(&self, slot: u32) {
        let owner = self.field32(self.geometry().slot(slot).owner());
        let _ = owner.compare_exchange(self.shared.numbers.at_hand(), 0, SeqCst, Relaxed);
        steps::step();
    }

    /// Makes this thread take that slot next, to settle what is left in it.
    pub(crate) fn prefer_slot(&self, slot: u32) {
        LAST.set((self.id, slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_looked_at_the_rarer_the_longer_it_takes() {
        let mut owners = OwnersInTurn::from(3);
        let began = owners.began;
        assert!(owners.is_time(began), "the first look comes at once");
        let mut looks = |from: u64, until: u64| {
            let times = (from..until).map(|millis| began + Duration::from_millis(millis));
            times.filter(|now| owners.is_time(*now).then(|| owners.looked = *now).is_some()).count()
        };
        assert_eq!(looks(0, 64), 64);
        assert!((32..=64).contains(&looks(64, 192)));
        // As rarely as that, however long it takes.
        assert_eq!(looks(60_000, 70_000), 200);
    }
}

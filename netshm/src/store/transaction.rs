//! A change: the one way to write to shared memory.

use std::ops::Range;
use std::sync::atomic::Ordering::Release;
use std::sync::atomic::fence;

use super::meta::KEPT_LOG;
use super::tx::{Deferred, Held, Position, TxState};
use super::{Store, group};
use crate::error::{Error, Result};
use crate::group::{GroupError as _, retry};
use crate::heap::Memory;
use crate::heap::records::{Records, RunSource};
use crate::layout::method::Locking;
use crate::layout::run::RunAt;
use crate::locking::word::{LockWord, Released};
use crate::locking::{Deadline, Mode, Protocol, Request, give_back};
use crate::os::atomic::fence_after_swap;
use crate::sequence::Sequence;
use crate::watch_word::{WatchWord, is_watched};

#[cfg(test)]
thread_local! {
    /// Number of times that undoing still fails.
    pub(super) static FAILING: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Fails as often as it is told to.
#[cfg(test)]
pub(super) fn fail(store: &Store) -> Result<()> {
    if FAILING.get() > 0 {
        FAILING.set(FAILING.get() - 1);
        return Err(Error::Corrupt { object: store.name(), offset: 0, what: "on purpose" });
    }
    Ok(())
}

/// Outcome of freeing what a change has removed.
enum Freed {
    /// Everything is free that can be.
    All,
    /// The change is final, but freeing an item could neither be finished nor undone.
    Half,
}

/// A change under way, with its store.
pub(crate) struct Transaction<'a> {
    pub(super) store: &'a Store,
    pub(super) tx: &'a mut TxState,
    pub(super) deadline: &'a Deadline,
}

impl<'a> Transaction<'a> {
    pub(crate) fn store(&self) -> &'a Store {
        self.store
    }

    /// Reborrows `self` for a cold call; passing `self` itself would force it onto the stack.
    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> Transaction<'_> {
        Transaction { store: self.store, tx: self.tx, deadline: self.deadline }
    }

    pub(super) fn slot(&self) -> u32 {
        self.tx.slot
    }

    /// Locks a stripe for reading, until the change ends.
    pub(crate) fn read_stripe(&mut self, stripe: u32) -> Result<()> {
        self.lock(stripe, self.tx.read_mode(self.store)).map(drop)
    }

    /// Locks a stripe for a change that may come, until this one ends. Readers are not told yet.
    #[inline]
    pub(crate) fn lock_stripe(&mut self, stripe: u32) -> Result<()> {
        self.lock(stripe, Mode::Exclusive).map(drop)
    }

    /// Locks a stripe for writing, until the change ends, and tells readers.
    #[inline]
    pub(crate) fn write_stripe(&mut self, stripe: u32) -> Result<()> {
        let store = self.store;
        let held = self.lock(stripe, Mode::Exclusive)?;
        if !held.changed {
            store.note_dirty()?;
            store.sequence(stripe).begin_change();
            held.changed = true;
            self.tx.audit.begin_stripe(store, stripe);
        }
        Ok(())
    }

    /// Locks all stripes of the member for reading.
    pub(crate) fn read_all(&mut self) -> Result<()> {
        self.lock_all(self.store.geometry().own(), self.tx.read_mode(self.store))
    }

    /// Locks all stripes of the object for reading.
    pub(crate) fn read_whole(&mut self) -> Result<()> {
        self.lock_all(self.store.all_stripes(), self.tx.read_mode(self.store))
    }

    /// Locks all stripes of the member for writing.
    pub(crate) fn write_all(&mut self) -> Result<()> {
        let own = self.store.geometry().own();
        self.lock_all(own.clone(), Mode::Exclusive)?;
        own.into_iter().try_for_each(|stripe| self.write_stripe(stripe))
    }

    #[inline(always)]
    pub(super) fn lock(&mut self, stripe: u32, mode: Mode) -> Result<&mut Held> {
        if self.tx.held.is_empty() {
            self.store.shared.locks.acquire(self.store, &self.request(stripe, 1, mode, None))?;
            return Ok(self.tx.held.add(Held { stripe, mode, changed: false }));
        }
        if self.tx.held.is_only(stripe, mode) {
            return Ok(self.tx.held.only());
        }
        self.lock_another(stripe, mode)
    }

    #[inline(never)]
    fn lock_another(&mut self, stripe: u32, mode: Mode) -> Result<&mut Held> {
        group::forget();
        let held = self.tx.held.mode_of(stripe);
        if held.is_none_or(|held| held != Mode::Exclusive && held != mode) {
            let request = self.request(stripe, 1, mode, held);
            if let Err(error) = self.store.shared.locks.acquire(self.store, &request) {
                if held.is_some() && error.is_deadlock() {
                    group::note_upgrade(self.store);
                }
                return Err(error);
            }
        }
        match held {
            None => Ok(self.tx.held.add(Held { stripe, mode, changed: false })),
            Some(_) => Ok(self.tx.held.raise(stripe, mode)),
        }
    }

    pub(super) fn lock_all(&mut self, mut stripes: Range<u32>, mode: Mode) -> Result<()> {
        if self.tx.held.is_empty() && !stripes.is_empty() {
            let request = self.request(stripes.start, stripes.len() as u32, mode, None);
            // After a deadlock none of them is held, so the others can go on.
            retry(
                || self.store.shared.locks.acquire(self.store, &request),
                |error| is_worth_a_retry(self.store, self.deadline, error),
            )?;
            self.tx.held.add_all(stripes, mode);
            return Ok(());
        }
        stripes.try_for_each(|stripe| self.lock(stripe, mode).map(drop))
    }

    #[inline(always)]
    fn request(&self, stripe: u32, count: u32, mode: Mode, held: Option<Mode>) -> Request<'_> {
        Request { slot: self.tx.slot, stripe, count, mode, held, deadline: self.deadline }
    }

    /// Runs `look` while the run heap is locked too.
    pub(crate) fn with_meta<R>(&mut self, look: impl FnOnce() -> Result<R>) -> Result<R> {
        self.store.with_meta(self.tx.slot, self.deadline, look)
    }

    /// Returns the heap of a stripe.
    pub(crate) fn records(&self, stripe: u32) -> Records {
        Records::of(self.store.geometry(), stripe)
    }

    /// Frees a record when the change is committed.
    #[inline]
    pub(crate) fn free_record(&mut self, stripe: u32, at: u64) {
        self.tx.deferred.push(Deferred::Record { stripe, at });
    }

    /// Frees a run of a stripe when the change is committed.
    pub(crate) fn free_run(&mut self, stripe: u32, run: RunAt) {
        self.tx.deferred.push(Deferred::Run { stripe, run });
    }

    /// Frees all records and runs of a stripe when the change is committed.
    pub(crate) fn free_all(&mut self, stripe: u32) -> Result<()> {
        let first = self.records(stripe).clear(self)?;
        self.tx.deferred.push(Deferred::All { stripe, first });
        Ok(())
    }

    /// Returns the present position, to roll back to.
    #[inline]
    pub(crate) fn position(&self) -> Position {
        self.tx.position()
    }

    /// Returns the [`Transaction::position`] at which a nested group begins.
    pub(super) fn begin_savepoint(&mut self) -> Position {
        self.tx.audit.savepoint(self.store, &self.tx.journal, self.tx.held.as_slice());
        self.position()
    }

    /// Undoes what was changed after `position`; locks stay.
    pub(crate) fn roll_back_to(&mut self, position: Position) -> Result<()> {
        let outcome = self.try_roll_back_to(position);
        self.tx.torn |= outcome.is_err();
        outcome
    }

    fn try_roll_back_to(&mut self, position: Position) -> Result<()> {
        #[cfg(test)]
        fail(self.store)?;
        group::forget();
        self.tx.journal.roll_back_to(self.store.region(), position.entries)?;
        self.tx.audit.roll_back_to(position.entries);
        self.tx.deferred.truncate(position.deferred);
        while self.tx.transit > position.transit {
            self.store.return_run(self.tx.slot, self.deadline)?;
            self.tx.transit -= 1;
        }
        Ok(())
    }

    /// Runs a part of the change from a savepoint, to which it is rolled back if it fails or panics.
    #[inline(always)]
    pub(crate) fn with_savepoint<R>(&mut self, part: impl FnOnce(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
        /// Undoes the part when a panic drops it: whoever catches that may go on with the change.
        struct Unwound<'c, 'a>(&'c mut Transaction<'a>, Position);
        impl Drop for Unwound<'_, '_> {
            #[cold]
            fn drop(&mut self) {
                let _ = self.0.roll_back_to(self.1);
            }
        }

        let position = self.position();
        let unwound = Unwound(self, position);
        let outcome = part(unwound.0);
        std::mem::forget(unwound);
        match outcome {
            Ok(result) => Ok(result),
            Err(error) => Err(self.part_failed(position, error)),
        }
    }

    /// Undoes a part that failed: the error that counts.
    #[cold]
    fn part_failed(&mut self, position: Position, error: Error) -> Error {
        match self.roll_back_to(position) {
            Ok(()) => error,
            Err(error) => error,
        }
    }

    /// Returns whether a part could not be undone completely.
    pub(super) fn is_torn(&self) -> bool {
        self.tx.torn
    }

    /// Makes the change final and ends it. If that fails, all of it is undone.
    #[inline(always)]
    pub(super) fn commit(self) -> Result<()> {
        self.commit_by(Self::end)
    }

    /// Works like [`commit`](Self::commit), in the one place that has the code of the end in itself.
    #[inline(always)]
    pub(super) fn commit_at_once(self) -> Result<()> {
        self.commit_by(Self::end_inline)
    }

    #[inline(always)]
    fn commit_by(mut self, end: impl FnOnce(&mut Self, bool, bool)) -> Result<()> {
        let is_plain = self.tx.deferred.is_empty() && self.tx.transit == 0;
        if !is_plain {
            match self.reborrow().free_or_postpone() {
                Ok(Freed::All) => {}
                Ok(Freed::Half) => {
                    self.abandon();
                    return Ok(());
                }
                Err(error) => {
                    self.roll_back();
                    return Err(error);
                }
            }
        }
        self.tx.journal.commit(self.store.region());
        end(&mut self, is_plain, true);
        Ok(())
    }

    /// Undoes the change and ends it.
    pub(super) fn roll_back(mut self) {
        let start = Position { entries: 0, deferred: 0, transit: 0 };
        // Runs that could not be returned stay noted in the slot.
        if self.roll_back_to(start).is_err() && self.tx.journal.entries() > 0 {
            self.abandon();
        } else {
            self.end(false, false);
        }
    }

    /// Leaves what cannot be undone here to others, who find the stripes named after a slot without an owner: this process may
    /// lack a descriptor. If the log is damaged, they find that, and nobody takes half a change for a whole one.
    #[cold]
    fn abandon(&mut self) {
        let (changed, unchanged): (Vec<_>, Vec<_>) = self.tx.held.as_slice().iter().partition(|held| held.changed);
        unchanged.into_iter().for_each(|held| self.let_go(&[held]));
        for held in changed {
            self.store.shared.locks.abandon(self.store, &self.request(held.stripe, 1, held.mode, None));
        }
        self.tx.forget();
        self.store.abandon_slot(self.tx.slot);
    }

    /// Frees what was to be freed at the end, as part of the change. Where the object is too full for a log of that length, the
    /// change is committed first and each item is freed by itself, since removing must work in a full object. A process that is
    /// killed meanwhile leaves used memory that nothing refers to, until the object is repaired.
    fn free_or_postpone(mut self) -> Result<Freed> {
        let deferred = self.tx.take_deferred();
        let position = self.position();
        match deferred.iter().try_for_each(|item| self.free(*item)).and_then(|()| self.adopt()) {
            Err(Error::Full { .. } | Error::NoSpace { .. }) => {
                self.roll_back_to(position)?;
                self.adopt()?;
                Ok(self.free_each(&deferred))
            }
            outcome => outcome.map(|()| Freed::All),
        }
    }

    /// Commits the change, then frees items one after the other, each with a short log.
    #[cold]
    fn free_each(&mut self, deferred: &[Deferred]) -> Freed {
        for item in deferred {
            self.tx.journal.commit(self.store.region());
            // No entry is written over before that.
            fence(Release);
            self.tx.audit.clear();
            if self.free(*item).is_err() && self.tx.journal.roll_back_to(self.store.region(), 0).is_err() {
                return Freed::Half;
            }
        }
        Freed::All
    }

    fn free(&mut self, item: Deferred) -> Result<()> {
        match item {
            Deferred::Record { stripe, at } => self.records(stripe).give_back(self, at),
            Deferred::Run { stripe, run } => self.records(stripe).release_run(self, run),
            Deferred::All { first: Some(first), .. } => self.release_chain(first),
            Deferred::All { first: None, .. } => Ok(()),
        }
    }

    /// Hands the runs taken over to their stripes.
    fn adopt(&mut self) -> Result<()> {
        if self.tx.transit > 0 {
            self.write(self.store.geometry().slot(self.tx.slot).adopted(), 1)?;
        }
        Ok(())
    }

    /// Makes sequences even, frees the locks and the slot, and tells waiters if what has changed stays. A plain change has
    /// moved no runs and leaves nothing in the slot but perhaps a long log.
    #[inline]
    fn end(&mut self, is_plain: bool, stays: bool) {
        self.end_inline(is_plain, stays);
    }

    #[inline(always)]
    fn end_inline(&mut self, is_plain: bool, stays: bool) {
        let store = self.store;
        match self.tx.held.single() {
            Some(held) if store.method() == Locking::Futex => {
                let (lock, sequence) = store.region().stripe_head(store.geometry().stripe(held.stripe));
                if held.changed {
                    Sequence(sequence).end_change();
                }
                let released = LockWord(&lock[0]).release();
                fence_after_swap();
                let is_watched = stays && WatchWord(&lock[1]).is_watched();
                self.tx.held.clear_single();
                if released == Released::Sleepers || is_watched {
                    store.wake_waiters(held.stripe, released, stays && held.changed);
                }
            }
            Some(_) => {
                if is_watched(self.let_one_go_in_kernel()) && stays {
                    self.tell_of_all();
                }
                self.tx.held.clear_single();
            }
            None => self.reborrow().let_all_go(stays),
        }
        if !(is_plain && self.tx.journal.is_short()) {
            self.settle();
        }
        self.store.give_slot_back(self.tx.slot);
    }

    // Not cold: that would keep small functions from being inlined, and groups over several stripes are usual.
    #[inline(never)]
    fn let_all_go(self, stays: bool) {
        let seen = match self.store.method() {
            Locking::Futex => self.tx.held.as_slice().iter().fold(0, |seen, held| seen | self.free_words(*held, true)),
            Locking::None | Locking::Record => self.let_all_go_in_kernel(),
        };
        // Not before all of it can be read and changed again.
        if stays && is_watched(seen) {
            self.tell_of_all();
        }
        self.tx.held.clear();
    }

    #[inline(never)]
    fn let_one_go_in_kernel(&self) -> u32 {
        let Some(held) = self.tx.held.single() else { return 0 };
        let seen = self.free_words(held, held.mode == Mode::Exclusive);
        self.store.shared.locks.abandon(self.store, &self.request(held.stripe, 1, held.mode, None));
        seen
    }

    #[inline(never)]
    fn let_all_go_in_kernel(&self) -> u32 {
        let all = self.tx.held.as_slice();
        let seen = all.iter().fold(0, |seen, held| seen | self.free_words(*held, held.mode == Mode::Exclusive));
        // The kernel's locks are what is left.
        let in_a_row = |a: &Held, b: &Held| a.mode == b.mode && a.stripe + 1 == b.stripe;
        for held in all.chunk_by(in_a_row) {
            let request = self.request(held[0].stripe, held.len() as u32, held[0].mode, None);
            self.store.shared.locks.abandon(self.store, &request);
        }
        seen
    }

    /// Makes the sequence of a stripe even, and frees its lock word, if that names this change. Returns what is seen of waiters for
    /// changes.
    #[inline(always)]
    fn free_words(&self, held: Held, is_marked: bool) -> u32 {
        // Found with one check, so that looking for waiters costs little more than one load.
        let (lock, sequence) = self.store.region().stripe_head(self.store.geometry().stripe(held.stripe));
        if held.changed {
            Sequence(sequence).end_change();
        }
        if is_marked {
            give_back(LockWord(&lock[0]));
            fence_after_swap();
        }
        WatchWord(&lock[1]).look()
    }

    /// Wakes the waiters for what has changed.
    #[cold]
    #[inline(never)]
    fn tell_of_all(&self) {
        let changed = self.tx.held.as_slice().iter().filter(|held| held.changed);
        changed.for_each(|held| self.store.tell_change(held.stripe));
    }

    /// Frees consecutive stripes, after their sequences have become even.
    #[inline(always)]
    fn let_go(&self, held: &[Held]) {
        for stripe in held.iter().filter(|held| held.changed) {
            self.store.sequence(stripe.stripe).end_change();
        }
        let request = self.request(held[0].stripe, held.len() as u32, held[0].mode, None);
        self.store.shared.locks.release(self.store, &request);
    }

    /// Settles the slot after the change itself has ended. Runs that cannot be settled now stay noted in the slot, for its next
    /// owner.
    #[inline(never)]
    fn settle(&mut self) {
        if self.tx.journal.is_short() && self.store.is_settled(self.tx.slot) {
            return;
        }
        let _ = self.store.trim_log(self.tx.slot, self.deadline, KEPT_LOG);
        let _ = self.store.settle(self.tx.slot, self.deadline);
    }
}

/// Returns whether an operation that holds no locks any more should try again after an error: it was part of a ring, or may have
/// been. Under Record that may lead through groups that this thread has open on other objects; nor is it certain to be a ring.
#[cold]
pub(super) fn is_worth_a_retry(store: &Store, deadline: &Deadline, error: &Error) -> bool {
    match store.method() {
        Locking::Futex => matches!(error, Error::Deadlock { .. }),
        Locking::Record if deadline.is_bounded() => false,
        // Once the limit is reached, the next wait says so.
        Locking::Record => matches!(error, Error::Deadlock { .. }) || error.is_deadlock() && !deadline.is_over(),
        Locking::None => false,
    }
}

/// Returns an error for a change through a descriptor that cannot write.
pub(crate) fn check_writable(store: &Store, wanted: &'static str) -> Result<()> {
    if store.region().object().read_only() {
        return Err(Error::ReadOnly { object: store.name(), wanted });
    }
    Ok(())
}

//! Changes and reads under locks: as a part of this thread's open group on the object, or as a transaction of their own.
//!
//! [`change`] is the ordinary way to make one, and [`change_at_once`] the same in fewer instructions, for verbs that are used all the
//! time. [`read_locked`] takes the locks without changing anything; [`read_locked_alone`] is for readers that have tried without
//! locks before. Below them, `alone` runs a transaction until it ends in something else than a deadlock, and `attempt` runs it once.

use std::cell::RefMut;
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::found;
use super::state::{Group, iterating};
use super::threads::{OPEN, current, use_upgrade};
use crate::error::{Error, Result};
use crate::group::retry;
use crate::layout::{Offset, WORD};
use crate::locking::{BoundedWaits, Deadline, Mode, Protocol};
use crate::os::steps;
use crate::region::Region;
use crate::store::read::View;
use crate::store::small::Find;
use crate::store::transaction::{check_writable, is_worth_a_retry};
use crate::store::tx::TxState;
use crate::store::{Limits, Store, Transaction};

/// Works like [`change`], in fewer steps where no group is open: there `make` is a direct call, which can be inlined, and
/// `args` can stay in registers, since calls off that path get a copy. There, `prepare` comes first.
#[inline(always)]
pub(crate) fn change_at_once<A: Copy, R>(
    store: &Store,
    limits: Limits,
    wanted: &'static str,
    prepare: impl FnOnce(),
    args: A,
    make: impl Fn(&mut Transaction<'_>, A) -> Result<R> + Copy,
) -> Result<R> {
    if OPEN.get() > 0 {
        return change(store, limits, wanted, move |change| make(change, args));
    }
    prepare();
    store.check_fork()?;
    store.check_alone()?;
    check_writable(store, wanted)?;
    let deadline = limits.deadline();
    match attempt(store, &deadline, move |change| make(change, args)) {
        Ok(result) => Ok(result),
        Err(error) if is_worth_a_retry(store, &deadline, &error) => {
            alone(store, &deadline, move |change| make(change, args))
        }
        Err(error) => Err(error),
    }
}

/// Makes a change: from a savepoint of the open group, or as a transaction of its own. It happens completely or not at all.
#[inline(never)]
pub(crate) fn change<R>(
    store: &Store,
    limits: Limits,
    wanted: &'static str,
    make: impl FnMut(&mut Transaction<'_>) -> Result<R>,
) -> Result<R> {
    store.check_fork()?;
    check_writable(store, wanted)?;
    if let Some(group) = current(store) {
        if group.obstacles.get() != 0 {
            group.check_doomed(store)?;
            if group.iterated.borrow().contains(&store.geometry().first()) {
                return Err(iterating(store));
            }
        }
        return group.with(store, make);
    }
    store.check_alone()?;
    alone(store, &own_deadline(limits), make)
}

/// Reads under locks: in the open group, or in a transaction that ends with the read.
pub(crate) fn read_locked<R>(
    store: &Store,
    limits: Limits,
    read: impl FnMut(&mut Transaction<'_>) -> Result<R>,
) -> Result<R> {
    store.check_fork()?;
    check_writable(store, "lock it")?;
    match current(store) {
        Some(group) => group.with(store, read),
        None => {
            store.check_alone()?;
            alone(store, &own_deadline(limits), read)
        }
    }
}

/// Reads as [`read_locked`] does, outside a group, for a read that has waited already.
pub(in crate::store) fn read_locked_alone<R>(
    store: &Store,
    deadline: &Deadline,
    read: impl FnMut(&mut Transaction<'_>) -> Result<R>,
) -> Result<R> {
    check_writable(store, "lock it")?;
    alone(store, deadline, read)
}

/// Runs a part of the thread's open group on the object, if there is one.
#[inline]
pub(in crate::store) fn in_group<R>(
    store: &Store,
    part: impl FnOnce(&mut Transaction<'_>) -> Result<R>,
) -> Option<Result<R>> {
    current(store).map(|group| group.with(store, part))
}

/// Runs `work` with a slot: that of this thread's open group on the store, or one of its own for as long as it takes.
pub(in crate::store) fn with_slot<R>(
    store: &Store,
    deadline: &Deadline,
    work: impl FnOnce(u32) -> Result<R>,
) -> Result<R> {
    if let Some(group) = current(store) {
        group.check_doomed(store)?;
        let Ok(slot) = group.tx.try_borrow().map(|tx| tx.slot) else { return Err(iterating(store)) };
        return work(slot);
    }
    let slot = store.take_slot(deadline)?;
    let outcome = work(slot);
    store.give_slot_back(slot);
    outcome
}

/// Returns a stripe as this thread's group finds it, which has locked it by then, if there is a group that is not doomed: the short
/// way of [`read`](crate::store::read::read) in groups. With it, how much the group has logged.
#[inline(always)]
pub(crate) fn optimistic(store: &Store, stripe: u32) -> Option<Result<(View<'_>, u64), Box<Error>>> {
    if !store.is_ready() {
        return None;
    }
    let group = current(store)?;
    if group.is_doomed() {
        return None;
    }
    let mut tx = group.tx.try_borrow_mut().ok()?;
    if !tx.held.is_only(stripe, store.shared.locks.read_mode())
        && let Err(error) = group.read_at_once(store, &mut tx, stripe)
    {
        return Some(Err(error));
    }
    Some(Ok((View::locked(store), tx.journal.entries())))
}

/// Returns the same for what is going to be changed: with what the group had logged by then.
#[inline(always)]
pub(crate) fn optimistic_before_change<R>(
    store: &Store,
    stripe: u32,
    look: impl FnOnce(&Region) -> Option<R>,
) -> Option<Result<(R, u64)>> {
    let group = current(store)?;
    if group.obstacles.get() != 0 {
        return None;
    }
    let mut tx = group.tx.try_borrow_mut().ok()?;
    if !tx.held.is_only(stripe, Mode::Exclusive)
        && let Err(error) = group.lock_at_once(store, &mut tx, stripe, Mode::Exclusive)
    {
        return Some(Err(*error));
    }
    look(store.region()).map(|found| Ok((found, tx.journal.entries())))
}

/// Changes some words in a row, which `find` finds in a stripe, as part of this thread's group, if that holds this stripe alone and has
/// room for them in the present segment of its log. Then nothing can fail on the way, and no savepoint is needed. `new` gives the words to store.
/// `None` if an ordinary part of the group has to do it.
#[inline(always)]
pub(crate) fn small_in_group<'a>(store: &'a Store, stripe: u32, find: impl Find<'a>, new: &[u64]) -> Option<()> {
    let group = current(store)?;
    let mut tx = at_hand(store, &group)?;
    if !tx.held.is_only(stripe, Mode::Exclusive) {
        return None;
    }
    let (place, words) = find.find(store.region())?;
    change_at_hand(store, &mut tx, place, words, new)
}

/// Replaces the value of a pair in the same way, if the group has just found it: then it need not be looked for, and the key needs no
/// hash.
#[inline(never)]
pub(crate) fn replace_found(store: &Store, key: u64, new: u64) -> Option<()> {
    let group = current(store)?;
    let mut tx = at_hand(store, &group)?;
    let (stripe, place) = found::last(store, tx.journal.entries(), key)?;
    if !tx.held.is_only(stripe, Mode::Exclusive) {
        return None;
    }
    let word = store.region().word(place.bytes()).ok()?;
    change_at_hand(store, &mut tx, place, slice::from_ref(word), &[new])
}

/// Returns the state of a group if it can make a change that needs nothing but its locks and its log.
#[inline(always)]
fn at_hand<'g>(store: &Store, group: &'g Group) -> Option<RefMut<'g, TxState>> {
    if group.obstacles.get() != 0 || !store.is_ready() {
        return None;
    }
    let tx = group.tx.try_borrow_mut().ok()?;
    // Others may have undone it already; then its log must not grow again.
    (store.owns_slot(tx.slot) && store.mark().is_durable()).then_some(tx)
}

/// Changes words of the only stripe that the group holds, if the present segment of its log has room for them.
#[inline(always)]
fn change_at_hand(store: &Store, tx: &mut TxState, place: Offset, words: &[AtomicU64], new: &[u64]) -> Option<()> {
    if words.len() != new.len() || !tx.journal.has_at_hand(new.len() as u64) {
        return None;
    }
    tx.begin_only(store);
    for (i, (word, new)) in (0..).zip(words.iter().zip(new)) {
        tx.journal.note(store.region(), place.bytes() + i * WORD, word.load(Relaxed), *new).ok()?;
        word.store(*new, Release);
        steps::step();
    }
    Some(())
}

/// Returns the deadline of an operation that is not in a group on its object.
pub(in crate::store) fn own_deadline(limits: Limits) -> Deadline {
    let deadline = limits.deadline();
    if OPEN.get() > 0 { deadline.bounded() } else { deadline }
}

/// Begins to wait for changes, in an operation that is not in a group on its object.
pub(crate) fn bounded_waits() -> Option<BoundedWaits> {
    (OPEN.get() > 0).then(BoundedWaits::begin)
}

/// Runs a transaction, again after a deadlock: it holds nothing any more, so the others can go on.
fn alone<R>(store: &Store, deadline: &Deadline, mut make: impl FnMut(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
    retry(|| attempt(store, deadline, &mut make), |error| is_worth_a_retry(store, deadline, error))
}

/// Runs a transaction once.
#[inline(always)]
fn attempt<R>(store: &Store, deadline: &Deadline, make: impl FnOnce(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
    let mut tx = TxState::new(store.take_slot(deadline)?, store.geometry());
    use_upgrade(store, &mut tx);
    let mut running = TxGuard::new(store, &mut tx, deadline);
    let result = make(&mut running.change().reborrow())?;
    running.commit()?;
    Ok(result)
}

/// A change that has taken a slot; undone if it is dropped.
struct TxGuard<'a>(Option<Transaction<'a>>);

impl<'a> TxGuard<'a> {
    #[inline(always)]
    fn new(store: &'a Store, tx: &'a mut TxState, deadline: &'a Deadline) -> Self {
        TxGuard(Some(Transaction { store, tx, deadline }))
    }

    #[inline(always)]
    fn change(&mut self) -> &mut Transaction<'a> {
        self.0.as_mut().unwrap_or_else(|| unreachable!("it is there until it ends"))
    }

    /// Makes the change final.
    #[inline(always)]
    fn commit(mut self) -> Result<()> {
        match self.0.take() {
            Some(change) => change.commit(),
            None => Ok(()),
        }
    }

    #[cold]
    fn undo(change: Transaction<'_>) {
        if change.store().check_fork().is_ok() {
            change.roll_back();
        }
    }
}

impl Drop for TxGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(change) = self.0.take() {
            Self::undo(change);
        }
    }
}

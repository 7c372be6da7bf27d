//! Routes each change: into this thread's open group on the object, or into a transaction of its own.

mod update;

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::time::Duration;

use super::read::View;
use super::transaction::check_writable;
use super::tx::TxState;
use super::{Limits, Store, Transaction};
use crate::error::{Error, Result};
use crate::events;
use crate::layout::method::Locking;
use crate::locking::{Deadline, Mode, Protocol};
use crate::region::{Inconclusive, Region};

pub(crate) use update::Update;

/// Pause before an operation outside a group tries again after a false `EDEADLK` of the kernel.
const RETRY: Duration = Duration::from_micros(200);

thread_local! {
    /// Number of groups that this thread has open.
    static OPEN: Cell<usize> = const { Cell::new(0) };
    /// The group begun first, in memory that serves one after the other.
    static FIRST: First = First(Rc::new(Group::closed()));
    /// Those begun later, each on another object. They end in the reverse order. Never dropped (nor is anything left in it), so
    /// that groups work in destructors of other thread-locals and at exit.
    static FURTHER: RefCell<ManuallyDrop<Vec<Rc<Group>>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    /// True if a group of this thread has ended in a deadlock since that was asked for last.
    static DEADLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// A group that is there as long as its thread.
struct First(Rc<Group>);

impl First {
    /// Returns the group, if that is the number of its store; not where thread-locals are gone already.
    #[inline(always)]
    fn on(store: u64) -> Option<Rc<Group>> {
        FIRST.try_with(|first| (first.0.store.get() == store).then(|| first.0.clone())).ok().flatten()
    }
}

impl Drop for First {
    fn drop(&mut self) {
        // The process ends in the middle of the group, which destructors of other thread-locals may still go on with.
        if self.0.store.get() != CLOSED {
            FURTHER.with_borrow_mut(|groups| groups.push(self.0.clone()));
        }
    }
}

/// No store has this number: that of a group that is closed, ..
const CLOSED: u64 = 0;
/// .. or that begins or ends, in which operations have no part.
const PASSING: u64 = u64::MAX;

/// Bit of `obstacles`: the group has been undone.
const DOOMED: u32 = 1 << 31;

/// An open group.
struct Group {
    /// Number of its store, which outlives it.
    store: Cell<u64>,
    /// Deadline of the part that is being run.
    deadline: Deadline,
    tx: RefCell<TxState>,
    /// Obstacles to operations: the number of iterations under way, and a bit for a group that has been undone.
    obstacles: Cell<u32>,
    /// The first stripes of the members that are iterated over.
    iterated: RefCell<Vec<u32>>,
    /// Reason why the group has ended early.
    doom: RefCell<Option<Doom>>,
}

/// Why a group is undone as a whole at once.
#[derive(Debug)]
enum Doom {
    /// A deadlock; others go on.
    Deadlock(String),
    /// A part of it could not be rolled back by itself: memory could not be returned in time, ..
    Timeout { waited: Duration, awaited: String, holder: Option<u32> },
    /// .. or the log is damaged.
    Damage { offset: u64, what: &'static str },
}

impl Doom {
    /// Returns the doom of the group after an error: a deadlock, or a part that could not be rolled back.
    fn of(error: &Error) -> Doom {
        match error {
            Error::Deadlock { detail, .. } => Doom::Deadlock(detail.clone()),
            Error::LockTimeout { waited, awaited, holder, .. } => {
                Doom::Timeout { waited: *waited, awaited: awaited.clone(), holder: *holder }
            }
            Error::Corrupt { offset, what, .. } => Doom::Damage { offset: *offset, what },
            _ => Doom::Damage { offset: 0, what: "a part of a group could not be undone" },
        }
    }

    #[cold]
    fn error(&self, store: &Store) -> Error {
        let object = store.name();
        match self {
            Doom::Deadlock(detail) => Error::Deadlock { object, detail: detail.clone() },
            Doom::Timeout { waited, awaited, holder } => Error::LockTimeout {
                object,
                waited: *waited,
                awaited: awaited.clone(),
                holder: *holder,
                reason: Some("the whole group was rolled back"),
                may_be_deadlock: false,
            },
            Doom::Damage { offset, what } => Error::Corrupt { object, offset: *offset, what },
        }
    }
}

impl Group {
    fn closed() -> Group {
        Group {
            store: Cell::new(CLOSED),
            deadline: Deadline::within(None),
            tx: RefCell::new(TxState::none()),
            obstacles: Cell::new(0),
            iterated: RefCell::new(Vec::new()),
            doom: RefCell::new(None),
        }
    }

    /// Opens it on the store, with a slot of its own.
    #[inline]
    fn open(&self, store: &Store, limits: Limits) -> Result<()> {
        self.store.set(PASSING);
        match self.begin(store, limits) {
            Ok(()) => {
                self.store.set(store.id);
                OPEN.set(OPEN.get() + 1);
                Ok(())
            }
            Err(error) => {
                self.store.set(CLOSED);
                Err(error)
            }
        }
    }

    #[inline]
    fn begin(&self, store: &Store, limits: Limits) -> Result<()> {
        self.deadline.renew(limits.lock_timeout, OPEN.get() > 0);
        let slot = store.take_slot(&self.deadline)?;
        let Ok(mut tx) = self.tx.try_borrow_mut() else { unreachable!("nobody knows it yet") };
        tx.renew(slot, store.geometry());
        if let Err(error) = store.shared.locks.enter_group(store, slot, &self.deadline) {
            Transaction { store, tx: &mut tx, deadline: &self.deadline }.roll_back();
            return Err(error);
        }
        Ok(())
    }

    /// Ends it: all of its changes are made final, or undone.
    #[inline]
    fn close(&self, store: &Store, keep: bool) -> Result<()> {
        OPEN.set(OPEN.get() - 1);
        self.store.set(PASSING);
        match self.finish(store, keep) {
            Ok(()) => {
                self.store.set(CLOSED);
                Ok(())
            }
            Err(error) => Err(self.closed_with(error)),
        }
    }

    #[cold]
    fn closed_with(&self, error: Error) -> Error {
        self.obstacles.set(0);
        self.iterated.borrow_mut().clear();
        self.doom.replace(None);
        if let Ok(mut tx) = self.tx.try_borrow_mut() {
            tx.forget();
        }
        self.store.set(CLOSED);
        error
    }

    #[inline]
    fn finish(&self, store: &Store, keep: bool) -> Result<()> {
        store.check_fork()?;
        self.check_doomed(store)?;
        let Ok(mut tx) = self.tx.try_borrow_mut() else { return Ok(()) };
        self.deadline.restart(OPEN.get() > 0);
        let change = Transaction { store, tx: &mut tx, deadline: &self.deadline };
        let slot = change.slot();
        if !store.owns_slot(slot) {
            // It has been undone, and its locks freed.
            store.shared.locks.leave_group(slot);
            return Err(lost(store));
        }
        if !keep {
            change.roll_back();
        } else if let Err(error) = change.commit() {
            store.shared.locks.leave_group(slot);
            return Err(error);
        }
        store.shared.locks.leave_group(slot);
        Ok(())
    }

    #[inline]
    fn is_doomed(&self) -> bool {
        self.obstacles.get() & DOOMED != 0
    }

    #[inline]
    fn check_doomed(&self, store: &Store) -> Result<()> {
        if self.is_doomed() { Err(self.doom_error(store)) } else { Ok(()) }
    }

    #[cold]
    fn doom_error(&self, store: &Store) -> Error {
        let doom = self.doom.borrow();
        doom.as_ref().unwrap_or_else(|| unreachable!("there is a reason")).error(store)
    }

    /// Handles the failure of a part. A deadlock, or a part that is half undone, ends it at once: all of it is undone, and what
    /// comes later in it fails.
    #[cold]
    fn failed(&self, change: Transaction<'_>, error: Error) -> Error {
        if !matches!(error, Error::Deadlock { .. }) && !change.is_torn() {
            return error;
        }
        let doom = Doom::of(&error);
        let (store, slot) = (change.store(), change.slot());
        self.obstacles.set(self.obstacles.get() | DOOMED);
        let detail = if let Doom::Deadlock(detail) = &doom { Some(detail.clone()) } else { None };
        self.doom.replace(Some(doom));
        change.roll_back();
        store.shared.locks.leave_group(slot);
        if let Some(detail) = detail {
            DEADLOCKED.set(true);
            events::deadlock(&store.name(), &detail);
        }
        error
    }

    /// Locks a stripe.
    #[inline(never)]
    fn lock_at_once(&self, store: &Store, tx: &mut TxState, stripe: u32, mode: Mode) -> Result<()> {
        self.deadline.restart(OPEN.get() > 1);
        let mut change = Transaction { store, tx, deadline: &self.deadline };
        if !store.owns_slot(change.slot()) {
            return Err(lost(store));
        }
        match change.lock(stripe, mode).map(drop) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(change, error)),
        }
    }

    /// Runs a part of the group's change. A deadlock ends the whole group at once, so that others can go on.
    #[inline]
    fn with<R>(&self, store: &Store, part: impl FnOnce(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
        self.check_doomed(store)?;
        // A hand-written data manager may use the table that it is called by.
        let Ok(mut tx) = self.tx.try_borrow_mut() else { return Err(reentrant(store)) };
        self.deadline.restart(OPEN.get() > 1);
        let mut change = Transaction { store, tx: &mut tx, deadline: &self.deadline };
        // Others may have undone it already; then its log must not grow again, or it would be undone twice.
        if !store.owns_slot(change.slot()) {
            return Err(lost(store));
        }
        let unwound = Torn { group: self, change: &mut change };
        let outcome = unwound.change.with_savepoint(part);
        std::mem::forget(unwound);
        match outcome {
            Ok(result) => Ok(result),
            Err(error) => Err(self.failed(change, error)),
        }
    }
}

/// A part of a group's change that a panic drops: whoever catches that may go on with the group, unless the part could not
/// undo itself.
struct Torn<'g, 'c, 'a> {
    group: &'g Group,
    change: &'c mut Transaction<'a>,
}

impl Drop for Torn<'_, '_, '_> {
    #[cold]
    fn drop(&mut self) {
        let store = self.change.store();
        // A forked child leaves everything as it is.
        if self.change.is_torn() && store.check_fork().is_ok() {
            let what = "a part of a group could not be undone";
            let error = Error::Corrupt { object: store.name(), offset: 0, what };
            self.group.failed(self.change.reborrow(), error);
        }
    }
}

#[cold]
fn reentrant(store: &Store) -> Error {
    Error::Reentrant { object: store.name() }
}

#[cold]
fn lost(store: &Store) -> Error {
    Error::DescriptorLost { object: store.name() }
}

#[cold]
fn iterating(store: &Store) -> Error {
    Error::Iterating { object: store.name() }
}

/// Returns the open group of this thread on the object.
#[inline(always)]
fn current(store: &Store) -> Option<Rc<Group>> {
    if OPEN.get() == 0 {
        return None;
    }
    First::on(store.id).or_else(|| among_further(store.id))
}

#[cold]
fn among_further(store: u64) -> Option<Rc<Group>> {
    FURTHER.with_borrow(|groups| groups.iter().find(|group| group.store.get() == store).cloned())
}

/// Returns whether this thread has an open group on the object.
#[inline]
pub(crate) fn is_open(store: &Store) -> bool {
    current(store).is_some()
}

/// Runs a part of the thread's open group on the object, if there is one.
#[inline]
pub(super) fn in_group<R>(store: &Store, part: impl FnOnce(&mut Transaction<'_>) -> Result<R>) -> Option<Result<R>> {
    current(store).map(|group| group.with(store, part))
}

/// Returns what `look` finds in a stripe under the locks of this thread's group, if there is one that is not doomed: the short way
/// of [`read`](super::read::read) in groups.
#[inline(always)]
pub(crate) fn optimistic<R>(
    store: &Store,
    stripe: u32,
    look: impl FnOnce(View<'_>) -> Result<R, Inconclusive>,
) -> Option<Result<R>> {
    if !store.is_ready() {
        return None;
    }
    let group = current(store)?;
    if group.is_doomed() {
        return None;
    }
    let mut tx = group.tx.try_borrow_mut().ok()?;
    if !tx.held.is_only(stripe, store.shared.locks.read_mode())
        && let Err(error) = group.lock_at_once(store, &mut tx, stripe, store.shared.locks.read_mode())
    {
        return Some(Err(error));
    }
    look(View::locked(store)).ok().map(Ok)
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
        return Some(Err(error));
    }
    look(store.region()).map(|found| Ok((found, tx.journal.entries())))
}

/// Runs `work` with a slot: that of this thread's open group on the store, or one of its own for as long as it takes.
pub(super) fn with_slot<R>(store: &Store, deadline: &Deadline, work: impl FnOnce(u32) -> Result<R>) -> Result<R> {
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

/// Returns the number of groups that this thread has open, on any object.
#[inline]
pub(crate) fn open() -> usize {
    OPEN.get()
}

/// Returns whether a group of this thread has ended in a deadlock since the last call.
pub(crate) fn take_deadlocked() -> bool {
    DEADLOCKED.take()
}

/// As [`change`], in fewer steps where no group is open: there `make` is a direct call, which can be inlined, and `args` can
/// stay in registers, since calls off that path get a copy. There, `prepare` comes first.
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
    check_writable(store, wanted)?;
    match attempt(store, &limits.deadline(), move |change| make(change, args)) {
        Ok(result) => Ok(result),
        Err(error) if is_worth_a_retry(store, &error) => {
            change(store, limits, wanted, move |change| make(change, args))
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
        None => alone(store, &own_deadline(limits), read),
    }
}

/// Reads as [`read_locked`] does, outside a group, for a read that has waited already.
pub(super) fn read_locked_alone<R>(
    store: &Store,
    deadline: &Deadline,
    read: impl FnMut(&mut Transaction<'_>) -> Result<R>,
) -> Result<R> {
    check_writable(store, "lock it")?;
    alone(store, deadline, read)
}

/// Returns the deadline of an operation that is not in a group on its object.
pub(super) fn own_deadline(limits: Limits) -> Deadline {
    let deadline = limits.deadline();
    if OPEN.get() > 0 { deadline.bounded() } else { deadline }
}

/// Runs a transaction, retried after false deadlocks.
fn alone<R>(store: &Store, deadline: &Deadline, mut make: impl FnMut(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
    loop {
        match attempt(store, deadline, &mut make) {
            Err(error) if is_worth_a_retry(store, &error) => {}
            outcome => return outcome,
        }
    }
}

/// Pauses and returns true if a change outside a group is worth a retry: outside groups, the kernel's `EDEADLK` on record locks
/// is false.
#[cold]
fn is_worth_a_retry(store: &Store, error: &Error) -> bool {
    let is_no_ring = matches!(error, Error::Deadlock { .. }) && store.method() == Locking::Record && OPEN.get() == 0;
    if is_no_ring {
        std::thread::sleep(RETRY);
    }
    is_no_ring
}

/// Runs a transaction once.
#[inline(always)]
fn attempt<R>(store: &Store, deadline: &Deadline, make: impl FnOnce(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
    let mut tx = TxState::new(store.take_slot(deadline)?, store.geometry());
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

/// Runs `body` as a group. Its changes, and those of everything that it calls, happen completely or not at all.
#[inline]
pub(crate) fn group<R, E: From<Error>>(
    store: &Store,
    limits: Limits,
    body: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    store.check_fork()?;
    check_writable(store, "group operations")?;
    if OPEN.get() > 0 { within_others(store, limits, body) } else { outermost(store, limits, body) }
}

/// Runs a group while this thread has some open: on the same object, or on others.
#[inline(never)]
fn within_others<R, E: From<Error>>(
    store: &Store,
    limits: Limits,
    body: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    match current(store) {
        Some(group) => inner(store, &group, body),
        None => outermost(store, limits, body),
    }
}

fn inner<R, E: From<Error>>(store: &Store, group: &Group, body: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    /// Undoes the inner group unless it is told not to.
    struct Undo<'a>(&'a Store, Option<(&'a Group, super::tx::Position)>);
    impl Undo<'_> {
        fn undo(&mut self) -> Result<()> {
            match self.1.take() {
                Some((group, position)) if !group.is_doomed() && self.0.check_fork().is_ok() => {
                    group.with(self.0, |change| change.roll_back_to(position))
                }
                _ => Ok(()),
            }
        }
    }
    impl Drop for Undo<'_> {
        fn drop(&mut self) {
            // Only a panic comes here. If undoing fails, the whole group has been undone, and the outermost one says so.
            let _ = self.undo();
        }
    }

    let position = group.with(store, |change| Ok(change.begin_savepoint()))?;
    let mut undo = Undo(store, Some((group, position)));
    match body() {
        Ok(result) => {
            undo.1 = None;
            group.check_doomed(store)?;
            Ok(result)
        }
        Err(error) => {
            undo.undo()?;
            Err(error)
        }
    }
}

/// Runs a group that is no part of another one.
#[inline]
fn outermost<R, E: From<Error>>(store: &Store, limits: Limits, body: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    let (group, _further) = match First::on(CLOSED) {
        Some(group) => (group, None),
        None => {
            let further = Further::new();
            (further.0.clone(), Some(further))
        }
    };
    run(&group, store, limits, body)
}

/// A group beside that in [`FIRST`], for as long as it lives.
struct Further(Rc<Group>);

impl Further {
    #[cold]
    fn new() -> Further {
        let group = Rc::new(Group::closed());
        FURTHER.with_borrow_mut(|groups| groups.push(group.clone()));
        Further(group)
    }
}

impl Drop for Further {
    #[cold]
    fn drop(&mut self) {
        FURTHER.with_borrow_mut(|groups| {
            groups.retain(|group| !Rc::ptr_eq(group, &self.0));
            if groups.is_empty() {
                **groups = Vec::new();
            }
        });
    }
}

/// Runs `body` in a group that is opened for it.
#[inline(always)]
fn run<R, E: From<Error>>(
    group: &Group,
    store: &Store,
    limits: Limits,
    body: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    /// Undoes the group unless it is committed: only a panic comes here, or a forked child, where nothing is done.
    struct Unwound<'a>(&'a Group, &'a Store);
    impl Drop for Unwound<'_> {
        #[cold]
        fn drop(&mut self) {
            let _ = self.0.close(self.1, false);
        }
    }

    group.open(store, limits)?;
    let unwound = Unwound(group, store);
    let outcome = body();
    std::mem::forget(unwound);
    match outcome {
        Ok(result) => {
            group.close(store, true)?;
            Ok(result)
        }
        Err(error) => {
            // A deadlock noticed before counts more than what the body made of it; the error is the same kind then.
            let _ = group.close(store, false);
            Err(error)
        }
    }
}

/// Forbids changes to a member by this thread's group, for as long as it lives. It is dropped before the group ends.
pub(crate) struct Iteration<'a>(&'a Store);

impl<'a> Iteration<'a> {
    /// Starts an iteration in the open group.
    pub(crate) fn start(store: &'a Store) -> Option<Self> {
        let group = current(store)?;
        group.obstacles.set(group.obstacles.get() + 1);
        group.iterated.borrow_mut().push(store.geometry().first());
        Some(Iteration(store))
    }
}

impl Drop for Iteration<'_> {
    fn drop(&mut self) {
        if let Some(group) = current(self.0) {
            group.obstacles.set(group.obstacles.get() - 1);
            // They end in the reverse order.
            group.iterated.borrow_mut().pop();
        }
    }
}

//! Routes each change: into this thread's open group on the object, or into a transaction of its own.

use std::cell::{Cell, OnceCell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::time::Duration;

use super::change::check_writable;
use super::tx::Tx;
use super::{Change, Limits, Store};
use crate::events;
use crate::layout::method::Locking;
use crate::locking::Deadline;
use crate::{Error, Result};

/// Pause before an operation outside a group tries again after a false `EDEADLK` of the kernel.
const RETRY: Duration = Duration::from_micros(200);

thread_local! {
    /// Number of groups that this thread has open.
    static OPEN: Cell<usize> = const { Cell::new(0) };
    /// Those groups, each on another object. They end in the reverse order. Never dropped (nor is anything left in it), so that
    /// groups work in destructors of other thread-locals and at exit.
    static GROUPS: RefCell<ManuallyDrop<Groups>> = const { RefCell::new(ManuallyDrop::new(Groups::NONE)) };
    /// Whether a group of this thread has ended in a deadlock since the last call of [`take_deadlocked`].
    static DEADLOCKED: Cell<bool> = const { Cell::new(false) };
    /// A closed group, whose memory the next one uses.
    static SPARE: Cell<Option<Rc<Group>>> = const { Cell::new(None) };
}

/// The groups of a thread; there is mostly one.
struct Groups {
    first: Option<Rc<Group>>,
    /// Those begun later.
    further: Vec<Rc<Group>>,
}

impl Groups {
    const NONE: Groups = Groups { first: None, further: Vec::new() };

    /// Returns the group on a store.
    #[inline]
    fn on(&self, store: u64) -> Option<Rc<Group>> {
        self.iter().find(|group| group.store == store).cloned()
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = &Rc<Group>> {
        self.first.iter().chain(&self.further)
    }

    fn push(&mut self, group: Rc<Group>) {
        if self.first.is_none() { self.first = Some(group) } else { self.further.push(group) }
    }

    fn pop(&mut self) -> Option<Rc<Group>> {
        let Some(last) = self.further.pop() else { return self.first.take() };
        if self.further.is_empty() {
            self.further = Vec::new();
        }
        Some(last)
    }
}

/// An open group.
struct Group {
    /// Number of its store, which outlives it.
    store: u64,
    /// The deadline of the part that runs.
    deadline: Deadline,
    tx: RefCell<Tx>,
    /// Number of iterations under way.
    iterating: Cell<u32>,
    /// Why the group has been rolled back already.
    doomed: OnceCell<Doom>,
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
    /// Begins a group on the store, with a slot of its own.
    fn begin(store: &Store, deadline: Deadline) -> Result<Rc<Group>> {
        let slot = store.take_slot(&deadline)?;
        // None while thread-locals are being destroyed.
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let mut group = spare.unwrap_or_else(|| {
            let tx = RefCell::new(Tx::new(slot, store.geometry()));
            Rc::new(Group {
                store: 0,
                deadline: Deadline::none(),
                tx,
                iterating: Cell::new(0),
                doomed: OnceCell::new(),
            })
        });
        let Some(fresh) = Rc::get_mut(&mut group) else { unreachable!("a spare one is known to nobody") };
        (fresh.store, fresh.deadline) = (store.id, deadline);
        let tx = fresh.tx.get_mut();
        tx.renew(slot, store.geometry());
        let running = Running::new(store, tx, &fresh.deadline);
        store.locks.enter_group(store, slot, &fresh.deadline)?;
        running.keep();
        Ok(group)
    }

    /// Keeps the memory of a closed group.
    fn keep_spare(mut group: Rc<Group>) {
        if let Some(closed) = Rc::get_mut(&mut group) {
            closed.doomed.take();
            closed.iterating.set(0);
            let _ = SPARE.try_with(|spare| spare.set(Some(group)));
        }
    }

    #[inline]
    fn check_doomed(&self, store: &Store) -> Result<()> {
        match self.doomed.get() {
            Some(doom) => Err(doom.error(store)),
            None => Ok(()),
        }
    }

    /// Ends the group at once: all of it is undone, and what comes later in it fails.
    #[cold]
    fn doom(&self, change: Change<'_>, error: &Error) {
        let doom = self.doomed.get_or_init(|| Doom::of(error));
        let (store, slot) = (change.target(), change.slot());
        change.roll_back();
        store.locks.leave_group(slot);
        if let Doom::Deadlock(detail) = doom {
            DEADLOCKED.set(true);
            events::deadlock(&store.name(), detail);
        }
    }

    /// Runs a part of the group's change. A deadlock ends the whole group at once, so that others can go on.
    #[inline]
    fn with<R>(&self, store: &Store, part: impl FnOnce(&mut Change<'_>) -> Result<R>) -> Result<R> {
        self.check_doomed(store)?;
        let Ok(mut tx) = self.tx.try_borrow_mut() else {
            // A hand-written data manager uses the table that calls it.
            return Err(Error::Reentrant { object: store.name() });
        };
        self.deadline.restart(OPEN.get() > 1);
        let mut change = Change { store, tx: &mut tx, deadline: &self.deadline };
        // Others may have undone it already; then its log must not grow again, or it would be undone twice.
        if !store.owns_slot(change.slot()) {
            return Err(Error::DescriptorLost { object: store.name() });
        }
        let unwound = Unwound { group: self, change: &mut change };
        let outcome = unwound.change.part(part);
        std::mem::forget(unwound);
        if let Err(error) = &outcome
            && (matches!(error, Error::Deadlock { .. }) || change.is_torn())
        {
            self.doom(change, error);
        }
        outcome
    }
}

/// A part of a group's change that a panic drops: whoever catches that may go on with the group, unless the part could not
/// undo itself.
struct Unwound<'g, 'c, 'a> {
    group: &'g Group,
    change: &'c mut Change<'a>,
}

impl Drop for Unwound<'_, '_, '_> {
    #[cold]
    fn drop(&mut self) {
        let store = self.change.target();
        // A forked child leaves everything as it is.
        if self.change.is_torn() && store.check_fork().is_ok() {
            let what = "a part of a group could not be undone";
            let error = Error::Corrupt { object: store.name(), offset: 0, what };
            self.group.doom(self.change.apart(), &error);
        }
    }
}

/// Returns the open group of this thread on the object.
#[inline]
fn current(store: &Store) -> Option<Rc<Group>> {
    if OPEN.get() == 0 {
        return None;
    }
    GROUPS.with_borrow(|groups| groups.on(store.id))
}

/// Returns whether this thread has an open group on the object.
#[inline]
pub(crate) fn is_open(store: &Store) -> bool {
    current(store).is_some()
}

/// Returns whether a slot of an object that is open for reading only is that of a group of this thread, through another handle.
#[cold]
pub(super) fn is_own_slot(store: &Store, slot: u32) -> bool {
    let writable = || store.region().object().writable().and_then(|object| Store::attached(&object));
    let Some(writable) = (open() > 0).then(writable).flatten() else { return false };
    let has_slot = |group: &Group| group.tx.try_borrow().is_ok_and(|tx| tx.slot == slot);
    GROUPS.with_borrow(|groups| groups.on(writable.id).is_some_and(|group| has_slot(&group)))
}

/// Runs a part of the thread's open group on the object, if there is one.
#[inline]
pub(super) fn in_group<R>(store: &Store, part: impl FnOnce(&mut Change<'_>) -> Result<R>) -> Option<Result<R>> {
    current(store).map(|group| group.with(store, part))
}

/// Runs `work` with a slot: that of this thread's open group on the store, or one of its own for as long as it takes.
pub(super) fn with_slot<R>(store: &Store, deadline: &Deadline, work: impl FnOnce(u32) -> Result<R>) -> Result<R> {
    let Some(group) = current(store) else {
        let slot = store.take_slot(deadline)?;
        let outcome = work(slot);
        store.give_slot_back(slot);
        return outcome;
    };
    group.check_doomed(store)?;
    let Ok(slot) = group.tx.try_borrow().map(|tx| tx.slot) else {
        return Err(Error::Iterating { object: store.name() });
    };
    work(slot)
}

/// Adds a group to those of the thread.
fn push(group: Rc<Group>) {
    GROUPS.with_borrow_mut(|groups| groups.push(group));
    OPEN.set(OPEN.get() + 1);
}

/// Removes the group begun last from those of the thread.
fn pop() -> Option<Rc<Group>> {
    OPEN.set(OPEN.get() - 1);
    GROUPS.with_borrow_mut(|groups| groups.pop())
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

/// Like [`change`], with a shorter path where no group is open: there `make` is a direct call, which can be inlined, and `args`
/// can stay in registers, since cold calls get a copy.
#[inline(always)]
pub(crate) fn change_at_once<A: Copy, R>(
    store: &Store,
    limits: Limits,
    wanted: &'static str,
    args: A,
    make: impl Fn(&mut Change<'_>, A) -> Result<R> + Copy,
) -> Result<R> {
    if OPEN.get() > 0 {
        return change(store, limits, wanted, move |change| make(change, args));
    }
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
    make: impl FnMut(&mut Change<'_>) -> Result<R>,
) -> Result<R> {
    store.check_fork()?;
    check_writable(store, wanted)?;
    if let Some(group) = current(store) {
        if group.iterating.get() > 0 {
            return Err(Error::Iterating { object: store.name() });
        }
        return group.with(store, make);
    }
    alone(store, &own_deadline(limits), make)
}

/// Reads under locks: in the open group, or in a transaction that ends with the read.
pub(crate) fn read_locked<R>(
    store: &Store,
    limits: Limits,
    read: impl FnMut(&mut Change<'_>) -> Result<R>,
) -> Result<R> {
    store.check_fork()?;
    check_writable(store, "lock it")?;
    match current(store) {
        Some(group) => group.with(store, read),
        None => alone(store, &own_deadline(limits), read),
    }
}

/// Like [`read_locked`], for a read outside a group that has waited already.
pub(super) fn read_locked_alone<R>(
    store: &Store,
    deadline: &Deadline,
    read: impl FnMut(&mut Change<'_>) -> Result<R>,
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
fn alone<R>(store: &Store, deadline: &Deadline, mut make: impl FnMut(&mut Change<'_>) -> Result<R>) -> Result<R> {
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
fn attempt<R>(store: &Store, deadline: &Deadline, make: impl FnOnce(&mut Change<'_>) -> Result<R>) -> Result<R> {
    let mut tx = Tx::new(store.take_slot(deadline)?, store.geometry());
    let mut running = Running::new(store, &mut tx, deadline);
    let result = make(&mut running.change().apart())?;
    running.commit()?;
    Ok(result)
}

/// A change that has taken a slot; undone if it is dropped.
struct Running<'a>(Option<Change<'a>>);

impl<'a> Running<'a> {
    #[inline(always)]
    fn new(store: &'a Store, tx: &'a mut Tx, deadline: &'a Deadline) -> Self {
        Running(Some(Change { store, tx, deadline }))
    }

    #[inline(always)]
    fn change(&mut self) -> &mut Change<'a> {
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

    /// Leaves the change open; dropping no longer undoes it.
    fn keep(mut self) {
        self.0 = None;
    }

    #[cold]
    fn undo(change: Change<'_>) {
        if change.target().check_fork().is_ok() {
            change.roll_back();
        }
    }
}

impl Drop for Running<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(change) = self.0.take() {
            Self::undo(change);
        }
    }
}

/// Runs `body` as a group. Its changes, and those of everything that it calls, happen completely or not at all.
pub(crate) fn group<R, E: From<Error>>(
    store: &Store,
    limits: Limits,
    body: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    store.check_fork()?;
    check_writable(store, "group operations")?;
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
                Some((group, position)) if group.doomed.get().is_none() && self.0.check_fork().is_ok() => {
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

    let position = group.with(store, |change| Ok(change.savepoint()))?;
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

fn outermost<R, E: From<Error>>(store: &Store, limits: Limits, body: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    /// Takes the group from the thread's list, and undoes it unless it is committed.
    struct Close<'a>(Option<&'a Store>);
    impl Close<'_> {
        fn end(&mut self, keep: bool) -> Result<()> {
            let Some(store) = self.0.take() else { return Ok(()) };
            let Some(group) = pop() else { unreachable!("each one that is pushed is popped once") };
            let outcome = Self::finish(store, &group, keep);
            Group::keep_spare(group);
            outcome
        }

        fn finish(store: &Store, group: &Group, keep: bool) -> Result<()> {
            store.check_fork()?;
            group.check_doomed(store)?;
            let Ok(mut tx) = group.tx.try_borrow_mut() else { return Ok(()) };
            group.deadline.restart(OPEN.get() > 0);
            let change = Change { store, tx: &mut tx, deadline: &group.deadline };
            let slot = change.slot();
            if !store.owns_slot(slot) {
                // It has been undone, and its locks freed.
                store.locks.leave_group(slot);
                return Err(Error::DescriptorLost { object: store.name() });
            }
            let outcome = if keep {
                change.commit()
            } else {
                change.roll_back();
                Ok(())
            };
            store.locks.leave_group(slot);
            outcome
        }
    }
    impl Drop for Close<'_> {
        fn drop(&mut self) {
            // Only a panic comes here, or a forked child, where nothing is done.
            let _ = self.end(false);
        }
    }

    push(Group::begin(store, own_deadline(limits))?);
    let mut close = Close(Some(store));
    match body() {
        Ok(result) => {
            close.end(true)?;
            Ok(result)
        }
        Err(error) => {
            // The body's error counts; if the group was doomed by a deadlock, it is of that kind.
            let _ = close.end(false);
            Err(error)
        }
    }
}

/// Forbids changes to the object by this thread's group, for as long as it lives.
pub(crate) struct Iteration(Rc<Group>);

impl Iteration {
    /// Starts an iteration in the open group.
    pub(crate) fn start(store: &Store) -> Option<Iteration> {
        let group = current(store)?;
        group.iterating.set(group.iterating.get() + 1);
        Some(Iteration(group))
    }
}

impl Drop for Iteration {
    fn drop(&mut self) {
        self.0.iterating.set(self.0.iterating.get() - 1);
    }
}

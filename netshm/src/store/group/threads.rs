//! The groups that a thread has open.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;

use super::state::{CLOSED, Group};
use super::update;
use crate::store::Store;
use crate::store::tx::TxState;

thread_local! {
    /// Number of groups that this thread has open.
    pub(super) static OPEN: Cell<usize> = const { Cell::new(0) };
    /// The group begun first, in memory that serves one after the other.
    static FIRST: First = First(Rc::new(Group::closed()));
    /// Those begun later, each on another object. They end in the reverse order. Never dropped (nor is anything left in it), so
    /// that groups work in destructors of other thread-locals and at exit.
    static FURTHER: RefCell<ManuallyDrop<Vec<Rc<Group>>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    /// The slots of the groups that only operations through their arguments join, with the numbers of their objects. Never dropped,
    /// as above.
    static APART: RefCell<ManuallyDrop<Vec<(u64, u32)>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    /// True if a group of this thread has ended in a deadlock since that was asked for last.
    pub(super) static DEADLOCKED: Cell<bool> = const { Cell::new(false) };
    /// Number of the store on which this thread met a deadlock last as it was about to change a stripe that it held for reading.
    static UPGRADED: Cell<u64> = const { Cell::new(CLOSED) };
}

/// A group that is there as long as its thread.
pub(super) struct First(Rc<Group>);

impl First {
    /// Returns the group, if that is the number of its store; not where thread-locals are gone already.
    #[inline(always)]
    pub(super) fn on(store: u64) -> Option<Rc<Group>> {
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

/// A group beside that in [`FIRST`], for as long as it lives.
pub(super) struct Further(pub(super) Rc<Group>);

impl Further {
    #[cold]
    pub(super) fn new() -> Further {
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

/// Tells, while it lives, that operations of this thread on the object need not belong to its group, which is open.
pub(super) struct Apart;

impl Apart {
    pub(super) fn begin(store: &Store) -> Option<Apart> {
        let slot = current(store)?.tx.try_borrow().ok()?.slot;
        APART.with_borrow_mut(|groups| groups.push((store.shared.id, slot)));
        Some(Apart)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // They end in the reverse order.
        APART.with_borrow_mut(|groups| {
            groups.pop();
            if groups.is_empty() {
                **groups = Vec::new();
            }
        });
    }
}

/// Returns whether the slot is that of a group of this thread which only operations through its argument join.
pub(in crate::store) fn is_apart(store: &Store, slot: u32) -> bool {
    APART.with_borrow(|groups| groups.contains(&(store.shared.id, slot)))
}

/// Sets the number of open groups. (`LocalKey::set` is a call, with a way to initialize what is initialized.)
#[inline(always)]
pub(super) fn set_open(number: usize) {
    OPEN.with(|open| open.set(number));
}

/// Returns the open group of this thread on the object.
#[inline(always)]
pub(super) fn current(store: &Store) -> Option<Rc<Group>> {
    if OPEN.get() == 0 {
        return None;
    }
    update::settle();
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

/// Returns the number of groups that this thread has open, on any object.
#[inline]
pub(crate) fn open() -> usize {
    OPEN.get()
}

/// Returns whether a group of this thread has ended in a deadlock since the last call.
pub(crate) fn take_deadlocked() -> bool {
    DEADLOCKED.take()
}

/// Notes that this thread was about to change a stripe that it held for reading, and met a deadlock: others who read it want to change
/// it too. Of many, each would meet one after the other.
#[cold]
pub(in crate::store) fn note_upgrade(store: &Store) {
    UPGRADED.set(store.id);
}

/// Lets a transaction lock for changes what it reads, if the last one of this thread met others who did as it did.
#[inline(always)]
pub(super) fn use_upgrade(store: &Store, tx: &mut TxState) {
    if UPGRADED.get() == store.id {
        begin_upgraded(tx);
    }
}

#[cold]
#[inline(never)]
fn begin_upgraded(tx: &mut TxState) {
    UPGRADED.set(CLOSED);
    tx.reads_to_change = true;
}

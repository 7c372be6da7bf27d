//! From a descriptor to a store: creating, checking and opening objects.

mod alone;
mod catalogue;
mod header;
pub(crate) mod holes;
mod initialising;
mod members;
mod spec;
mod stored;

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

pub(crate) use alone::Alone;
pub(crate) use catalogue::{Catalogue, Member};
pub(crate) use header::Header;
#[cfg(feature = "damage")]
pub(crate) use header::checksum;
pub(crate) use spec::{Agreement, Shape, Spec};
pub(crate) use stored::{Stored, stored, stored_member, stored_members, undisturbed};

use alone::check_reentrant;
#[cfg(any(test, feature = "damage"))]
pub(crate) use initialising::SEED;
use initialising::{Initialising, emptied};
use stored::no_member;

use super::{Limits, Shared, Store, group};
use crate::data::{Relation, hash_text};
use crate::error::{Error, Result};
use crate::locking::{Awaited, Backoff, Deadline, Wait};
use crate::os::file::Identity;
use crate::os::lock::{self, Outcome, bytes};
use crate::os::{file, path};
use crate::shm::{Claim, Object, Shm, TypeClaim};

/// Returns where a check of the whole object finds damage, if anywhere; with the types of the store's member, if it is the one that
/// was asked for.
pub(crate) type Damage<'a> = &'a dyn Fn(&Store, bool) -> Result<Option<u64>>;

/// An open member: its store, and the claim that tells others that it is open.
pub(crate) type Opened = (Arc<Store>, TypeClaim);

/// Outcome of looking for a member.
enum Sought {
    Found(Opened),
    /// No member has the name. Contains the object, and `true` if this process has just initialised it.
    Missing(Box<Store>, bool),
}

/// Opens a member of an object, which is added if it has a name and is not there yet.
///
/// # Errors
/// [`Error::Replaced`] if the name stands for another object, which is to be opened instead.
///
/// If it fails, an object that this process has just created, and nobody has stored anything in, is not there any more.
pub(crate) fn open(shm: &Shm, spec: &Spec<'_>, limits: Limits, damage: Damage<'_>) -> Result<Opened> {
    open_or_add(shm, spec, limits, damage).inspect_err(|_| abandon(shm))
}

fn open_or_add(shm: &Shm, spec: &Spec<'_>, limits: Limits, damage: Damage<'_>) -> Result<Opened> {
    if let Some(name) = &spec.shape.name
        && !catalogue::is_name(name)
    {
        let reason = "a member has a name of 1 to 63 bytes, without control characters and without '/'".to_owned();
        return Err(Error::InvalidOption { option: "named", value: format!("{name:?}"), reason });
    }
    loop {
        match seek(shm, spec, group::own_deadline(limits), damage)? {
            Sought::Found(opened) => {
                if spec.shape.give_back_live {
                    opened.0.give_back_live()?;
                }
                return Ok(opened);
            }
            Sought::Missing(whole, is_new) => {
                let may_add = spec.shape.name.is_some() && !spec.shape.existing && !shm.object().read_only();
                if !may_add {
                    return Err(whole.no_member(shm, spec.shape.name.as_deref()));
                }
                // Whoever is first adds it.
                if let Err(error) = whole.add_member(shm, spec, limits) {
                    drop(whole);
                    if is_new {
                        undo_creation(shm);
                    }
                    return Err(error);
                }
            }
        }
    }
}

/// Removes an object that this process has created if nothing has been stored in it, and nobody else is about to.
pub(crate) fn abandon(shm: &Shm) {
    let object = shm.object();
    if !object.is_created() || object.check_fork().is_err() {
        return;
    }
    let Some(_alone) = object.try_manage_guard() else { return };
    let locked = lock::ofd_lock(object.lock_fd(), lock::LockKind::Exclusive, bytes::INIT, false);
    if !locked.is_ok_and(|outcome| outcome == Outcome::Locked) {
        return;
    }
    let init = Initialising { object, deadline: Deadline::none() };
    if let Ok(Some(_claim)) = Claim::alone(object)
        && Header::is_unwritten(object).is_ok_and(|unwritten| unwritten)
    {
        init.abandon();
    }
}

/// Turns an object that has no member, and that nobody else uses, into an empty file again, or removes it if it was created
/// by opening this handle.
#[cold]
fn undo_creation(shm: &Shm) {
    if shm.created().is_some() {
        return uncreate(shm);
    }
    if let Ok(alone) = Alone::open(shm, "undo its creation")
        && alone.members().is_ok_and(|members| members.is_empty())
    {
        let _ = file::truncate(shm.object().fd(), 0);
    }
}

/// Removes an object that was created by opening this handle, unless somebody else uses it or has stored anything in it. All
/// other handles of the object in this process have been dropped.
pub(crate) fn uncreate(shm: &Shm) {
    let Some(name) = shm.created() else { return };
    abandon(shm);
    let Ok(alone) = Alone::open(shm, "undo its creation") else { return };
    if alone.store.holds_nothing() {
        // Whoever waits for the object opens what is there afterwards.
        alone.mark_replaced();
        let _ = path::remove(&name.path(), shm.object().identity());
    }
}

/// Returns the store of the whole object: the one that this process has already or a new one.
pub(crate) fn whole(shm: &Shm, limits: Limits, damage: Damage<'_>) -> Result<Store> {
    let object = shm.object();
    object.check_fork()?;
    check_reentrant(object)?;
    let deadline = group::own_deadline(limits);
    let _alone = manage_guard(object, &deadline)?;
    if let Some(shared) = attached(object) {
        shm.check_name()?;
        return Ok(Store::of(&shared, None));
    }
    let (store, _) = Initialising::lock(shm, deadline)?.open(None, damage)?;
    attach(object, &store);
    Ok(store)
}

/// Returns what this process has of the object already.
pub(super) fn attached(object: &Object) -> Option<Arc<Shared>> {
    let attached = object.store_slot().lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Weak::upgrade);
    attached.and_then(|any| any.downcast().ok())
}

fn attach(object: &Object, store: &Store) {
    let any: Arc<dyn std::any::Any + Send + Sync> = store.shared.clone();
    *object.store_slot().lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(&any));
}

fn seek(shm: &Shm, spec: &Spec<'_>, deadline: Deadline, damage: Damage<'_>) -> Result<Sought> {
    let object = shm.object();
    object.check_fork()?;
    check_reentrant(object)?;
    let _alone = manage_guard(object, &deadline)?;
    let Some(shared) = attached(object) else {
        let init = Initialising::lock(shm, deadline)?;
        let is_new = Header::is_unwritten(object)?;
        let (store, opened) = init.open(Some(spec), damage)?;
        attach(object, &store);
        return Ok(match opened {
            Some(claim) => Sought::Found((Arc::new(store), claim)),
            None => Sought::Missing(Box::new(store), is_new),
        });
    };
    shm.check_name()?;
    if Header::is_unwritten(object)? {
        return Err(emptied(object));
    }
    let whole = Store::of(&shared, None);
    // An error if the file has been overwritten.
    whole.region().file_size()?;
    let header = Header::read(object)?;
    // Of the member without a name, nothing changes but the schema, which only grows.
    let unnamed = Member::unnamed(&header).filter(|_| spec.shape.name.is_none());
    let again = unnamed.and_then(|member| Some((TypeClaim::again(object, member.id, spec.schema_hash)?, member)));
    let (claim, member, _init) = match again {
        Some((claim, member)) => (claim, member, None),
        None => {
            let init = Initialising::lock(shm, deadline)?;
            let catalogue = Catalogue::read(object, &header)?;
            let Some(member) = catalogue.find(spec.shape.name.as_deref()) else {
                return Ok(Sought::Missing(Box::new(whole), false));
            };
            (init.claim_type(member, spec)?, member.clone(), Some(init))
        }
    };
    let member = &member;
    if spec.shape.recreate && !header.is_like(member, object, spec) {
        return Err(Error::InUse { object: object.name().clone(), wanted: "recreate it with another layout" });
    }
    let agreement = header.check(member, object, spec)?;
    Ok(Sought::Found((Arc::new(Store::of(&shared, Some(member)).with_type(spec, agreement)), claim)))
}

/// The first and the longest pause between attempts at a lock that another process holds while it opens the object.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Tries until it succeeds, or until the deadline.
fn poll<R>(object: &Object, deadline: &Deadline, attempt: impl FnMut() -> Result<Option<R>>) -> Result<R> {
    poll_beside_readers(object, deadline, attempt, || Ok(None))
}

/// Polls as [`poll`] does; `reader` finds the holder of a shared lock that is in the way, if there is one.
fn poll_beside_readers<R>(
    object: &Object,
    deadline: &Deadline,
    mut attempt: impl FnMut() -> Result<Option<R>>,
    reader: impl Fn() -> Result<Option<Option<u32>>>,
) -> Result<R> {
    let mut wait: Option<Wait<'_>> = None;
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        if let Some(result) = attempt()? {
            return Ok(result);
        }
        let wait = wait.get_or_insert_with(|| deadline.wait(Awaited::Opening));
        wait.note_reader(reader()?);
        wait.check_for(|| object.name().clone(), || None)?;
        backoff.pause(wait);
    }
}

/// Waits until no other thread of this process opens the object.
fn manage_guard<'a>(object: &'a Object, deadline: &Deadline) -> Result<MutexGuard<'a, ()>> {
    if !deadline.is_limited() {
        return Ok(object.manage_guard());
    }
    poll(object, deadline, || Ok(object.try_manage_guard()))
}

/// Locks the byte for initialising the object: exclusively, or shared through a read-only descriptor.
fn lock_init(object: &Object, deadline: &Deadline) -> Result<()> {
    object.check_descriptors()?;
    let failed = |source| Error::Io { object: object.name().clone(), doing: "wait for its initialisation", source };
    if object.read_only() && !deadline.is_limited() && !object.lock_fd().is_of_process() {
        // Only openers for writing exclude it.
        return lock::ofd_lock(object.lock_fd(), lock::LockKind::Shared, bytes::INIT, true).map(drop).map_err(failed);
    }
    let kind = if object.read_only() { lock::LockKind::Shared } else { lock::LockKind::Exclusive };
    let attempt = || {
        let outcome = lock::ofd_lock(object.lock_fd(), kind, bytes::INIT, false).map_err(failed)?;
        Ok((outcome == Outcome::Locked).then_some(()))
    };
    // A reader can keep its lock for ever, which a wait in the kernel would not notice.
    let reader = || {
        let conflict = lock::ofd_conflict(object.lock_fd(), kind, bytes::INIT).map_err(failed)?;
        Ok(conflict.filter(|conflict| conflict.kind == lock::LockKind::Shared).map(|conflict| conflict.pid))
    };
    poll_beside_readers(object, deadline, attempt, reader)
}

/// Runs `act` while nobody opens the object. The caller has a slot already: whoever has one may wait for others to open the object,
/// but nobody who opens it waits for one.
pub(super) fn while_nobody_opens<R>(
    object: &Arc<Object>,
    deadline: &Deadline,
    act: impl FnOnce() -> Result<R>,
) -> Result<R> {
    let _alone = manage_guard(object, deadline)?;
    lock_init(object, deadline)?;
    let _init = Initialising { object, deadline: Deadline::none() };
    act()
}

/// State in which an object was found.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Nobody else uses it, and nobody can begin to.
    alone: bool,
    /// Another process says so by its lock.
    known_to_be_sound: bool,
}

thread_local! {
    /// The objects that this thread has alone while it runs code of the user. Never dropped (nor is anything left in it), so that
    /// objects can be opened in destructors of other thread-locals and at exit.
    static CALLING: RefCell<ManuallyDrop<Vec<Identity>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

impl Store {
    /// Returns whether no member has a key, or an element that was ever set.
    fn holds_nothing(&self) -> bool {
        let count = |stripe| self.field(self.geometry().stripe(stripe).keys()).load(Relaxed);
        self.all_stripes().all(|stripe| count(stripe) == 0)
    }

    /// Returns the text of the stored schema, and its version.
    pub(crate) fn schema(&self) -> Result<(String, u64)> {
        header::schema(self.region().object(), self.geometry()).map(|schema| (schema.text, schema.version))
    }

    /// Replaces the stored schema by one that extends it, if it is older than what `relate` compares it with. Programs that know
    /// the stored one only go on.
    pub(super) fn replace_schema(
        &self,
        limits: Limits,
        relate: impl FnOnce(String) -> Result<Relation>,
    ) -> Result<Agreement> {
        let deadline = group::own_deadline(limits);
        // The slot comes first: the owner of a slot may wait for processes that open the object, but these never wait for a slot.
        group::with_slot(self, &deadline, |slot| {
            let object = self.region().object();
            let _alone = manage_guard(object, &deadline)?;
            lock_init(object, &deadline)?;
            let _init = Initialising { object, deadline: Deadline::none() };
            let (stored, version) = self.schema()?;
            let relation = relate(stored)?;
            let agreement = Agreement::of(&relation, version);
            let Relation::Older { text, .. } = relation else { return Ok(agreement) };
            self.write_schema(slot, &deadline, &text, hash_text(&text))?;
            Ok(Agreement { version: self.schema_version(), is_older: false, ..agreement })
        })
    }
}

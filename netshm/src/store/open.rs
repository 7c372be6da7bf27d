//! From a descriptor to a store: creating, checking and opening objects.

mod catalogue;
mod header;
mod holes;
mod members;

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

pub(crate) use catalogue::{Catalogue, Member};
pub(crate) use header::Header;

use super::{Limits, Shared, Store, group};
use crate::data::{ObjectSchema, Relation, hash_text};
use crate::error::{Error, Result};
use crate::events;
use crate::layout::bucket::Form;
use crate::layout::entry::{ENTRIES, ENTRY_BYTES, FEWEST_ENTRIES};
use crate::layout::header::{self as at, ObjectKind};
use crate::layout::method::Locking;
use crate::layout::{Dimensions, Geometry, MAX_OBJECT, MOST_STRIPES, Offset, STRIPE_BYTES, round_up};
use crate::locking::{Awaited, Deadline, Wait};
use crate::mark;
use crate::os::file::Identity;
use crate::os::lock::{self, Outcome, bytes};
use crate::os::{file, path};
use crate::region::{Region, no_space};
use crate::shm::{Claim, Object, Shm, TypeClaim};

/// What the caller expects of the object.
pub(crate) struct Spec<'a> {
    pub(crate) kind: ObjectKind,
    /// Text of the schema.
    pub(crate) schema: String,
    /// Hash of the schema's structure.
    pub(crate) schema_hash: u64,
    /// Encoded default value of an array.
    pub(crate) default: Vec<u64>,
    /// Words of an array element that lies in its chunk, otherwise 0.
    pub(crate) element_words: u64,
    /// Form of the buckets of a table.
    pub(crate) form: Form,
    /// Where the stored default value of an array is put if it was made by another version of the type.
    pub(crate) other_default: &'a Cell<Option<Vec<u64>>>,
    /// Whether values keep what newer programs have added to them.
    pub(crate) keeps_rest: bool,
    /// Shows a default value to a person.
    pub(crate) show_default: &'a dyn Fn(&[u64]) -> String,
    /// Shows the first difference between a stored schema text and the expected one.
    pub(crate) difference: &'a dyn Fn(&str) -> String,
    /// The types as a tree.
    pub(crate) types: Arc<ObjectSchema>,
    pub(crate) shape: Shape,
}

/// How a stored type relates to the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// The version of the stored schema.
    pub(super) version: u64,
    /// Whether it lacks something.
    pub(super) is_older: bool,
    /// Whether it has something that the other lacks.
    pub(super) is_newer: bool,
}

impl Agreement {
    pub(super) fn of(relation: &Relation, version: u64) -> Agreement {
        let (is_older, is_newer) = match relation {
            Relation::Same => (false, false),
            Relation::Older { is_newer_too, .. } => (true, *is_newer_too),
            Relation::Newer => (false, true),
        };
        Agreement { version, is_older, is_newer }
    }
}

/// The options that matter when an object is created.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub(crate) pagesize: Option<u64>,
    pub(crate) init: Option<u64>,
    pub(crate) stripes: Option<u32>,
    pub(crate) slots: Option<u32>,
    pub(crate) max_size: Option<u64>,
    /// How many stripes the object has room for.
    pub(crate) stripe_room: Option<u32>,
    /// Whether this process gives memory back beside others.
    pub(crate) give_back_live: bool,
    pub(crate) locking: Option<Locking>,
    pub(crate) recreate: bool,
    /// The name of a member.
    pub(crate) name: Option<String>,
    /// Whether a member that is not there is an error, and not added.
    pub(crate) existing: bool,
}

const PAGESIZE: u64 = 256;
const INIT: u64 = 1000;
const STRIPES: u32 = 64;
const SLOTS: u32 = 128;
/// How many stripes there can be, of all members, and the part of the largest size that room for them may take.
const STRIPE_ROOM: u32 = 4096;
const ROOM_PART: u64 = 64;
/// The factor between `pagesize * init` and the largest size, as in the original.
const SIZE_FACTOR: u64 = 32768;
/// The smallest maximum size: what an empty object with the default options needs, several times over.
const LEAST_MAX_SIZE: u64 = 1 << 16;

impl Shape {
    /// Returns the geometry of a fresh object, if all options are within their ranges.
    fn geometry(&self, spec: &Spec<'_>) -> Result<Geometry> {
        fn range<T: PartialOrd + ToString + Copy>(
            option: &'static str,
            value: T,
            range: std::ops::RangeInclusive<T>,
        ) -> Result<T> {
            if range.contains(&value) {
                return Ok(value);
            }
            let reason = format!("it must be between {} and {}", range.start().to_string(), range.end().to_string());
            Err(Error::InvalidOption { option, value: value.to_string(), reason })
        }
        fn power_of_two<T: ToString>(option: &'static str, value: T, is: bool) -> Result<T> {
            if is {
                return Ok(value);
            }
            let reason = "it must be a power of two".to_owned();
            Err(Error::InvalidOption { option, value: value.to_string(), reason })
        }
        let pagesize = range("pagesize", self.pagesize.unwrap_or(PAGESIZE), 256..=1 << 20)?;
        let pagesize = power_of_two("pagesize", pagesize, pagesize.is_power_of_two())?;
        let init = range("init", self.init.unwrap_or(INIT), 1..=1 << 40)?;
        let stripes = range("stripes", self.stripes.unwrap_or(STRIPES), 1..=1 << 16)?;
        let stripes = power_of_two("stripes", stripes, stripes.is_power_of_two())?;
        let slots = range("slots", self.slots.unwrap_or(SLOTS), 1..=1 << 15)?;
        let max_size = match self.max_size {
            Some(bytes) => range("max_size", bytes, LEAST_MAX_SIZE..=MAX_OBJECT)?,
            None => pagesize.saturating_mul(init).saturating_mul(SIZE_FACTOR).clamp(1 << 26, MAX_OBJECT),
        };
        // As much of a small object as of a large one at most.
        let most = |bytes: u64| u32::try_from(max_size / ROOM_PART / bytes).unwrap_or(u32::MAX);
        let stripe_room = match self.stripe_room {
            Some(room) => range("stripe_room", room, stripes..=MOST_STRIPES)?,
            None => most(STRIPE_BYTES).clamp(stripes, STRIPE_ROOM.max(stripes)),
        };
        let member_room = (most(ENTRY_BYTES) / FEWEST_ENTRIES * FEWEST_ENTRIES).clamp(FEWEST_ENTRIES, ENTRIES);
        let is_named = self.name.is_some();
        let dimensions = Dimensions {
            pagesize,
            stripes: if is_named { 0 } else { stripes },
            slots,
            init,
            max_size: max_size / pagesize * pagesize,
            schema_bytes: if is_named { 0 } else { round_up(spec.schema.len() as u64, 64) },
            default_words: if is_named { 0 } else { spec.default.len() as u64 },
            form: if is_named { Form::Records } else { spec.form },
            stripe_room,
            member_room,
        };
        let geometry = dimensions.geometry();
        let least = geometry.data_start() + pagesize;
        if geometry.max_size < least {
            let reason =
                format!("with {stripes} stripes and {slots} slots an empty object takes {least} bytes already");
            return Err(Error::InvalidOption { option: "max_size", value: max_size.to_string(), reason });
        }
        Ok(geometry)
    }

    /// Returns the stripes and expected keys of a further member, or their defaults.
    fn of_member(&self, stripes: u32, init: u64) -> Result<(u32, u64)> {
        let (stripes, init) = (self.stripes.unwrap_or(stripes), self.init.unwrap_or(init));
        let refuse = |option, value: String, reason: &str| {
            Err(Error::InvalidOption { option, value, reason: reason.to_owned() })
        };
        if !stripes.is_power_of_two() || stripes > MOST_STRIPES {
            return refuse("stripes", stripes.to_string(), "it must be a power of two up to 65536");
        }
        if !(1..=1 << 40).contains(&init) {
            return refuse("init", init.to_string(), "it must be between 1 and 1099511627776");
        }
        Ok((stripes, init))
    }

    /// Returns whether an existing object has the shape that is asked for, where something is asked for.
    fn agrees_with(&self, geometry: &Geometry) -> bool {
        self.pagesize.is_none_or(|value| value == geometry.pagesize)
            && self.init.is_none_or(|value| value == geometry.init)
            && self.stripes.is_none_or(|value| value == geometry.stripes)
            && self.slots.is_none_or(|value| value == geometry.slots)
            && self.stripe_room.is_none_or(|value| value == geometry.stripe_room)
            && self.max_size.is_none_or(|value| value / geometry.pagesize * geometry.pagesize == geometry.max_size)
    }
}

/// Returns where a check of the whole object finds damage, if anywhere; with the types of the store's member, if it is the one that
/// was asked for.
pub(crate) type Damage<'a> = &'a dyn Fn(&Store, bool) -> Result<Option<u64>>;

/// What a member is opened as: its store, and what tells others that it is open.
pub(crate) type Opened = (Arc<Store>, TypeClaim);

/// What was found of a member.
enum Sought {
    Found(Opened),
    /// There is none of that name in the object, which this is; and whether this process has just made it of an empty file.
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
        match seek(shm, spec, limits.deadline(), damage)? {
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

/// Makes an object that has no member, and that nobody else uses, an empty file again, or removes it if it was created by opening this
/// handle.
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
        let _ = path::Directory::find(&name.path(), true).and_then(|place| place.remove(shm.object().identity()));
    }
}

/// Returns the store of the whole object: the one that this process has already or a new one.
pub(crate) fn whole(shm: &Shm, limits: Limits, damage: Damage<'_>) -> Result<Store> {
    let object = shm.object();
    object.check_fork()?;
    check_reentrant(object)?;
    let deadline = limits.deadline();
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
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(result) = attempt()? {
            return Ok(result);
        }
        let wait = wait.get_or_insert_with(|| deadline.wait(Awaited::Opening));
        wait.note_reader(reader()?);
        wait.check_for(|| object.name().clone(), || None)?;
        std::thread::sleep(wait.pause(pause));
        pause = (pause * 2).min(LONGEST_PAUSE);
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

/// How an object was found.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Nobody else uses it, and nobody can begin to.
    alone: bool,
    /// Another process says so by its lock.
    known_to_be_sound: bool,
}

/// Returns the error for a file that was emptied while in use; no second object is created in it.
fn emptied(object: &Object) -> Error {
    Error::InUse { object: object.name().clone(), wanted: "initialise it, whose file has been emptied" }
}

/// The lock for initialising or opening the object, held until dropped.
struct Initialising<'a> {
    object: &'a Arc<Object>,
    deadline: Deadline,
}

impl<'a> Initialising<'a> {
    fn lock(shm: &'a Shm, deadline: Deadline) -> Result<Self> {
        let object = shm.object();
        lock_init(object, &deadline)?;
        let lock = Initialising { object, deadline };
        // Whoever replaces the object holds this lock meanwhile.
        shm.check_name()?;
        Ok(lock)
    }

    /// Opens the object, and a member of it if one is asked for and is there.
    fn open(self, spec: Option<&Spec<'_>>, damage: Damage<'_>) -> Result<(Store, Option<TypeClaim>)> {
        let object = self.object;
        // Before the content is read: a process that truncates the object has it alone for that moment.
        let claim = self.share_use()?;
        let look = |source| self.io("look who uses it", source);
        let alone = !object.read_only() && claim.exclude_others().map_err(look)?;
        let known_to_be_sound = claim.others_vouch().map_err(look)?;
        let state = Found { alone, known_to_be_sound };
        if let Some(spec) = spec
            && Header::is_unwritten(object)?
        {
            if !alone && !object.read_only() {
                return Err(emptied(object));
            }
            if let (Some(name), true) = (&spec.shape.name, spec.shape.existing) {
                let (object, name) = (object.name().clone(), name.clone());
                return Err(Error::NoMember { object, name, members: Vec::new() });
            }
            let outcome = self.create(spec).and_then(|()| self.open_complete(Some(spec), damage, claim, state));
            return outcome.inspect_err(|_| self.abandon()).inspect(|_| drop(object.take_created()));
        }
        object.take_created();
        if let Some(spec) = spec
            && spec.shape.recreate
        {
            self.recreate(spec, alone)?;
        }
        self.open_complete(spec, damage, claim, state)
    }

    /// Creates the object anew, if it has to get another layout, or nobody else has it.
    fn recreate(&self, spec: &Spec<'_>, alone: bool) -> Result<()> {
        let object = self.object;
        let wanted = "recreate it with another layout";
        self.check_writable(wanted)?;
        let header = Header::read(object)?;
        let catalogue = Catalogue::read(object, &header)?;
        let names = catalogue.names();
        let member = catalogue.find(spec.shape.name.as_deref());
        if names.is_empty() && spec.shape.name.is_none() && alone {
            self.create(spec)
        } else if member.is_some_and(|member| header.is_like(member, object, spec))
            || (member.is_none() && spec.shape.name.is_some())
        {
            // Whoever shares it sees it emptied by a change like any other.
            Ok(())
        } else if !names.is_empty() {
            let reason = format!("with another layout, all members of the object would be lost: {}", names.join(", "));
            Err(Error::InvalidOption { option: "recreate", value: "true".to_owned(), reason })
        } else {
            Err(Error::InUse { object: object.name().clone(), wanted })
        }
    }

    /// Leaves nothing behind of an object that could not be created.
    fn abandon(&self) {
        let object = self.object;
        if object.read_only() {
            return;
        }
        let Some(name) = object.take_created() else {
            let _ = file::truncate(object.fd(), 0);
            return;
        };
        // Others may have opened the file already, and wait for the right to create the object that would have no name.
        let removed = file::truncate(object.fd(), at::ABANDONED_BYTES)
            .and_then(|()| path::Directory::find(&name.path(), true)?.remove(object.identity()));
        if !removed.is_ok_and(|is_ours| is_ours) {
            let _ = file::truncate(object.fd(), 0);
        }
    }

    /// Makes sure that the object can be written to in place, however full the disk is.
    fn own_space(&self, header: &Header) -> Result<()> {
        let object = self.object;
        let geometry = &header.geometry;
        let size = file::size(object.fd()).map_err(|source| self.io("look up the size", source))?;
        let size = size.min(geometry.max_size);
        let [stripes_used, entries_used, _] = header::counts(object, geometry)?;
        // The holes that an object has itself stay.
        let front = if entries_used == 0 { geometry.catalogue().start } else { geometry.catalogue().end };
        let stripes = geometry.catalogue().end..geometry.stripes_end(stripes_used as u32);
        let mut parts = vec![0..front, stripes, geometry.data_start()..size];
        let needed = parts.iter().map(|part| part.end.saturating_sub(part.start)).sum::<u64>();
        if file::allocated(object.fd()).map_err(|source| self.io("look up its memory", source))? < needed {
            parts.pop();
            let mut start = geometry.data_start();
            for hole in holes::of(object, geometry)? {
                parts.push(start..hole.start);
                start = hole.end;
            }
            parts.push(start..size);
        }
        file::own_space(object.fd(), &parts).map_err(|source| no_space(object.name(), size, source))
    }

    fn open_complete(
        &self,
        spec: Option<&Spec<'_>>,
        damage: Damage<'_>,
        claim: Claim,
        state: Found,
    ) -> Result<(Store, Option<TypeClaim>)> {
        let object = self.object;
        let header = Header::read(object)?;
        if !object.read_only() {
            self.own_space(&header)?;
        }
        let region = Region::map(object.clone(), header.geometry)?;
        let mut store = Store::new(region, claim, &header);
        events::opened(object.name(), header.locking, object.read_only());
        store.check_logs(state.known_to_be_sound)?;
        if !object.read_only() {
            store.recover_or_reset(&self.deadline)?;
        }
        // Only now: what a dead process has left half written is undone. (Through a read-only descriptor, what was
        // committed is looked up.)
        let catalogue = Catalogue::read(object, &header)?;
        let member = spec.and_then(|spec| Some((spec, catalogue.find(spec.shape.name.as_deref())?)));
        let opened = match member {
            Some((spec, member)) => {
                let type_claim = self.claim_type(member, spec)?;
                let agreement = header.check(member, object, spec)?;
                store = Store::of(&store.shared, Some(member)).with_type(spec, agreement);
                Some(type_claim)
            }
            None => None,
        };
        store.settle_in(state.known_to_be_sound, &|store| damage(store, opened.is_some()))?;
        if state.alone {
            // What cannot be given back stays; damage is reported elsewhere.
            let _ = store.trim_if_much(&self.deadline);
            store.shared.claim.admit_others().map_err(|source| self.io("share it", source))?;
        }
        if !object.read_only() {
            let most = catalogue.members.iter().map(|member| member.geometry.stripes).max().unwrap_or(1);
            match store.reserve_log(most, &self.deadline) {
                // A full object is used as it is.
                Ok(()) | Err(Error::Full { .. } | Error::NoSpace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((store, opened))
    }

    fn claim_type(&self, member: &Member, spec: &Spec<'_>) -> Result<TypeClaim> {
        TypeClaim::new(self.object, member.id, spec.schema_hash).map_err(|source| self.io("note its type", source))
    }

    /// Makes sure that nobody else has the object mapped.
    fn use_alone(&self, wanted: &'static str) -> Result<Claim> {
        self.check_writable(wanted)?;
        match Claim::alone(self.object) {
            Ok(Some(claim)) => Ok(claim),
            Ok(None) => Err(Error::InUse { object: self.object.name().clone(), wanted }),
            Err(source) => Err(self.io("look who uses it", source)),
        }
    }

    fn check_writable(&self, wanted: &'static str) -> Result<()> {
        if self.object.read_only() {
            return Err(Error::ReadOnly { object: self.object.name().clone(), wanted });
        }
        Ok(())
    }

    fn share_use(&self) -> Result<Claim> {
        poll(self.object, &self.deadline, || Claim::share(self.object).map_err(|source| self.io("share it", source)))
    }

    fn io(&self, doing: &'static str, source: std::io::Error) -> Error {
        Error::Io { object: self.object.name().clone(), doing, source }
    }

    /// Writes an empty object. The first words mark it as unfinished until the last one is there.
    fn create(&self, spec: &Spec<'_>) -> Result<()> {
        let object = self.object;
        if object.read_only() {
            return Err(Error::ReadOnly { object: object.name().clone(), wanted: "initialise it" });
        }
        let geometry = spec.shape.geometry(spec)?;
        // While nothing has been touched.
        Region::try_map(object, &geometry)?;
        let random = || file::random().map_err(|source| self.io("draw a random number", source));
        let (seed, id) = (random()?, [random()?, random()?]);
        let file = file::place(object.fd()).map_err(|source| self.io("look up its file", source))?;
        let locking = spec.shape.locking.unwrap_or(Locking::Futex);
        let is_named = spec.shape.name.is_some();
        let header = match is_named {
            // The member itself is added when the object is there.
            true => Header { geometry, locking, kind: None, seed, element_words: 0 },
            false => Header { geometry, locking, kind: Some(spec.kind), seed, element_words: spec.element_words },
        };
        let (text, hash, default) =
            if is_named { ("", 0, &[][..]) } else { (&*spec.schema, spec.schema_hash, &spec.default[..]) };
        let size = geometry.data_start() + geometry.pagesize;
        let stripes_used = geometry.own().end;
        let write = |words: &[u64], place: Offset| {
            file::write_at(object.fd(), bytemuck::cast_slice(words), place.0)
                .map_err(|source| no_space(object.name(), size, source))
        };
        let flush = || file::sync_data(object.fd()).map_err(|source| self.io("write it back", source));
        let was_empty = file::size(object.fd()).map_err(|source| self.io("look up the size", source))? == 0;
        let fill = || {
            write(&[at::MAGIC, at::INITIALISING], at::MAGIC_AT)?;
            if !was_empty {
                // Otherwise storage might hold the old header with nothing behind it.
                flush()?;
            }
            file::truncate(object.fd(), 16).map_err(|source| self.io("cut it to its mark", source))?;
            let full = |source| no_space(object.name(), size, source);
            // The catalogue, and the table of stripes behind those in use, are holes.
            let front = geometry.catalogue().start;
            file::allocate(object.fd(), 0, front).map_err(full)?;
            let rest = geometry.catalogue().end;
            file::allocate(object.fd(), rest, geometry.stripes_end(stripes_used) - rest).map_err(full)?;
            let data = geometry.data_start();
            file::allocate(object.fd(), data, size - data).map_err(full)?;
            write(&[at::FORMAT, at::FINGERPRINT], at::FORMAT_AT)?;
            let fields = header.fields();
            write(&fields, at::FIELDS_AT)?;
            write(&[header::checksum(&fields)], at::CHECKSUM_AT)?;
            let schema = [geometry.schema(), text.len() as u64, hash];
            write(&schema, geometry.part().schema_at())?;
            write(&[stripes_used.into()], at::STRIPES_USED)?;
            file::write_at(object.fd(), text.as_bytes(), geometry.schema()).map_err(full)?;
            write(default, Offset(geometry.default_value()))?;
            write(&id, at::ID)?;
            write(&file, at::FILE)?;
            write(&file::boot_id(), at::BOOTS)?;
            write(&[mark::DURABLE], at::DIRTY)?;
            write(&[geometry.data_start()], geometry.stripe(geometry.meta()).top())?;
            // If storage has the object as complete, it has all of it, and its mark.
            flush()?;
            write(&[at::READY], at::STATE_AT)
        };
        fill().inspect_err(|_| {
            // There was nothing before, and there is nothing useful now.
            let _ = file::truncate(object.fd(), 0);
        })?;
        events::created(object.name(), size, locking);
        Ok(())
    }
}

/// The stored description of an object.
pub(crate) struct Stored {
    pub(crate) header: Header,
    pub(crate) member: Member,
    /// Text of the schema.
    pub(crate) schema: String,
    /// Words of an array's default value.
    pub(crate) default: Vec<u64>,
}

/// Reads what a member of an object says of itself, while nobody initialises the object or changes its members.
pub(crate) fn stored(shm: &Shm, name: Option<&str>) -> Result<Stored> {
    with_catalogue(shm, |header, catalogue| match catalogue.find(name) {
        Some(member) => stored_member(shm, header, member),
        None => Err(no_member(shm.object(), catalogue, name)),
    })
}

/// Reads what all members of an object say of themselves.
pub(crate) fn stored_members(shm: &Shm) -> Result<Vec<Stored>> {
    with_catalogue(shm, |header, catalogue| {
        let present = catalogue.members.iter().filter(|member| !member.is_leaving);
        present.map(|member| stored_member(shm, header, member)).collect()
    })
}

/// Reads what a member says of itself.
pub(crate) fn stored_member(shm: &Shm, header: &Header, member: &Member) -> Result<Stored> {
    let schema = member.schema(shm.object())?;
    let default = member.default_value(shm.object())?;
    Ok(Stored { header: header.clone(), member: member.clone(), schema, default })
}

/// Returns the error for a member that is not there.
fn no_member(object: &Object, catalogue: &Catalogue, name: Option<&str>) -> Error {
    let mut members = catalogue.names();
    members.sort_unstable();
    Error::NoMember { object: object.name().clone(), name: name.unwrap_or_default().to_owned(), members }
}

fn with_catalogue<R>(shm: &Shm, look: impl Fn(&Header, &Catalogue) -> Result<R>) -> Result<R> {
    let object = shm.object();
    object.check_fork()?;
    check_reentrant(object)?;
    // Who has it open reads past those who add members or remove them, however long they take.
    if attached(object).is_some() {
        for _ in 0..header::READINGS {
            let header = Header::read(object)?;
            let epoch = header::meta_epoch(object, &header.geometry)?;
            let found = Catalogue::read(object, &header).and_then(|catalogue| look(&header, &catalogue));
            if header::meta_epoch(object, &header.geometry)? == epoch {
                return found;
            }
        }
    }
    let deadline = group::own_deadline(Limits { lock_timeout: shm.lock_timeout() });
    let _alone = manage_guard(object, &deadline)?;
    let lock = Initialising::lock(shm, deadline)?;
    // A store shares the use of the object already.
    let _claim = match attached(object) {
        Some(_) => None,
        None => Some(lock.share_use()?),
    };
    let header = Header::read(object)?;
    look(&header, &Catalogue::read(object, &header)?)
}

/// An object opened exclusively by this process, damaged or not.
pub(crate) struct Alone<'a> {
    pub(crate) store: Store,
    pub(crate) header: Header,
    lock: Initialising<'a>,
    /// Keeps other threads of this process away: the kernel takes the process for one owner of its locks.
    _guard: MutexGuard<'a, ()>,
}

thread_local! {
    /// The objects that this thread has alone while it runs code of the user.
    static CALLING: RefCell<Vec<Identity>> = const { RefCell::new(Vec::new()) };
}

/// Fails in code of the user that runs while this thread has the object alone, which would wait for itself.
fn check_reentrant(object: &Object) -> Result<()> {
    let is_calling = CALLING.with_borrow(|calling| calling.contains(&object.identity()));
    if is_calling { Err(Error::Reentrant { object: object.name().clone() }) } else { Ok(()) }
}

impl<'a> Alone<'a> {
    /// Runs code of the user, which may use other objects.
    pub(crate) fn calling<R>(&self, code: impl FnOnce() -> R) -> R {
        struct Calling;
        impl Drop for Calling {
            fn drop(&mut self) {
                CALLING.with_borrow_mut(Vec::pop);
            }
        }
        CALLING.with_borrow_mut(|calling| calling.push(self.lock.object.identity()));
        let _calling = Calling;
        code()
    }

    /// Opens the object if nobody else has it open. What dead writers left is undone as far as their logs are sound.
    pub(crate) fn open(shm: &'a Shm, wanted: &'static str) -> Result<Self> {
        let object = shm.object();
        object.check_fork()?;
        check_reentrant(object)?;
        let guard = object.manage_guard();
        if attached(object).is_some() {
            return Err(Error::InUse { object: object.name().clone(), wanted });
        }
        let lock = Initialising::lock(shm, Deadline::none())?;
        let claim = lock.use_alone(wanted)?;
        let header = Header::read(object)?;
        let region = Region::map(object.clone(), header.geometry)?;
        let store = Store::new(region, claim, &header);
        // What cannot be undone rightly is left as it is.
        match store.check_logs(false).and_then(|()| store.recover_or_reset(&lock.deadline)) {
            Ok(()) | Err(Error::Corrupt { .. }) => Ok(Alone { store, header, lock, _guard: guard }),
            Err(error) => Err(error),
        }
    }

    /// Notes that another object has taken the place of this one. Whoever waits to open it looks at its name as well, so
    /// nothing depends on whether this can be written.
    pub(crate) fn mark_replaced(&self) {
        let _ = file::write_at(self.lock.object.fd(), &at::REPLACED.to_ne_bytes(), at::STATE_AT.0);
    }

    /// Returns the members that have not been removed.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        let catalogue = Catalogue::read(self.lock.object, &self.header)?;
        Ok(catalogue.members.into_iter().filter(|member| !member.is_leaving).collect())
    }
}

impl Drop for Initialising<'_> {
    fn drop(&mut self) {
        // The byte is freed with the descriptor at the latest.
        let _ = lock::ofd_unlock(self.object.lock_fd(), bytes::INIT);
    }
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
        let deadline = limits.deadline();
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

//! The objects that this process has open.
//!
//! Record locks belong to the process and to the inode, and closing *any* descriptor of the inode drops all of them.
//! So the rules are:
//!
//! 1. A file is looked up without opening it (`O_PATH`, which is harmless to locks) and opened only if the process
//!    does not have it open for that kind of access yet.
//! 2. A descriptor of an inode is closed only when the last handle of the inode, of whatever kind, is gone. Until then
//!    it is kept idle, and reused by the next handle.
//!    On an overlay file system, what was opened for reading before anybody opened the file for writing stands for the file in
//!    the lower layer, under the same identity. That is never reused, and closed at once unless the process has the file open
//!    for writing, too: only then can it hold record locks.
//! 3. Descriptors are opened and closed under the registry's mutex, so that nobody finds an entry that is being closed.
//!
//! A forked child starts with an empty registry: its parent's may have been locked by another thread.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::object::{Descriptors, Object};
use crate::name::ShmName;
use crate::os::file::{self, Identity};
use crate::os::lock::{self, LockKind, Outcome};
use crate::os::lock_fd::LockFd;
use crate::os::path::{self, Directory, Status};
use crate::os::per_process::PerProcess;

/// The access that a descriptor gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

/// All inodes of which there are handles. Never drop an `Arc<Object>` with this locked: its `drop` comes here.
static REGISTRY: PerProcess<Mutex<HashMap<Identity, Inode>>> = PerProcess::new(Mutex::default);

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// Number of `Object`s; one that is being dropped counts until its descriptors are back.
    live: usize,
    read_only: Shelf,
    read_write: Shelf,
    /// Opened by mistake while the name was changing.
    surplus: Vec<OwnedFd>,
    /// Of a file in a lower layer.
    stale: Vec<Descriptors>,
    /// An open file description for emptying the object: one that shares a lock cannot find out whether others do.
    emptying: Option<LockFd>,
    manage: Arc<Mutex<()>>,
    /// True if descriptors are in use that were inherited, so that their locks belong to the process.
    inherits: bool,
}

/// The descriptors and the object of one kind of access.
#[derive(Debug, Default)]
struct Shelf {
    object: Weak<Object>,
    idle: Vec<Descriptors>,
}

impl Inode {
    fn shelf(&mut self, access: Access) -> &mut Shelf {
        match access {
            Access::ReadOnly => &mut self.read_only,
            Access::ReadWrite => &mut self.read_write,
        }
    }

    /// Returns whether this process has the file open for writing, so that it lies in the upper layer.
    fn is_open_for_writing(&self) -> bool {
        self.read_write.object.strong_count() > 0 || !self.read_write.idle.is_empty()
    }
}

pub(super) fn lock() -> MutexGuard<'static, HashMap<Identity, Inode>> {
    REGISTRY.get().lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the object that `probe`, found in `place`, stands for. `None` if there is another file in that place by now.
pub(super) fn open(
    place: &Directory,
    probe: BorrowedFd<'_>,
    name: &ShmName,
    access: Access,
) -> io::Result<Option<Arc<Object>>> {
    let identity = file::identity(probe)?;
    // The mode may have changed since the object was opened, and the user may have: an open descriptor says nothing.
    path::check_access(probe, access == Access::ReadWrite)?;
    let is_overlaid = access == Access::ReadOnly && path::is_overlaid(probe)?;
    let mut inodes = lock();
    let may_be_stale = is_overlaid && !inodes.get(&identity).is_some_and(Inode::is_open_for_writing);
    if let Some(object) = inodes.get_mut(&identity).and_then(|inode| inode.shelf(access).object.upgrade()) {
        return Ok(Some(object));
    }
    let descriptors = match inodes.get_mut(&identity).and_then(|inode| inode.shelf(access).idle.pop()) {
        Some(idle) if idle.are_intact(identity) => idle,
        lost => {
            if let Some(lost) = lost {
                lost.close_intact(identity);
            }

            let Some(data) = open_same(&mut inodes, place, probe, access)? else { return Ok(None) };
            match LockFd::open(identity, || open_same(&mut inodes, place, probe, access)) {
                Ok(Some(lock)) => Descriptors { data, lock: Some(lock), may_be_stale },
                other => {
                    stash(&mut inodes, data)?;
                    return other.map(|_| None);
                }
            }
        }
    };
    Ok(Some(enter(&mut inodes, identity, name, access, descriptors)))
}

/// Returns whether this process has the file open as an object.
pub(super) fn is_open(identity: Identity) -> bool {
    lock().contains_key(&identity)
}

/// Opens the object that an inherited descriptor stands for. `name` is that by which it was opened.
///
/// If the system does not let this process open the file again, as when it has given its rights up, it goes on with the
/// inherited descriptor. The open file description is its parent's as well, so OFD locks would be those of both, and outlive
/// this process: its locks are record locks then.
pub(super) fn inherit(inherited: &Object, name: &ShmName) -> io::Result<Arc<Object>> {
    let (identity, access, fd) = (inherited.identity(), inherited.access(), inherited.fd());
    let mut inodes = lock();
    let inode = inodes.entry(identity).or_default();
    if let Some(object) = inode.shelf(access).object.upgrade() {
        return Ok(object);
    }
    let idle = inode.shelf(access).idle.pop().filter(|idle| idle.are_intact(identity));
    let reopen = || path::reopen(fd, access == Access::ReadWrite);
    let refused = |error: &io::Error| matches!(error.kind(), io::ErrorKind::PermissionDenied);
    let opened = match idle {
        Some(idle) => Ok(Some(idle)),
        None => match reopen() {
            Ok(Some(data)) => LockFd::open(identity, reopen)
                .map(|lock| lock.map(|lock| Descriptors { data, lock: Some(lock), may_be_stale: false })),
            Ok(None) => Ok(None),
            Err(error) if refused(&error) => Ok(None),
            Err(error) => Err(error),
        },
    };
    let outcome = opened.and_then(|opened| match opened {
        Some(descriptors) => Ok(descriptors),
        // One owner could not tell its own shared lock from its exclusive one.
        None if inode.inherits => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "this process may not open the file again, and uses its inherited descriptor for another kind of access",
        )),
        None => {
            inode.inherits = true;
            Ok(Descriptors { data: file::duplicate(fd)?, lock: None, may_be_stale: false })
        }
    });
    match outcome {
        Ok(descriptors) => Ok(enter(&mut inodes, identity, name, access, descriptors)),
        Err(error) => {
            if inodes.get(&identity).is_some_and(|inode| inode.live == 0) {
                inodes.remove(&identity);
            }
            Err(error)
        }
    }
}

/// Creates a file, called `file`, and opens the object in it; `None` if there is a file already. After an error there is none.
pub(super) fn create(place: &Directory, name: &ShmName, file: &ShmName, mode: u32) -> io::Result<Option<Arc<Object>>> {
    // With the mutex held, no other thread can open the file before it is entered here.
    let mut inodes = lock();
    let Some(data) = place.create(mode | OWNER)? else { return Ok(None) };
    let status = path::status(data.as_fd())?;
    let completed = complete(&mut inodes, place, data, status, mode).and_then(|descriptors| {
        if name.is_file() {
            place.entries()?.sync()?;
        }
        Ok(descriptors)
    });
    match completed {
        Ok(Some(descriptors)) => {
            let object = enter(&mut inodes, status.identity, name, Access::ReadWrite, descriptors);
            object.note_created(file);
            Ok(Some(object))
        }
        Ok(None) => Ok(None),
        Err(error) => {
            let _ = place.remove(status.identity);
            Err(error)
        }
    }
}

/// Rights that a file needs to be opened a second time.
const OWNER: u32 = 0o600;

/// Opens a fresh file once more and gives it its mode.
fn complete(
    inodes: &mut HashMap<Identity, Inode>,
    place: &Directory,
    data: OwnedFd,
    status: Status,
    mode: u32,
) -> io::Result<Option<Descriptors>> {
    path::check_mappable(data.as_fd())?;
    file::write_in_place(data.as_fd());
    // The umask may have taken away what is needed.
    if status.mode & OWNER != OWNER {
        path::set_mode(data.as_fd(), status.mode | OWNER)?;
    }
    let lock = LockFd::open(status.identity, || open_same(inodes, place, data.as_fd(), Access::ReadWrite))?;
    let Some(lock) = lock else { return Ok(None) };
    let wanted = status.mode & mode;
    if status.mode | OWNER != wanted {
        path::set_mode(data.as_fd(), wanted)?;
    }
    Ok(Some(Descriptors { data, lock: Some(lock), may_be_stale: false }))
}

fn enter(
    inodes: &mut HashMap<Identity, Inode>,
    identity: Identity,
    name: &ShmName,
    access: Access,
    descriptors: Descriptors,
) -> Arc<Object> {
    let inode = inodes.entry(identity).or_default();
    let may_be_stale = descriptors.may_be_stale;
    let object = Arc::new(Object::new(name, identity, access, descriptors, inode.manage.clone()));
    inode.live += 1;
    if !may_be_stale {
        inode.shelf(access).object = Arc::downgrade(&object);
    }
    object
}

/// Returns a new descriptor for the file that `probe` stands for; `None` if there is another one in that place by now.
fn open_same(
    inodes: &mut HashMap<Identity, Inode>,
    place: &Directory,
    probe: BorrowedFd<'_>,
    access: Access,
) -> io::Result<Option<OwnedFd>> {
    let writable = access == Access::ReadWrite;
    match path::reopen(probe, writable)? {
        Some(same) => Ok(Some(same)),
        None => open_by_name(inodes, place, file::identity(probe)?, writable),
    }
}

pub(super) fn open_by_name(
    inodes: &mut HashMap<Identity, Inode>,
    place: &Directory,
    wanted: Identity,
    writable: bool,
) -> io::Result<Option<OwnedFd>> {
    let fd = place.open(writable)?;
    if file::identity(fd.as_fd())? == wanted {
        return Ok(Some(fd));
    }
    stash(inodes, fd)?;
    Ok(None)
}

/// Closes a descriptor, unless that would drop the record locks of an object that is open.
fn stash(inodes: &mut HashMap<Identity, Inode>, fd: OwnedFd) -> io::Result<()> {
    if let Some(inode) = inodes.get_mut(&file::identity(fd.as_fd())?) {
        inode.surplus.push(fd);
    }
    Ok(())
}

/// Closes a descriptor that came from elsewhere, unless that would drop the record locks of an object that is open.
pub(super) fn discard(fd: OwnedFd) -> io::Result<()> {
    stash(&mut lock(), fd)
}

/// Takes the descriptors of an object that is being dropped.
pub(super) fn release(identity: Identity, access: Access, descriptors: Descriptors) {
    let mut inodes = lock();
    let intact = descriptors.are_intact(identity);
    if intact {
        descriptors.unlock_all();
    }
    let Some(inode) = inodes.get_mut(&identity) else { return };
    if !intact || (descriptors.may_be_stale && !inode.is_open_for_writing()) {
        descriptors.close_intact(identity);
    } else if descriptors.may_be_stale {
        inode.stale.push(descriptors);
    } else {
        inode.shelf(access).idle.push(descriptors);
    }
    inode.live -= 1;
    if inode.live == 0
        && let Some(inode) = inodes.remove(&identity)
    {
        // The mutex is still held.
        let Inode { read_only, read_write, surplus, stale, emptying, .. } = inode;
        read_only.idle.into_iter().chain(read_write.idle).chain(stale).for_each(|idle| idle.close_intact(identity));
        surplus.into_iter().for_each(|fd| file::close_intact(fd, identity));
        if let Some(lock) = emptying {
            lock.close_intact(identity);
        }
    }
}

/// Empties the object's file and returns true, unless this process or another has it mapped.
pub(super) fn empty(place: &Directory, object: &Object) -> io::Result<bool> {
    let mut inodes = lock();
    let identity = object.identity();
    let known = inodes.get_mut(&identity).and_then(|inode| inode.emptying.take());
    let lock = match known {
        Some(lock) => lock,
        None => match LockFd::open(identity, || open_same(&mut inodes, place, object.fd(), Access::ReadWrite))? {
            Some(lock) => lock,
            None => return Err(io::Error::other("the name belongs to another file meanwhile")),
        },
    };
    let outcome = lock::ofd_lock(lock.as_fd(), LockKind::Exclusive, lock::bytes::USE, false);
    let result = match outcome {
        Ok(Outcome::Locked) => file::truncate(object.fd(), 0).map(|()| true),
        Ok(_) => Ok(false),
        Err(error) => Err(error),
    };
    lock.unlock_all();
    // The entry is there as long as the object is.
    inodes.entry(identity).or_default().emptying = Some(lock);
    result
}

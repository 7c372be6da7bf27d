//! The public handle.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::fchown;
use std::sync::Arc;
use std::time::Duration;

use super::object::Object;
use super::options::ShmOptions;
use super::registry;
use crate::error::{Error, Result};
use crate::name::ShmName;
use crate::os::path::Directory;
use crate::os::{file, path};

/// An open shared object: a shared memory descriptor, to be managed as a table or an array.
///
/// An object may be opened several times in a process, by several threads, under several names: all handles share one set of
/// descriptors and locks. Handles are `Send` and `Sync`. After a `fork`, a handle cannot be used in the child
/// ([`Error::Forked`]); the child opens the object again, by its name, or, if it lacks the right to do so or the name has been
/// deleted, through the inherited handle ([`reopen`](Self::reopen)). A child made by the
/// bare system call `clone`, without the C library, keeps the locks of its parent until it calls netshm or ends: until then,
/// nobody notices if the parent dies. The object outlives its handles, until [its name is deleted](ShmName::unlink).
///
/// Do not close descriptors that the program has not opened itself, as some programs do when they become daemons, while objects
/// are open: their locks go with them, and other processes take this one for dead. Where that is noticed, operations fail with
/// [`Error::DescriptorLost`].
///
/// With [`Locking::Record`](crate::Locking::Record), do not open an object's file by other means (such as
/// [`std::fs::File`]) in a process that has the object open: when such a descriptor is closed, the system drops the record
/// locks that the process holds on the file.
///
/// ```
/// use netshm::{Shm, ShmName};
///
/// let name = ShmName::posix(format!("/sample.{}", std::process::id()))?;
/// let shm = Shm::options().create(true).open(&name)?;
/// assert_eq!(shm.name(), &name);
/// shm.close()?;
///
/// let shm = Shm::open(&name)?;
/// assert_eq!(shm.size()?, 0); // nothing has been stored yet
/// name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "mmap")]
#[doc(alias = "shm_descr")]
#[doc(alias = "shared_memory")]
#[doc(alias = "database")]
#[doc(alias = "ipc")]
pub struct Shm {
    name: ShmName,
    object: Arc<Object>,
    /// Options that it was opened with.
    options: ShmOptions,
    /// Directory that the name leads to.
    place: Arc<Directory>,
    /// True if it stands for its file, whatever the name leads to by now.
    is_bound: bool,
    /// The name of the file, if it was created when this handle was opened.
    created: Option<Arc<ShmName>>,
}

/// Attempts at opening an object that is replaced while its locks are waited for.
const TRIES: usize = 100;

impl Shm {
    pub(super) fn new(name: ShmName, object: Arc<Object>, options: ShmOptions, place: Arc<Directory>) -> Shm {
        Shm { name: name.of_open(object.identity()), object, options, place, is_bound: false, created: None }
    }

    /// Notes that opening this handle has created the file, under that name.
    pub(super) fn note_created(mut self, name: &ShmName) -> Shm {
        self.created = Some(Arc::new(name.clone()));
        self
    }

    /// Returns the name of the file if opening this handle has created it.
    pub(crate) fn created(&self) -> Option<&ShmName> {
        self.created.as_deref()
    }

    /// Runs `take_up` on the object that the name stands for, and opens the object again as often as `take_up` finds that it
    /// has been replaced. Returns the result and the handle.
    pub(crate) fn current<T>(mut self, take_up: impl Fn(&Shm) -> Result<T>) -> Result<(Shm, T)> {
        for _ in 0..TRIES {
            match take_up(&self) {
                Err(replaced @ Error::Replaced { .. }) => match self.opened_again()? {
                    Some(new) => self = new,
                    None => return Err(replaced),
                },
                outcome => return outcome.map(|result| (self, result)),
            }
        }
        Err(self.replaced())
    }

    /// Returns an error if the name stands for another file by now. A name that has been deleted, or cannot be looked up any
    /// more, says nothing.
    pub(crate) fn check_name(&self) -> Result<()> {
        if self.is_bound {
            return Ok(());
        }
        match self.place.probe() {
            Ok(Some(found)) if file::identity(found.as_fd()).is_ok_and(|found| found != self.object.identity()) => {
                Err(self.replaced())
            }
            _ => Ok(()),
        }
    }

    fn replaced(&self) -> Error {
        Error::Replaced { object: self.object.name().clone(), what: "its name stands for another file now" }
    }

    /// Opens whatever the name stands for now. `None` if that is the same file, or if the object was to be a new or empty
    /// one.
    fn opened_again(&self) -> Result<Option<Shm>> {
        if self.options.makes_empty() {
            return Ok(None);
        }
        let new = self.options.open_in(&self.name, &self.place)?;
        Ok((new.object.identity() != self.object.identity()).then_some(new))
    }

    /// Returns the object of the handle.
    pub(crate) fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// Returns how long operations on the object as a whole wait.
    pub(crate) fn lock_timeout(&self) -> Option<Duration> {
        self.options.lock_timeout
    }

    /// Returns whether symbolic links are followed even where anybody could have put them.
    pub(crate) fn follows_symlinks(&self) -> bool {
        self.options.follow_symlinks
    }

    /// Returns the name by which the object was opened.
    #[doc(alias = "name_of_shm")]
    #[must_use]
    pub fn name(&self) -> &ShmName {
        &self.name
    }

    /// Returns whether the object can only be read through this handle.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.object.read_only()
    }

    /// Returns the object's present size in bytes.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Forked`].
    pub fn size(&self) -> Result<u64> {
        self.ask("asking for the size", |object| file::size(object.fd()))
    }

    /// Opens the same object again, whatever its name stands for by now: for a child that was forked after the object had been
    /// opened, where every operation of this handle is [`Error::Forked`]. The child need not have the right to open the
    /// file, as a worker that has given up its rights, and the name may have been deleted. In the process that opened the
    /// handle, the new one shares everything with it.
    ///
    /// Where the system lets the child open the file through `/proc/self/fd`, it does. Otherwise the child goes on with the
    /// descriptor that it has inherited, and its locks are those of the process (POSIX record locks) rather than of an open
    /// file. The rule of [`Locking::Record`](crate::Locking::Record) then holds for it, whatever the object's locking is: the child must not open the file by other
    /// means.
    ///
    /// ```
    /// use netshm::{HashTable, Shm, ShmName};
    ///
    /// let name = ShmName::posix(format!("/reopened.{}", std::process::id()))?;
    /// let tab: HashTable<u64, u64> = HashTable::options().manage(Shm::options().create(true).open(&name)?)?;
    /// name.unlink()?;
    /// // Here a server would fork, and its child give up its rights; then, in the child:
    /// let mine: HashTable<u64, u64> = HashTable::options().manage(tab.shm().reopen()?)?;
    /// mine.add(&1, &2)?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// - [`Error::DescriptorLost`] if the program has closed the inherited descriptor.
    /// - [`Error::Io`] if there are no more descriptors, or if the child may not open the file again and uses the inherited
    ///   descriptor of a handle with another kind of access already.
    pub fn reopen(&self) -> Result<Shm> {
        if self.object.check_fork().is_ok() {
            return Ok(Shm { is_bound: true, ..self.clone() });
        }
        if !self.object.is_data_intact() {
            return Err(Error::DescriptorLost { object: self.object.name().clone() });
        }
        let failed = |source| Error::Io { object: self.object.name().clone(), doing: "opening it again", source };
        let object = registry::inherit(&self.object, &self.name).map_err(failed)?;
        Ok(Shm { object, is_bound: true, ..self.clone() })
    }

    /// Changes the permission bits. Processes that have the object open keep it.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if `mode` has other than permission bits; [`Error::Io`], for instance if the object belongs to
    /// another user; [`Error::Forked`].
    #[doc(alias = "fchmod")]
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        if mode & !0o777 != 0 {
            let reason = "only the permission bits, 0o777, can be given".to_owned();
            return Err(Error::InvalidOption { option: "mode", value: format!("{mode:#o}"), reason });
        }
        self.ask("changing the mode", |object| path::set_mode(object.fd(), mode))
    }

    /// Changes the user and the group that the object belongs to, by their numbers. `None` leaves one as it is.
    ///
    /// # Errors
    /// [`Error::Io`], since usually only the superuser may do so; [`Error::Forked`].
    #[doc(alias = "fchown")]
    pub fn set_owner(&self, user: impl Into<Option<u32>>, group: impl Into<Option<u32>>) -> Result<()> {
        let (user, group) = (user.into(), group.into());
        self.ask("changing the owner", |object| fchown(object.fd(), user, group))
    }

    /// Closes the handle; dropping it does the same. The object remains, and so do other handles.
    ///
    /// # Errors
    /// [`Error::Forked`]
    #[doc(alias = "close_shm")]
    #[doc(alias = "detach")]
    #[doc(alias = "disconnect")]
    pub fn close(self) -> Result<()> {
        self.object.check_fork()
    }

    fn ask<T>(&self, doing: &'static str, question: impl FnOnce(&Object) -> io::Result<T>) -> Result<T> {
        self.object.check_fork()?;
        self.object.check_descriptors()?;
        question(&self.object).map_err(|source| Error::Io { object: self.object.name().clone(), doing, source })
    }
}

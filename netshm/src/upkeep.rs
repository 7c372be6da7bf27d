//! What concerns an object as a whole, whatever its members are.

use crate::check;
use crate::error::{Error, Result};
use crate::index;
use crate::layout::header::ObjectKind;
use crate::name::{IntoShmName, ShmName};
use crate::os::path;
use crate::shm::{NewFile, Shm};
use crate::store::{Limits, Store, group, open};

impl Shm {
    /// Returns the limits of operations on the object as a whole.
    pub(crate) fn limits(&self) -> Limits {
        Limits { lock_timeout: self.lock_timeout() }
    }

    /// Returns the object as a whole, to change it or to look at it under locks.
    pub(crate) fn whole(&self, wanted: &'static str) -> Result<Store> {
        if self.is_read_only() {
            return Err(Error::ReadOnly { object: self.object().name().clone(), wanted });
        }
        self.whole_to_read()
    }

    pub(crate) fn whole_to_read(&self) -> Result<Store> {
        open::whole(self, self.limits(), &check::damage(None))
    }

    /// Gives the memory that the object has free back to the system, and returns the number of bytes: the object's size stays, but
    /// [`Stats::allocated`](crate::Stats::allocated) sinks. What is needed again later is taken from the system then; where
    /// there is none, the operation fails with [`Error::NoSpace`] and changes nothing.
    ///
    /// No other process may have the object managed meanwhile: in shared memory, one that is reading what has just been freed would take
    /// up memory again, and get a SIGBUS where there is none. For the same reason other threads of this process should not
    /// read the object meanwhile, if memory may be short. When an object is opened, and when the last process closes it, this is
    /// done without asking if much is free.
    ///
    /// After memory has been given back, an object in shared memory is read with more care, until it is opened by a process that has it alone and finds its
    /// memory in use again: no reader follows a pointer before it knows that no change has put other data in the place of the pointer.
    /// So no reader touches what was given back, wherever it is stopped meanwhile. A lookup takes two to six times as many
    /// instructions then, 500 to 700 more. In files on disks nothing of this is needed.
    ///
    /// ```
    /// use netshm::{HashTable, Locking, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/trim.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let table: HashTable<u64, Vec<u8>> = HashTable::manage(shm.clone(), Locking::Futex)?;
    /// table.add(&1, &vec![7; 1_000_000])?;
    /// table.remove(&1)?;
    /// assert!(shm.trim()? > 900_000);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// - [`Error::InUse`]: another process has the object managed, or this one has, through a read-only handle.
    /// - [`Error::ReadOnly`]; [`Error::InGroup`]: in a group on the object.
    /// - [`Error::NotNetshm`], [`Error::UnsupportedVersion`], [`Error::Corrupt`], [`Error::LockTimeout`], [`Error::Forked`],
    ///   [`Error::Io`].
    #[doc(alias = "shrink_to_fit")]
    #[doc(alias = "vacuum")]
    #[doc(alias = "compact")]
    #[doc(alias = "defragment")]
    pub fn trim(&self) -> Result<u64> {
        let store = self.whole("trim it")?;
        store.trim(self.limits(), || {
            for member in store.members()? {
                if member.kind != ObjectKind::Array && !member.is_leaving {
                    self.compact(&store.sibling(&member))?;
                }
            }
            Ok(())
        })
    }

    /// Shrinks the index of a table as far as it goes.
    fn compact(&self, table: &Store) -> Result<()> {
        for stripe in table.geometry().own() {
            while group::change(table, self.limits(), "trim it", |change| index::resize::compact(change, stripe))? {}
        }
        Ok(())
    }

    /// Makes a consistent copy of the object under another name, which must not be in use. Others may go on using the object.
    ///
    /// All members are copied as of one moment at which no change was under way. Most of it is copied beside writers; then it waits
    /// for changes and groups under way, and writers wait while the rest is copied. Readers do not wait.
    ///
    /// The copy is an object of its own, with an id of its own, that can be opened at once, here or, as a file, on another
    /// machine of the same kind. It gets its name when all of it is in storage, in one step: whatever interrupts the call, the name
    /// stands for the complete copy or for nothing. (On a file system without files that have no name, as some that go over a
    /// network, a process that is killed leaves a file in the directory whose name begins with `.netshm-copy-`, which can be
    /// deleted.) Its permission bits are those of the object, as far as the process's umask allows. Memory that the object has free
    /// takes none in the copy, as far as the file system can do that.
    ///
    /// To replace an older copy, give the new one a name of its own first, and rename it then.
    ///
    /// ```
    /// use netshm::{HashTable, Locking, Shm, ShmName};
    ///
    /// let shm = Shm::create_unique("posix:/original.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let table: HashTable<String, u64> = HashTable::manage(shm.clone(), Locking::Futex)?;
    /// table.add("one", &1)?;
    /// let backup = ShmName::posix(format!("/backup.{}", std::process::id()))?;
    /// shm.copy_to(&backup)?;
    /// table.remove("one")?;
    ///
    /// let copy: HashTable<String, u64> = HashTable::manage(Shm::open(&backup)?, Locking::Futex)?;
    /// assert_eq!(copy.find("one")?, Some(1));
    /// # name.unlink()?;
    /// # backup.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// - [`Error::Io`]: the name is in use ([`AlreadyExists`](std::io::ErrorKind::AlreadyExists)), or the system cannot write there.
    /// - [`Error::NoSpace`]: there is no room for the copy.
    /// - [`Error::ReadOnly`]: a read-only handle cannot keep writers off. [`Error::InGroup`]: in a group on the object.
    /// - [`Error::NotNetshm`] if the object is empty, [`Error::UnsupportedVersion`], [`Error::Corrupt`]: its runs do not fit
    ///   together; [`repair`](crate::repair()) saves what is sound.
    /// - [`Error::LockTimeout`], [`Error::Forked`].
    #[doc(alias = "backup")]
    #[doc(alias = "snapshot")]
    #[doc(alias = "export")]
    #[doc(alias = "dump")]
    #[doc(alias = "restore")]
    pub fn copy_to(&self, to: impl IntoShmName) -> Result<()> {
        self.copy_to_name(&to.to_name()?)
    }

    fn copy_to_name(&self, to: &ShmName) -> Result<()> {
        let store = self.whole("copy it")?;
        let to_name = to.to_string().into();
        let io = |doing| move |source| Error::Io { object: to.to_string().into(), doing, source };
        self.object().check_descriptors()?;
        let mode = path::status(self.object().fd()).map_err(io("look up the permissions for a copy"))?.mode & 0o777;
        let file = NewFile::create(to, self.follows_symlinks(), mode).map_err(io("create a copy"))?;
        store.copy_to(file.fd(), &to_name, self.limits())?;
        file.publish().map_err(io("give a copy its name"))
    }
}

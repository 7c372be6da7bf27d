//! Options for managing an object.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::layout::method::Locking;
use crate::store::Limits;
use crate::store::open::Shape;

/// Returns the options for managing an object as a `T`: a [`HashTable`](crate::HashTable), an [`Array`](crate::Array) or a
/// [`Table`](crate::Table).
///
/// All but [`lock_timeout`](Self::lock_timeout) matter when the object is created; an object that exists keeps what it
/// was created with, and only its locking method must be the one asked for.
///
/// ```
/// use netshm::{HashTable, Locking, Shm};
///
/// let shm = Shm::create_unique("posix:/options.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let table: HashTable<String, u64> =
///     HashTable::options().pagesize(1024).init(50_000).locking(Locking::Futex).manage(shm)?;
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[must_use = "options do nothing until `manage` is called"]
pub struct ManageOptions<T> {
    pub(crate) shape: Shape,
    pub(crate) limits: Limits,
    managed: PhantomData<fn() -> T>,
}

impl<T> Default for ManageOptions<T> {
    fn default() -> Self {
        ManageOptions { shape: Shape::default(), limits: Limits::default(), managed: PhantomData }
    }
}

impl<T> Clone for ManageOptions<T> {
    fn clone(&self) -> Self {
        ManageOptions { shape: self.shape.clone(), limits: self.limits, managed: PhantomData }
    }
}

impl<T> fmt::Debug for ManageOptions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManageOptions").field("shape", &self.shape).field("limits", &self.limits).finish()
    }
}

impl<T> ManageOptions<T> {
    /// Manages the member of that name, which is added if the object has none. An object can hold several tables and arrays,
    /// each under a name of its own: 1 to 63 bytes of UTF-8 without control characters and `/`. A [group](crate::group!) on any
    /// of them is one on the object.
    ///
    /// Of the other options, [`stripes`](Self::stripes) (16 by default) and [`init`](Self::init) are the member's; all others
    /// matter only where the object itself is created.
    ///
    /// ```
    /// use netshm::{Array, HashTable, Shm, group};
    ///
    /// let shm = Shm::create_unique("posix:/members.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let users: HashTable<String, u64> = HashTable::options().named("users").manage(shm.clone())?;
    /// let hits: Array<u64> = Array::options().named("hits").manage(shm.clone(), 0)?;
    /// hits.resize(1)?;
    /// group!(retry users => {
    ///     users.add("one", &1)?;
    ///     hits.update(0, |n| n + 1)?;
    /// })?;
    /// assert_eq!(shm.members()?.len(), 2);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    #[doc(alias = "namespace")]
    #[doc(alias = "column_family")]
    #[doc(alias = "bucket")]
    pub fn named(mut self, name: &str) -> Self {
        self.shape.name = Some(name.to_owned());
        self
    }

    /// Sets the bytes of a page, the unit in which stripes get memory: a power of two from 256 (the default) to 1 MiB.
    #[doc(alias = "page_size")]
    pub fn pagesize(mut self, bytes: u64) -> Self {
        self.shape.pagesize = Some(bytes);
        self
    }

    /// Sets the expected number of keys (1000 by default): the index starts with room for them, and the default of
    /// [`max_size`](Self::max_size) follows from it. Tables grow beyond it as they must.
    #[doc(alias = "capacity")]
    #[doc(alias = "with_capacity")]
    #[doc(alias = "reserve")]
    pub fn init(mut self, keys: u64) -> Self {
        self.shape.init = Some(keys);
        self
    }

    /// Sets the locking method. Without it, a fresh object gets the best one of the platform.
    pub fn locking(mut self, locking: Locking) -> Self {
        self.shape.locking = Some(locking);
        self
    }

    /// Sets the number of stripes, parts of the object that can be written to at the same time: a power of two up to 65536, 64
    /// by default.
    pub fn stripes(mut self, stripes: u32) -> Self {
        self.shape.stripes = Some(stripes);
        self
    }

    /// Sets the size in bytes that the object never exceeds, 2^44 at most; by default `pagesize * init * 32768`, about 8 GB.
    /// Each process reserves that much address space, but memory is used only for what is stored.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.shape.max_size = Some(bytes);
        self
    }

    /// Sets the number of threads, of all processes together, that can be in a changing operation or a group at the same time:
    /// 128 by default, 32768 at most. Further ones wait.
    pub fn slots(mut self, slots: u32) -> Self {
        self.shape.slots = Some(slots);
        self
    }

    /// Sets how many stripes the object has room for, those of all its members: at least those that it begins with, 65536 at most;
    /// by default 4096, or fewer if the object's [`max_size`](Self::max_size) is small. Room that is not used takes up no memory.
    ///
    /// ```
    /// use netshm::{Error, HashTable, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/room.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let first: HashTable<u64, u64> = HashTable::options().named("a").stripes(64).stripe_room(70).manage(shm.clone())?;
    /// let second = HashTable::<u64, u64>::options().named("b").manage(shm.clone());
    /// assert!(matches!(second, Err(Error::NoRoomForMember { .. }))); // it has 16 stripes, unless told otherwise
    /// let second: HashTable<u64, u64> = HashTable::options().named("b").stripes(4).manage(shm)?;
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    pub fn stripe_room(mut self, stripes: u32) -> Self {
        self.shape.stripe_room = Some(stripes);
        self
    }

    /// Gives memory that the object has free back to the system while others use it, as long as this process has it managed: each
    /// second, that of larger parts that have been free for ten seconds. Without it that happens when nobody else uses the object; see
    /// [`Shm::trim`](crate::Shm::trim).
    ///
    /// In shared memory there is a risk: a reader that is stopped in the middle of a reading for more than ten seconds may
    /// touch such memory again when it goes on, and gets a SIGBUS if the system has none left by then. In files on disks
    /// there is none. All processes read such an object in shared memory with more care than others, as after a
    /// [`Shm::trim`](crate::Shm::trim); the first memory is given back ten seconds after they began to.
    ///
    /// The work is done by a thread of its own, one for each object and process; a forked child has none.
    pub fn give_back_live(mut self, give_back: bool) -> Self {
        self.shape.give_back_live = give_back;
        self
    }

    /// Empties an object that exists. If its type or layout changes as well, nobody else may have it open
    /// ([`Error::InUse`](crate::Error::InUse)).
    pub fn recreate(mut self, recreate: bool) -> Self {
        self.shape.recreate = recreate;
        self
    }

    /// Bounds all that an operation through this handle, or opening it, waits for: locks, a free slot, memory that another
    /// writer is dealing out, another process that is creating the object. Then it ends in
    /// [`Error::LockTimeout`](crate::Error::LockTimeout). The time is that of a whole operation; in a group, of each
    /// operation in it. Adding a member has it twice: for opening the object, and for a slot and the lock under which members are added.
    ///
    /// Without it an operation waits as long as the holder lives and keeps the lock, even while that is stopped (`SIGSTOP`),
    /// and opening waits as long as another process creates, opens or repairs the object. These waits end earlier:
    /// - in a group on another object, after 1 to 1.5 seconds, since deadlocks between objects are not detected;
    /// - through a read-only handle, after 10 seconds, since it cannot lock what others keep changing;
    /// - where another process's shared lock is in the way, which any process that may read the file can hold, after 10 seconds.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.limits.lock_timeout = Some(timeout);
        self
    }
}

//! Waiting for changes, as users see it.

#[cfg(feature = "tokio")]
pub(crate) mod tasks;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::array::Array;
use crate::data::{DataManager, Encode, ShmKey};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::hash_table::HashTable;
use crate::shm::Shm;
use crate::store::group;
use crate::store::watch::{Watched, Watcher};

/// Tells when something has changed, without polling: [`HashTable::watch`], [`Array::watch`], [`Shm::watch`] and others make one.
///
/// It costs writers nothing unless somebody waits at the moment. It may report a change that was undone, or that made no
/// difference, or a neighbour's: a watch of a key reports changes to all keys in its stripe. It misses none. So look at what
/// it is about after each; [`HashTable::wait_until`] does that by itself.
///
/// A change is told when it is committed and its locks are free: a group when it ends. Several changes may be told as one. If a
/// writer is killed between its commit and waking the waiters, they notice within a second.
///
/// Through a read-only handle nobody can be told that somebody waits; then the watch looks again and again, with pauses of up
/// to 10 ms. In a forked child it answers [`Error::Forked`]. Signals end no wait, nor does setting the clock: times are those of the
/// monotonic clock. All of this is the same under each [locking method](crate::Locking); under `None`, too, many may wait, and one write.
#[doc(alias = "pubsub")]
pub struct Watch {
    pub(crate) watcher: Watcher,
    /// Entry in the list of the thread that waits for tasks.
    #[cfg(feature = "tokio")]
    pub(crate) entry: tasks::Listed,
    /// Keeps what is watched in use.
    _keeps: Keeps,
}

#[allow(dead_code, reason = "there to be dropped with the watch")]
enum Keeps {
    Member(Handle),
    Object(Shm),
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("object", &self.watcher.store().name()).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn member(handle: &Handle, watched: Watched) -> Result<Watch> {
        Ok(Watch {
            watcher: Watcher::new(handle.store.clone(), watched)?,
            #[cfg(feature = "tokio")]
            entry: tasks::Listed::default(),
            _keeps: Keeps::Member(handle.clone()),
        })
    }

    /// Waits until something has changed since the watch was made or last said so, at most for `timeout`. Returns whether something
    /// has; at once, if so. No [`lock_timeout`](crate::ManageOptions::lock_timeout) limits it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use netshm::{HashTable, Locking, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/watch.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let table: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
    /// let mut watch = table.watch()?;
    /// assert!(!watch.changed(Some(Duration::from_millis(1)))?);
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| table.add("one", &1));
    ///     watch.changed(None)
    /// })?;
    /// assert_eq!(table.find("one")?, Some(1));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InGroup`] in a group on the object, which keeps others from changing what is waited for. In a group on another
    /// object, [`Error::LockTimeout`] after a second or a little more, since others may wait for that group. [`Error::Replaced`] within a
    /// second of another object taking the place of this one. [`Error::Forked`].
    #[doc(alias = "wait")]
    #[doc(alias = "notify")]
    pub fn changed(&mut self, timeout: Option<Duration>) -> Result<bool> {
        self.watcher.wait(timeout, group::bounded_waits())
    }
}

/// Reads what lies in one stripe until it is as it should be.
pub(crate) fn until<R>(
    handle: &Handle,
    stripe: u32,
    timeout: Option<Duration>,
    read: impl Fn() -> Result<R>,
    mut is_it: impl FnMut(&R) -> bool,
) -> Result<R> {
    let started = Instant::now();
    let left = || timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
    // Before it is read: what changes afterwards is noticed.
    let mut watcher = Watcher::new(handle.store.clone(), Watched::Stripe(stripe))?;
    watcher.check()?;
    let bounded = group::bounded_waits();
    let mut woken = false;
    loop {
        // Before it is read, so that it is read once more at the end, and not again, however often it is changed.
        let is_over = left().is_some_and(|left| left.is_zero());
        let found = read()?;
        if is_it(&found) {
            return Ok(found);
        }
        if woken {
            watcher.was_useless(left().unwrap_or(Duration::MAX));
        }
        // As the limit of time: however often it is changed.
        if let Some(bounded) = bounded.filter(|_| !is_over) {
            bounded.check(&*handle.store)?;
        }
        if is_over || !watcher.wait(left(), bounded)? {
            return Err(Error::WaitTimeout { object: handle.store.name(), waited: started.elapsed() });
        }
        woken = true;
    }
}

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Returns a watch that reports changes to the table.
    ///
    /// # Errors
    /// [`Error::Forked`].
    #[doc(alias = "subscribe")]
    #[doc(alias = "notify")]
    #[doc(alias = "listen")]
    #[doc(alias = "observe")]
    pub fn watch(&self) -> Result<Watch> {
        Watch::member(self.handle(), Watched::Member)
    }

    /// Returns a watch that reports changes to a key, and perhaps to a few others: all in its stripe.
    ///
    /// # Errors
    /// [`Error::Forked`], and those of encoding the key.
    pub fn watch_key<Q>(&self, key: &Q) -> Result<Watch>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        let stripe = self.handle().with_key(key, |key| Ok(key.stripe))?;
        Watch::member(self.handle(), Watched::Stripe(stripe))
    }

    /// Waits until `is_it` is satisfied with the newest binding of the key (`None` if there is none), at most for `timeout`, and
    /// returns that. It is asked at once and after changes to the key's stripe, at most once a millisecond. What it was satisfied
    /// with may have changed again by the time it is returned: pop a job in a group, or by [`pop`](Self::pop), which gives it to
    /// one process only.
    ///
    /// ```
    /// use std::time::Duration;
    /// use netshm::{Error, HashTable, Locking, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/until.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let jobs: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
    /// let job = std::thread::scope(|scope| {
    ///     scope.spawn(|| jobs.add("job", &7));
    ///     jobs.wait_until("job", Some(Duration::from_secs(5)), |job| job.is_some())
    /// })?;
    /// assert_eq!(job, Some(7));
    ///
    /// let waited = jobs.wait_until("job", Some(Duration::from_millis(1)), |job| job.is_none());
    /// assert!(matches!(waited, Err(Error::WaitTimeout { .. })));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::WaitTimeout`] if it has not been satisfied in time, those of [`Watch::changed`], and those of
    /// [`find`](Self::find).
    #[doc(alias = "wait_for")]
    #[doc(alias = "blpop")]
    #[doc(alias = "condvar")]
    pub fn wait_until<Q>(
        &self,
        key: &Q,
        timeout: Option<Duration>,
        mut is_it: impl FnMut(Option<&V>) -> bool,
    ) -> Result<Option<V>>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        let stripe = self.handle().with_key(key, |key| Ok(key.stripe))?;
        until(self.handle(), stripe, timeout, || self.find(key), |found| is_it(found.as_ref()))
    }
}

impl<T: DataManager> Array<T> {
    /// Returns a watch that reports changes to the array, its length among them.
    ///
    /// # Errors
    /// [`Error::Forked`].
    #[doc(alias = "subscribe")]
    #[doc(alias = "notify")]
    #[doc(alias = "listen")]
    #[doc(alias = "observe")]
    pub fn watch(&self) -> Result<Watch> {
        Watch::member(self.handle(), Watched::Member)
    }

    /// Returns a watch that reports changes to an element, and to others of its stripe. The element need not be there yet.
    ///
    /// # Errors
    /// [`Error::Forked`].
    pub fn watch_element(&self, index: usize) -> Result<Watch> {
        Watch::member(self.handle(), Watched::Stripe(self.stripe_of(index)))
    }

    /// Waits until `is_it` is satisfied with an element, at most for `timeout`, and returns it. See
    /// [`HashTable::wait_until`].
    ///
    /// # Errors
    /// [`Error::WaitTimeout`] if it has not been satisfied in time, those of [`Watch::changed`], and those of
    /// [`get`](Self::get): [`Error::OutOfBounds`] if the element is not there.
    #[doc(alias = "wait_for")]
    #[doc(alias = "condvar")]
    pub fn wait_until(&self, index: usize, timeout: Option<Duration>, is_it: impl FnMut(&T) -> bool) -> Result<T> {
        until(self.handle(), self.stripe_of(index), timeout, || self.get(index), is_it)
    }
}

impl Shm {
    /// Returns a watch that reports changes to any member of the object, and when one is added or removed.
    ///
    /// ```
    /// use netshm::{Array, HashTable, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/watched.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let users: HashTable<String, u64> = HashTable::options().named("users").manage(shm.clone())?;
    /// let mut watch = shm.watch()?;
    /// let hits: Array<u64> = Array::options().named("hits").manage(shm.clone(), 0)?;
    /// assert!(watch.changed(None)?);
    /// users.add("one", &1)?;
    /// assert!(watch.changed(None)?);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`members`](Self::members).
    #[doc(alias = "subscribe")]
    #[doc(alias = "notify")]
    #[doc(alias = "listen")]
    #[doc(alias = "observe")]
    pub fn watch(&self) -> Result<Watch> {
        let store = Arc::new(self.whole_to_read()?);
        Ok(Watch {
            watcher: Watcher::new(store, Watched::Object)?,
            #[cfg(feature = "tokio")]
            entry: tasks::Listed::default(),
            _keeps: Keeps::Object(self.clone()),
        })
    }
}

//! Waiting for changes in tasks, as users see it.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::Watch;
use crate::array::Array;
use crate::data::{DataManager, Encode, ShmKey};
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::locking::BoundedWaits;
use crate::store::async_watch::Entry;
use crate::store::group;

/// A watch's entry in the list of the thread that waits for tasks; and what bounds the wait for the next item of its stream, once that has
/// begun.
#[derive(Default)]
pub(crate) struct Listed(pub(crate) Option<Arc<Entry>>, Option<Option<BoundedWaits>>);

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.end();
        }
    }
}

/// Lets go of the waker of a task that waits no more.
struct Waits<'a>(&'a mut Watch);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(entry) = &self.0.entry.0 {
            entry.forget();
        }
    }
}

impl Watch {
    fn poll_changed(
        &mut self,
        until: Option<Instant>,
        bounded: Option<BoundedWaits>,
        context: &Context<'_>,
    ) -> Poll<Result<bool>> {
        let Watch { watcher, entry, .. } = self;
        watcher.poll(&mut entry.0, until, bounded, context)
    }

    async fn changed_until(&mut self, until: Option<Instant>, bounded: Option<BoundedWaits>) -> Result<bool> {
        let waits = Waits(self);
        poll_fn(|context| waits.0.poll_changed(until, bounded, context)).await
    }

    /// Waits, in a task of any runtime, until something has changed since the watch was made or last said so. It may be dropped at
    /// any time, as `select!` does: no change is lost by that.
    ///
    /// One thread of the process waits for all tasks on an object, as long as there is a watch that a task has waited for.
    ///
    /// ```
    /// use netshm::{HashTable, Locking, Shm};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// let shm = Shm::create_unique("posix:/tasks.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let table: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
    /// let mut watch = table.watch()?;
    /// table.add("one", &1)?;
    /// watch.changed_async().await?;
    /// assert_eq!(table.find("one")?, Some(1));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`changed`](Self::changed), and [`Error::Io`] if the thread cannot be started.
    #[doc(alias = "await")]
    #[doc(alias = "poll")]
    pub async fn changed_async(&mut self) -> Result<()> {
        self.changed_until(None, group::bounded_waits()).await.map(drop)
    }
}

/// The changes, one after the other, without an end: each item stands for one or several. After an error it may go on.
impl Stream for Watch {
    type Item = Result<()>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        let bounded = *self.entry.1.get_or_insert_with(group::bounded_waits);
        let changed = self.poll_changed(None, bounded, context);
        if changed.is_ready() {
            self.entry.1 = None;
        }
        changed.map(|changed| Some(changed.map(drop)))
    }
}

/// Reads what a watch is about until it is as it should be.
pub(crate) async fn until<R>(
    mut watch: Watch,
    timeout: Option<Duration>,
    read: impl Fn() -> Result<R>,
    mut is_it: impl FnMut(&R) -> bool,
) -> Result<R> {
    let started = Instant::now();
    // A time that is beyond the clock never comes.
    let end = timeout.and_then(|timeout| started.checked_add(timeout));
    watch.watcher.check()?;
    let bounded = group::bounded_waits();
    let mut woken = false;
    loop {
        // As in the function of the same name for threads.
        let is_over = end.is_some_and(|end| end <= Instant::now());
        let found = read()?;
        if is_it(&found) {
            return Ok(found);
        }
        if woken {
            watch.watcher.rest();
        }
        if is_over || !watch.changed_until(end, bounded).await? {
            return Err(Error::WaitTimeout { object: watch.watcher.store().name(), waited: started.elapsed() });
        }
        woken = true;
    }
}

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Works like [`wait_until`](Self::wait_until), in a task of any runtime. It may be dropped at any time.
    ///
    /// # Errors
    /// Those of [`wait_until`](Self::wait_until), and [`Error::Io`] if the thread that waits for tasks cannot be started.
    pub async fn wait_until_async<Q>(
        &self,
        key: &Q,
        timeout: Option<Duration>,
        mut is_it: impl FnMut(Option<&V>) -> bool,
    ) -> Result<Option<V>>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        until(self.watch_key(key)?, timeout, || self.find(key), |found| is_it(found.as_ref())).await
    }
}

impl<T: DataManager> Array<T> {
    /// Works like [`wait_until`](Self::wait_until), in a task of any runtime. It may be dropped at any time.
    ///
    /// # Errors
    /// Those of [`wait_until`](Self::wait_until), and [`Error::Io`] if the thread that waits for tasks cannot be started.
    pub async fn wait_until_async(
        &self,
        index: usize,
        timeout: Option<Duration>,
        is_it: impl FnMut(&T) -> bool,
    ) -> Result<T> {
        until(self.watch_element(index)?, timeout, || self.get(index), is_it).await
    }
}

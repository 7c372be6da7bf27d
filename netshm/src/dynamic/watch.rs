//! Waiting for changes.

use std::time::Duration;

use super::array::DynArray;
use super::table::DynTable;
use super::value::Value;
use crate::error::Result;
#[cfg(feature = "tokio")]
use crate::watch::tasks;
use crate::watch::{Watch, until};

impl DynTable {
    /// Returns a watch that reports changes to the table.
    ///
    /// # Errors
    /// Those of [`HashTable::watch`](crate::HashTable::watch).
    #[doc(alias = "subscribe")]
    #[doc(alias = "notify")]
    #[doc(alias = "listen")]
    #[doc(alias = "observe")]
    pub fn watch(&self) -> Result<Watch> {
        self.inner().watch()
    }

    /// Returns a watch that reports changes to a key, and perhaps to a few others.
    ///
    /// # Errors
    /// [`Error::Unfit`](crate::Error::Unfit) if the key is not of its type, and those of
    /// [`HashTable::watch_key`](crate::HashTable::watch_key).
    pub fn watch_key(&self, key: &Value) -> Result<Watch> {
        self.inner().watch_key(&self.key_row(key)?)
    }

    /// Waits until `is_it` is satisfied with the newest binding of the key; see
    /// [`HashTable::wait_until`](crate::HashTable::wait_until).
    ///
    /// # Errors
    /// [`Error::WaitTimeout`](crate::Error::WaitTimeout), those of [`Watch::changed`], and those of [`find`](Self::find).
    #[doc(alias = "wait_for")]
    #[doc(alias = "condvar")]
    pub fn wait_until(
        &self,
        key: &Value,
        timeout: Option<Duration>,
        mut is_it: impl FnMut(Option<&Value>) -> bool,
    ) -> Result<Option<Value>> {
        let row = self.key_row(key)?;
        let handle = self.inner().handle();
        let stripe = handle.with_key(&row, |key| Ok(key.stripe))?;
        until(handle, stripe, timeout, || self.find(key), |found| is_it(found.as_ref()))
    }

    /// Works like [`wait_until`](Self::wait_until), in a task of any runtime. It may be dropped at any time.
    ///
    /// ```
    /// use netshm::dynamic::{DynTable, Value};
    /// use netshm::{HashTable, Locking, Shm};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// let shm = Shm::create_unique("posix:/tasks.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let typed: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
    /// let table = DynTable::open(Shm::open(typed.shm().name())?)?;
    /// typed.add("one", &1)?;
    /// let one = table.wait_until_async(&Value::from("one"), None, |one| one.is_some()).await?;
    /// assert_eq!(one, Some(Value::from(1u64)));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`wait_until`](Self::wait_until), and [`Error::Io`](crate::Error::Io) if the thread that waits for tasks cannot be
    /// started.
    #[cfg(feature = "tokio")]
    pub async fn wait_until_async(
        &self,
        key: &Value,
        timeout: Option<Duration>,
        mut is_it: impl FnMut(Option<&Value>) -> bool,
    ) -> Result<Option<Value>> {
        tasks::until(self.watch_key(key)?, timeout, || self.find(key), |found| is_it(found.as_ref())).await
    }
}

impl DynArray {
    /// Returns a watch that reports changes to the array.
    ///
    /// # Errors
    /// Those of [`Array::watch`](crate::Array::watch).
    #[doc(alias = "subscribe")]
    #[doc(alias = "notify")]
    #[doc(alias = "listen")]
    #[doc(alias = "observe")]
    pub fn watch(&self) -> Result<Watch> {
        self.inner.watch()
    }

    /// Returns a watch that reports changes to an element, and to others of its stripe.
    ///
    /// # Errors
    /// Those of [`Array::watch_element`](crate::Array::watch_element).
    pub fn watch_element(&self, index: usize) -> Result<Watch> {
        self.inner.watch_element(index)
    }

    /// Waits until `is_it` is satisfied with an element; see [`Array::wait_until`](crate::Array::wait_until).
    ///
    /// # Errors
    /// [`Error::WaitTimeout`](crate::Error::WaitTimeout), those of [`Watch::changed`], and those of [`get`](Self::get).
    #[doc(alias = "wait_for")]
    #[doc(alias = "condvar")]
    pub fn wait_until(
        &self,
        index: usize,
        timeout: Option<Duration>,
        is_it: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        until(self.inner.handle(), self.inner.stripe_of(index), timeout, || self.get(index), is_it)
    }

    /// Works like [`wait_until`](Self::wait_until), in a task of any runtime. It may be dropped at any time.
    ///
    /// # Errors
    /// Those of [`wait_until`](Self::wait_until), and [`Error::Io`](crate::Error::Io) if the thread that waits for tasks cannot be
    /// started.
    #[cfg(feature = "tokio")]
    pub async fn wait_until_async(
        &self,
        index: usize,
        timeout: Option<Duration>,
        is_it: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        tasks::until(self.watch_element(index)?, timeout, || self.get(index), is_it).await
    }
}

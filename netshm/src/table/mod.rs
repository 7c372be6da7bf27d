//! The primitive table.

mod blocks;

use std::fmt;
use std::time::Duration;

pub use blocks::{Block, BlockMut, Flow};

use crate::check::{Contents, Report};
use crate::data::ObjectSchema;
use crate::error::{Error, Result};
use crate::grouped::{Joins, Membership};
use crate::handle::{group_methods, own_group_methods};
use crate::hash_table::{HashTable, Items, Keys, Values};
use crate::layout::header::ObjectKind;
use crate::layout::method::Locking;
use crate::options::ManageOptions;
use crate::shm::Shm;
use crate::stats::Stats;
use crate::watch::Watch;

/// The primitive table: keys are `i32`, values are sequences of `i32`.
///
/// It has the verbs of [`HashTable`], whose documentation says what they do, and lets an expert reach
/// the values block by block where they lie ([`read_blocks`](Self::read_blocks),
/// [`write_blocks`](Self::write_blocks)).
///
/// ```
/// use netshm::{Flow, Locking, Shm, Table};
///
/// let shm = Shm::create_unique("posix:/primitive.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let table = Table::manage(shm, Locking::Futex)?;
/// table.add(7, &[1, 2, 3])?;
/// table.write_blocks(7, |block| {
///     block.set(0, 100);
///     Flow::Next
/// })?;
/// assert_eq!(table.find(7)?, Some(vec![100, 2, 3]));
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[doc(alias = "shm_table")]
#[derive(Clone)]
pub struct Table {
    inner: HashTable<i32, Vec<i32>>,
}

impl Joins for Table {
    fn join(&self, group: &Membership) -> Result<Self> {
        Ok(Table { inner: self.inner.join(group)? })
    }
}

#[cfg(test)]
impl Table {
    pub(crate) fn handle(&self) -> &crate::handle::Handle {
        self.inner.handle()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("shm", self.shm()).finish_non_exhaustive()
    }
}

impl Table {
    /// Views an object as a primitive table. An empty object becomes one.
    ///
    /// # Errors
    /// Those of [`HashTable::manage`].
    pub fn manage(shm: Shm, locking: Locking) -> Result<Self> {
        Self::options().locking(locking).manage(shm)
    }

    /// Returns the options for managing an object as a primitive table.
    pub fn options() -> ManageOptions<Self> {
        ManageOptions::default()
    }

    /// Pushes a binding for the key, which hides the older ones.
    ///
    /// # Errors
    /// Those of [`HashTable::add`].
    #[doc(alias = "insert")]
    #[doc(alias = "push")]
    pub fn add(&self, key: i32, value: &[i32]) -> Result<()> {
        self.inner.add(&key, value)
    }

    /// Changes the newest binding of the key; adds one if there is none.
    ///
    /// # Errors
    /// Those of [`HashTable::add`].
    #[doc(alias = "insert")]
    #[doc(alias = "put")]
    #[doc(alias = "set")]
    #[doc(alias = "upsert")]
    pub fn replace(&self, key: i32, value: &[i32]) -> Result<()> {
        self.inner.replace(&key, value)
    }

    /// Adds a binding if the key has none. Returns whether it did.
    ///
    /// # Errors
    /// Those of [`HashTable::add`].
    #[doc(alias = "try_insert")]
    pub fn add_if_absent(&self, key: i32, value: &[i32]) -> Result<bool> {
        self.inner.add_if_absent(&key, value)
    }

    /// Returns the newest binding of the key.
    ///
    /// # Errors
    /// Those of [`HashTable::find`].
    #[doc(alias = "get")]
    pub fn find(&self, key: i32) -> Result<Option<Vec<i32>>> {
        self.inner.find(&key)
    }

    /// Returns all bindings of the key, the newest first.
    ///
    /// # Errors
    /// Those of [`HashTable::find`].
    pub fn find_all(&self, key: i32) -> Result<Vec<Vec<i32>>> {
        self.inner.find_all(&key)
    }

    /// Returns the newest bindings of many keys, in the order of the keys; see [`HashTable::find_many`].
    ///
    /// # Errors
    /// Those of [`HashTable::find`].
    #[doc(alias = "get_many")]
    pub fn find_many(&self, keys: impl IntoIterator<Item = i32>) -> Result<Vec<Option<Vec<i32>>>> {
        self.inner.find_many_by(keys)
    }

    /// Returns whether the key has a binding.
    ///
    /// # Errors
    /// Those of [`HashTable::find`].
    #[doc(alias = "contains_key")]
    #[doc(alias = "mem")]
    #[doc(alias = "exists")]
    pub fn contains(&self, key: i32) -> Result<bool> {
        self.inner.contains(&key)
    }

    /// Pops the newest binding of the key. Returns whether there was one. The removed value is given by [`pop`](Self::pop), unlike in
    /// [`std::collections::HashMap`].
    ///
    /// # Errors
    /// Those of [`HashTable::remove`].
    #[doc(alias = "delete")]
    #[doc(alias = "retain")]
    pub fn remove(&self, key: i32) -> Result<bool> {
        self.inner.remove(&key)
    }

    /// Pops the newest binding of the key and gives it, as `remove` does in [`std::collections::HashMap`].
    ///
    /// # Errors
    /// Those of [`HashTable::pop`].
    #[doc(alias = "take")]
    pub fn pop(&self, key: i32) -> Result<Option<Vec<i32>>> {
        self.inner.pop(&key)
    }

    /// Removes all bindings of the key. Returns their number.
    ///
    /// # Errors
    /// Those of [`HashTable::remove`].
    pub fn remove_all(&self, key: i32) -> Result<usize> {
        self.inner.remove_all(&key)
    }

    /// Returns the newest binding of the key, or the result of `make`, which is added then.
    ///
    /// # Errors
    /// Those of [`HashTable::get_or_insert_with`].
    #[doc(alias = "entry")]
    #[doc(alias = "or_insert_with")]
    pub fn get_or_insert_with(&self, key: i32, make: impl FnOnce() -> Vec<i32>) -> Result<Vec<i32>> {
        self.inner.get_or_insert_with(&key, make)
    }

    /// Replaces the newest binding of the key with what `change` makes of it, as one step.
    ///
    /// # Errors
    /// Those of [`HashTable::update`].
    #[doc(alias = "entry")]
    #[doc(alias = "and_modify")]
    pub fn update(
        &self,
        key: i32,
        change: impl FnOnce(Option<Vec<i32>>) -> Option<Vec<i32>>,
    ) -> Result<Option<Vec<i32>>> {
        self.inner.update(&key, change)
    }

    /// Shows the newest binding of the key to `look`, without building a vector; see [`HashTable::find_with`].
    ///
    /// # Errors
    /// Those of [`HashTable::find`].
    #[doc(alias = "get_ref")]
    #[doc(alias = "view")]
    pub fn find_with<R>(&self, key: i32, look: impl FnOnce(&[i32]) -> R) -> Result<Option<R>> {
        self.inner.find_with(&key, look)
    }

    /// Reads the newest binding of the key into `into`, reusing its memory; see [`HashTable::find_into`].
    ///
    /// # Errors
    /// Those of [`HashTable::find`].
    pub fn find_into(&self, key: i32, into: &mut Vec<i32>) -> Result<bool> {
        self.inner.find_into(&key, into)
    }

    /// Adds many bindings; see [`HashTable::add_many`].
    ///
    /// # Errors
    /// Those of [`HashTable::add`].
    #[doc(alias = "extend")]
    #[doc(alias = "insert_many")]
    #[doc(alias = "load")]
    pub fn add_many(&self, bindings: impl IntoIterator<Item = (i32, Vec<i32>)>) -> Result<()> {
        self.inner.add_many(bindings)
    }

    /// Changes the newest binding of the key, and returns what it was; see [`HashTable::swap`].
    ///
    /// # Errors
    /// Those of [`HashTable::swap`].
    #[doc(alias = "insert")]
    #[doc(alias = "exchange")]
    pub fn swap(&self, key: i32, value: &[i32]) -> Result<Option<Vec<i32>>> {
        self.inner.swap(&key, value)
    }

    /// Changes the newest binding of the key to `new` if it is `old`; see [`HashTable::compare_exchange`].
    ///
    /// # Errors
    /// Those of [`HashTable::compare_exchange`].
    #[doc(alias = "compare_and_swap")]
    #[doc(alias = "cas")]
    pub fn compare_exchange(
        &self,
        key: i32,
        old: &[i32],
        new: &[i32],
    ) -> Result<std::result::Result<(), Option<Vec<i32>>>> {
        self.inner.compare_exchange(&key, old, new)
    }

    /// Calls `visit` with each binding, under a lock on the whole table; see [`HashTable::for_each`].
    ///
    /// # Errors
    /// Those of [`HashTable::for_each`].
    #[doc(alias = "iter")]
    pub fn for_each(&self, visit: impl FnMut(i32, Vec<i32>)) -> Result<()> {
        self.inner.for_each(visit)
    }

    /// Works like [`for_each`](Self::for_each), but stops at the first error of `visit` and returns it.
    ///
    /// # Errors
    /// Those of [`HashTable::for_each`], and those of `visit`.
    pub fn try_for_each<E: From<Error>>(&self, visit: impl FnMut(i32, Vec<i32>) -> Result<(), E>) -> Result<(), E> {
        self.inner.try_for_each(visit)
    }

    /// Calls `visit` with each key once.
    ///
    /// # Errors
    /// Those of [`HashTable::for_each`].
    #[doc(alias = "iter_keys")]
    pub fn for_each_key(&self, visit: impl FnMut(i32)) -> Result<()> {
        self.inner.for_each_key(visit)
    }

    /// Folds all bindings; see [`HashTable::fold`].
    ///
    /// # Errors
    /// Those of [`HashTable::for_each`].
    pub fn fold<A>(&self, start: A, step: impl FnMut(A, i32, Vec<i32>) -> A) -> Result<A> {
        self.inner.fold(start, step)
    }

    /// Returns all bindings, without a lock on the whole table; see [`HashTable::scan`].
    pub fn scan(&self) -> Items<'_, i32, Vec<i32>> {
        self.inner.scan()
    }

    /// Returns the keys, each once; see [`HashTable::keys`].
    pub fn keys(&self) -> Keys<'_, i32> {
        self.inner.keys()
    }

    /// Returns the values of all bindings; see [`HashTable::values`].
    pub fn values(&self) -> Values<'_, Vec<i32>> {
        self.inner.values()
    }

    /// Returns the number of bindings, hidden ones included.
    ///
    /// # Errors
    /// Those of [`HashTable::len`].
    #[doc(alias = "length")]
    #[doc(alias = "count")]
    pub fn len(&self) -> Result<usize> {
        self.inner.len()
    }

    /// Returns whether the table has no binding.
    ///
    /// # Errors
    /// Those of [`HashTable::len`].
    pub fn is_empty(&self) -> Result<bool> {
        self.inner.is_empty()
    }

    /// Removes all bindings, as one step.
    ///
    /// # Errors
    /// Those of [`HashTable::clear`].
    #[doc(alias = "drain")]
    pub fn clear(&self) -> Result<()> {
        self.inner.clear()
    }

    /// Writes the object back to its storage; see [`HashTable::sync`].
    ///
    /// # Errors
    /// Those of [`HashTable::sync`].
    #[doc(alias = "flush")]
    #[doc(alias = "fsync")]
    #[doc(alias = "persist")]
    pub fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    /// Checks the whole object; see [`HashTable::check`].
    ///
    /// # Errors
    /// Those of [`HashTable::check`].
    #[doc(alias = "verify")]
    #[doc(alias = "fsck")]
    pub fn check(&self) -> Result<Report> {
        self.inner.check()
    }

    /// Returns figures about the object; see [`HashTable::stats`].
    ///
    /// # Errors
    /// Those of [`HashTable::stats`].
    #[doc(alias = "metrics")]
    pub fn stats(&self) -> Result<Stats> {
        self.inner.stats()
    }

    /// Returns the descriptor that the table was managed through.
    pub fn shm(&self) -> &Shm {
        self.inner.shm()
    }

    group_methods!(this => this.inner);

    own_group_methods!(this => this.inner.handle());

    /// Shows the bindings of a key block by block, the newest binding first, while they are locked against writers; a
    /// change by this thread meanwhile is [`Error::Iterating`]. A block has at most a page of words; `visit` says how to
    /// go on ([`Flow::Remove`] is for [`write_blocks`](Self::write_blocks) and means [`Flow::NextBinding`] here).
    ///
    /// # Errors
    /// Those of [`HashTable::find`].
    pub fn read_blocks(&self, key: i32, visit: impl FnMut(&Block<'_>) -> Flow) -> Result<()> {
        blocks::read(self.inner.handle(), key, visit)
    }

    /// Shows the bindings of a key block by block, the newest binding first, for changing them in place or removing them.
    /// All of it happens, or nothing. Another change by this thread meanwhile is [`Error::Iterating`].
    ///
    /// # Errors
    /// Those of [`HashTable::add`]. In a full object some dozens of bindings can be removed at once in any case; more may
    /// fail, and then nothing has changed.
    pub fn write_blocks(&self, key: i32, visit: impl FnMut(&mut BlockMut<'_>) -> Flow) -> Result<()> {
        blocks::write(self.inner.handle(), key, visit)
    }
}

/// Waiting for changes.
impl Table {
    /// Returns a watch that reports changes to the table.
    ///
    /// # Errors
    /// Those of [`HashTable::watch`].
    #[doc(alias = "subscribe")]
    #[doc(alias = "notify")]
    #[doc(alias = "listen")]
    #[doc(alias = "observe")]
    pub fn watch(&self) -> Result<Watch> {
        self.inner.watch()
    }

    /// Returns a watch that reports changes to a key, and perhaps to a few others.
    ///
    /// # Errors
    /// Those of [`HashTable::watch_key`].
    pub fn watch_key(&self, key: i32) -> Result<Watch> {
        self.inner.watch_key(&key)
    }

    /// Waits until `is_it` is satisfied with the newest binding of the key; see [`HashTable::wait_until`].
    ///
    /// # Errors
    /// Those of [`HashTable::wait_until`].
    #[doc(alias = "wait_for")]
    #[doc(alias = "condvar")]
    pub fn wait_until(
        &self,
        key: i32,
        timeout: Option<Duration>,
        mut is_it: impl FnMut(Option<&[i32]>) -> bool,
    ) -> Result<Option<Vec<i32>>> {
        self.inner.wait_until(&key, timeout, |found| is_it(found.map(Vec::as_slice)))
    }

    /// Works like [`wait_until`](Self::wait_until), in a task of any runtime. It may be dropped at any time.
    ///
    /// # Errors
    /// Those of [`HashTable::wait_until_async`].
    #[cfg(feature = "tokio")]
    pub async fn wait_until_async(
        &self,
        key: i32,
        timeout: Option<Duration>,
        mut is_it: impl FnMut(Option<&[i32]>) -> bool,
    ) -> Result<Option<Vec<i32>>> {
        self.inner.wait_until_async(&key, timeout, |found| is_it(found.map(Vec::as_slice))).await
    }
}

/// Iterates over all bindings; see [`Table::scan`].
impl<'a> IntoIterator for &'a Table {
    type Item = Result<(i32, Vec<i32>)>;
    type IntoIter = Items<'a, i32, Vec<i32>>;

    fn into_iter(self) -> Self::IntoIter {
        self.scan()
    }
}

impl ManageOptions<Table> {
    /// Views an object as a primitive table with these options; see [`Table::manage`].
    ///
    /// # Errors
    /// Those of [`HashTable::manage`]; [`Error::InvalidOption`] for a value out of range; [`Error::InUse`] if it
    /// is to be recreated while others have it open.
    pub fn manage(self, shm: Shm) -> Result<Table> {
        let inner = HashTable::open(
            shm,
            ObjectKind::Table,
            &ObjectSchema::Table,
            Contents::table::<i32, Vec<i32>>(),
            self.shape,
            self.limits,
        )?;
        Ok(Table { inner })
    }
}

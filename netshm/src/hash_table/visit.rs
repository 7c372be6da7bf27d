//! Visiting all bindings.

use super::HashTable;
use super::iter::{self, Both, Items, KeyOnly, Keys, Values, Which};
use crate::data::{DataManager, ShmKey};
use crate::error::{Error, Result};

/// Iterates over all bindings; see [`HashTable::scan`].
impl<'a, K: ShmKey, V: DataManager> IntoIterator for &'a HashTable<K, V> {
    type Item = Result<(K, V)>;
    type IntoIter = Items<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.scan()
    }
}

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Calls `visit` with each binding; the bindings of a key come together, the newest first. The whole table is locked
    /// against writers meanwhile, and a change by this thread is [`Error::Iterating`]. (Through a read-only descriptor
    /// nothing is locked: each stripe is consistent in itself, as with [`scan`](Self::scan).)
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "iter")]
    pub fn for_each(&self, mut visit: impl FnMut(K, V)) -> Result<()> {
        self.try_for_each(|key, value| {
            visit(key, value);
            Ok::<(), Error>(())
        })
    }

    /// Works like [`for_each`](Self::for_each), but stops at the first error of `visit` and returns it.
    ///
    /// # Errors
    /// Those of [`find`](Self::find), and those of `visit`.
    pub fn try_for_each<E: From<Error>>(&self, mut visit: impl FnMut(K, V) -> Result<(), E>) -> Result<(), E> {
        iter::for_each::<Both<K, V>, E>(&self.handle, Which::All, |(key, value)| visit(key, value))
    }

    /// Calls `visit` with each key once.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "iter_keys")]
    pub fn for_each_key(&self, mut visit: impl FnMut(K)) -> Result<()> {
        self.try_for_each_key(|key| {
            visit(key);
            Ok::<(), Error>(())
        })
    }

    /// Works like [`for_each_key`](Self::for_each_key), but stops at the first error of `visit` and returns it.
    pub(crate) fn try_for_each_key<E: From<Error>>(&self, visit: impl FnMut(K) -> Result<(), E>) -> Result<(), E> {
        iter::for_each::<KeyOnly<K>, E>(&self.handle, Which::Newest, visit)
    }

    /// Folds all bindings, in the manner and under the lock of [`for_each`](Self::for_each).
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn fold<A>(&self, start: A, mut step: impl FnMut(A, K, V) -> A) -> Result<A> {
        let mut folded = Some(start);
        self.for_each(|key, value| folded = folded.take().map(|sofar| step(sofar, key, value)))?;
        Ok(folded.unwrap_or_else(|| unreachable!("always put back")))
    }

    /// Returns all bindings as an iterator that locks nothing: each stripe is consistent in itself, but changes may happen while
    /// the iterator goes from one stripe to the next. Holds one stripe in memory at a time.
    ///
    /// An `Err` item stands for what could not be read: a binding that a hand-written manager refuses, or all of a stripe
    /// for any other reason. What comes after it follows, so that a program that wants the rest goes on, and one that does
    /// not stops there; `collect` into a `Result` does so.
    #[doc(alias = "iter")]
    #[doc(alias = "cursor")]
    pub fn scan(&self) -> Items<'_, K, V> {
        Items::new(&self.handle)
    }

    /// Returns the keys, each once, in the manner of [`scan`](Self::scan).
    pub fn keys(&self) -> Keys<'_, K> {
        Keys::new(&self.handle)
    }

    /// Returns the values of all bindings, in the manner of [`scan`](Self::scan).
    pub fn values(&self) -> Values<'_, V> {
        Values::new(&self.handle)
    }
}

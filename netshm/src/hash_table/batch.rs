//! Looking up many keys at once.

use std::borrow::Borrow;

use smallvec::SmallVec;

use super::HashTable;
use crate::data::{DataManager, Encode, ShmKey};
use crate::error::Result;
use crate::index;

/// Keys that are prefetched before the first of them is looked up: about the number that a processor can wait for at once.
const BATCH: usize = 16;

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Returns the newest bindings of many keys, in the order of the keys.
    ///
    /// In a large table most of the time of a lookup is spent waiting for memory. Here the memory of several keys is asked
    /// for in advance, so that they wait together. Each key is read by itself, as by [`find`](Self::find); to see them all at
    /// one moment, do it in a group.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let name = Shm::create_unique("posix:/doc.XXXXXX", 0o600)?.name().clone();
    /// # let table: HashTable<String, u32> = HashTable::manage(Shm::open(&name)?, Locking::Futex)?;
    /// table.add("one", &1)?;
    /// table.add("two", &2)?;
    /// assert_eq!(table.find_many(["two", "three", "one"])?, [Some(2), None, Some(1)]);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "get_many")]
    #[doc(alias = "multi_get")]
    #[doc(alias = "mget")]
    pub fn find_many<'k, Q>(&self, keys: impl IntoIterator<Item = &'k Q>) -> Result<Vec<Option<V>>>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized + 'k,
    {
        self.find_many_by(keys)
    }

    /// Works like [`find_many`](Self::find_many), for keys or references to them.
    pub(crate) fn find_many_by<B, Q>(&self, keys: impl IntoIterator<Item = B>) -> Result<Vec<Option<V>>>
    where
        K: Borrow<Q>,
        B: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.handle.store.check_fork()?;
        let mut keys = keys.into_iter();
        let mut values = Vec::with_capacity(keys.size_hint().0.min(1 << 16));
        let region = self.handle.store.region();
        loop {
            let batch: SmallVec<[B; BATCH]> = keys.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(values);
            }
            let mut places: SmallVec<[_; BATCH]> = SmallVec::new();
            for key in &batch {
                places.push(self.with_key(key.borrow(), |key| {
                    index::prefetch_bucket(region, key.at, key.hash);
                    Ok((key.at, key.hash))
                })?);
            }
            for (at, hash) in places {
                index::prefetch_record(region, at, hash);
            }
            for key in batch {
                values.push(self.find(key.borrow())?);
            }
        }
    }
}

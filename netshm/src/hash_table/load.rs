//! Adding many bindings.

use std::borrow::Borrow;
use std::ops::Range;

use super::HashTable;
use crate::data::{DataManager, ShmKey};
use crate::error::Result;
use crate::index::record::Payload;
use crate::index::{self, Key, bindings};

/// Bindings that are encoded before the first of them is added, and words of them.
const BATCH: usize = 2048;
const BATCH_WORDS: usize = 1 << 16;
/// A change ends when the log has less room than two additions need.
const ROOM: u64 = 48;

/// Bindings that are to be added.
#[derive(Default)]
struct Batch {
    words: Vec<u64>,
    bindings: Vec<Binding>,
}

/// An encoded binding: where its words are.
struct Binding {
    stripe: u32,
    hash: u64,
    key: Range<usize>,
    value: Range<usize>,
}

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Adds many bindings, faster than one by one: those of a stripe are added together, some at a time. Several of a key are
    /// pushed in their order.
    ///
    /// The iterator runs while nothing is locked, some hundred items ahead. If something fails, or the process is killed, some of the
    /// bindings may have been added; in a group it is all of them or none. (The group then needs memory for its log: some 100 to
    /// 300 bytes for each binding.) Give the expected number as
    /// [`init`](crate::ManageOptions::init) when the table is created, so that it need not grow on the way.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm, group};
    /// # let shm = Shm::create_unique("posix:/load.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let squares: HashTable<u64, u64> = HashTable::options().init(10_000).manage(shm)?;
    /// squares.add_many((0..10_000).map(|number| (number, number * number)))?;
    /// assert_eq!(squares.find(&99)?, Some(9801));
    ///
    /// let more = vec![(10_000, 100_000_000), (10_001, 100_020_001)];
    /// group!(squares => {
    ///     squares.add_many(more)?;
    /// })?;
    /// assert_eq!(squares.len()?, 10_002);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    #[doc(alias = "extend")]
    #[doc(alias = "insert_many")]
    #[doc(alias = "load")]
    #[doc(alias = "append")]
    #[doc(alias = "batch")]
    #[doc(alias = "bulk")]
    #[doc(alias = "import")]
    pub fn add_many<B, C>(&self, bindings: impl IntoIterator<Item = (B, C)>) -> Result<()>
    where
        B: Borrow<K>,
        C: Borrow<V>,
    {
        self.handle.store.check_fork()?;
        let mut batch = Batch::default();
        for (key, value) in bindings {
            self.encode_binding(&mut batch, key.borrow(), value.borrow())?;
            if batch.bindings.len() == BATCH || batch.words.len() >= BATCH_WORDS {
                self.add_batch(&mut batch)?;
            }
        }
        self.add_batch(&mut batch)
    }

    fn encode_binding(&self, batch: &mut Batch, key: &K, value: &V) -> Result<()> {
        let store = &*self.handle.store;
        let start = batch.words.len();
        let hash = self.handle.encoded(key, |words| {
            batch.words.extend_from_slice(words);
            Ok(store.hash(words))
        })?;
        let middle = batch.words.len();
        self.handle.encoded(value, |words| {
            batch.words.extend_from_slice(words);
            Ok(())
        })?;
        let end = batch.words.len();
        batch.bindings.push(Binding { stripe: store.stripe_of(hash), hash, key: start..middle, value: middle..end });
        Ok(())
    }

    fn add_batch(&self, batch: &mut Batch) -> Result<()> {
        let (store, words) = (&*self.handle.store, &*batch.words);
        // Those of a key stay in their order.
        batch.bindings.sort_by_key(|binding| binding.stripe);
        for together in batch.bindings.chunk_by(|a, b| a.stripe == b.stripe) {
            let at = store.geometry().stripe(together[0].stripe);
            together.iter().for_each(|binding| index::prefetch_bucket(store.region(), at, binding.hash));
            let mut left = together;
            while !left.is_empty() {
                let added = self.handle.change("add bindings", |change| {
                    for (number, binding) in left.iter().enumerate() {
                        if number > 0 && change.log_room() < ROOM {
                            return Ok(number);
                        }
                        let key =
                            Key { words: &words[binding.key.clone()], hash: binding.hash, stripe: binding.stripe, at };
                        bindings::add(change, key, Payload::Words(&words[binding.value.clone()]))?;
                    }
                    Ok(left.len())
                })?;
                left = &left[added..];
            }
        }
        batch.words.clear();
        batch.bindings.clear();
        Ok(())
    }
}

//! Looking at values without building them.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicU64;

use super::HashTable;
use crate::data::{Encode, ShmKey, Viewed};
use crate::error::Result;
use crate::handle::TRUSTED_WORDS;
use crate::index;
use crate::os::copy;
use crate::region::Inconclusive;
use crate::source::Source;
use crate::store::read::{self, View, with_source};

/// A longer buffer is not kept.
const KEPT_WORDS: usize = 1 << 16;

thread_local! {
    /// Memory for copies, which serves one call after the other.
    static BUFFER: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
}

/// Runs `work` with a buffer. One inside another gets its own.
fn with_buffer<R>(work: impl FnOnce(&mut Vec<u64>) -> R) -> R {
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    let result = work(&mut buffer);
    if buffer.len() <= KEPT_WORDS {
        // In a destructor of another thread-local it may be gone already.
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
    result
}

/// Copies words that may be about to change. Returns how many, or `None` if they are no longer what they were.
fn copy(view: View<'_>, words: &[AtomicU64], buffer: &mut Vec<u64>) -> Option<usize> {
    if buffer.len() < words.len() {
        if words.len() > TRUSTED_WORDS && !view.holds() {
            return None;
        }
        buffer.resize(words.len(), 0);
    }
    copy::load_words(words, &mut buffer[..words.len()]);
    Some(words.len())
}

impl<K: ShmKey, V: Viewed> HashTable<K, V> {
    /// Shows the newest binding of the key to `look`, without building a value: a `&str` for a text, a slice for bytes or
    /// plain numbers. Returns what `look` returns, or `None` if there is no binding.
    ///
    /// What is shown is a copy of this thread, checked, in memory that the next call uses again. So nothing is
    /// allocated, and `look` may take its time, and use the table.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/view.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let pages: HashTable<u64, String> = HashTable::manage(shm, Locking::Futex)?;
    /// pages.add(&1, "<html>..</html>")?;
    /// let length = pages.find_with(&1, |page: &str| page.len())?;
    /// assert_eq!(length, Some(15));
    /// assert_eq!(pages.find_with(&2, |page| page.len())?, None);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "get_ref")]
    #[doc(alias = "view")]
    pub fn find_with<Q, R>(&self, key: &Q, look: impl FnOnce(&V::View) -> R) -> Result<Option<R>>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        with_buffer(|buffer| {
            let Some(words) = self.find_copied(key, buffer)? else { return Ok(None) };
            let view = V::view(&buffer[..words]).map_err(|error| self.handle.data_error(error))?;
            Ok(Some(look(view)))
        })
    }

    /// Reads the newest binding of the key into `into`, reusing its memory. Returns whether there is one; if not, `into` stays
    /// as it is.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/view.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let samples: HashTable<u64, Vec<f32>> = HashTable::manage(shm, Locking::Futex)?;
    /// samples.add(&1, &vec![0.5; 100])?;
    /// let mut sample = Vec::new();
    /// assert!(samples.find_into(&1, &mut sample)?);
    /// assert_eq!(sample, [0.5; 100]);
    /// assert!(!samples.find_into(&2, &mut sample)?);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn find_into<Q>(&self, key: &Q, into: &mut V) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        Ok(self.find_with(key, |view| into.refill(view))?.is_some())
    }

    /// Copies the words of the newest binding; returns how many they are.
    fn find_copied<Q: Encode + ?Sized>(&self, key: &Q, buffer: &mut Vec<u64>) -> Result<Option<usize>> {
        let buffer = RefCell::new(buffer);
        self.handle.encoded(key, |words| {
            let found = self.optimistic(words, |view, found| {
                copy(view, found.record.value(), &mut buffer.borrow_mut()).ok_or(Inconclusive)
            });
            match found {
                Some(found) => Ok(found),
                None => self.find_copied_slow(words, &buffer),
            }
        })
    }

    #[inline(never)]
    fn find_copied_slow(&self, key: &[u64], buffer: &RefCell<&mut Vec<u64>>) -> Result<Option<usize>> {
        let key = self.handle.key(key);
        read::read(&self.handle.store, self.handle.limits, key.stripe, |view| {
            let form = view.region().geometry().form;
            with_source!(view, source => {
                index::find_and(source, form, source.stripe(key.at), key, |found| {
                    copy(view, found.record.value(), &mut buffer.borrow_mut())
                        .ok_or_else(|| view.region().corrupt(0, "changed while it was read"))
                })
            })
        })
    }
}

//! Looking up the newest binding of a key, on the fast path and the slow one.

use std::cell::Cell;
use std::sync::atomic::AtomicU64;

use super::{HashTable, encoded};
use crate::data::{DataManager, ShmKey};
use crate::error::{Error, Result};
use crate::handle::{Staged, decode_row, decode_row_optimistic};
use crate::index::{self, Found};
use crate::region::Inconclusive;
use crate::store::group;
use crate::store::read::{OptimisticRead, View};

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Looks a key up optimistically. Returns the result of `then` for what was found, or `None` if the slow path must decide.
    #[inline(always)]
    pub(super) fn optimistic<R>(
        &self,
        words: &[u64],
        then: impl Fn(View<'_>, &Found<'_>) -> Result<R, Inconclusive> + Copy,
    ) -> Option<Option<R>> {
        let store = &*self.handle.store;
        let attempt = OptimisticRead::at(store)?;
        let form = self.form()?;
        let key = self.handle.key(words);
        attempt.read(key.at, move |view, stripe| {
            index::find_and(view.region(), form, stripe, key, move |found| then(view, found))
        })
    }

    /// Looks a key up where no group is open, mostly.
    #[inline]
    pub(super) fn find_outside(&self, key: &[u64]) -> Result<Option<V>> {
        if V::DIRECT
            && let Some(found) =
                self.optimistic(key, |view, found| decode_row_optimistic::<V>(view, found.record.value()))
        {
            return Ok(found);
        }
        self.find_slow(key)
    }

    #[inline(never)]
    pub(super) fn find_slow(&self, key: &[u64]) -> Result<Option<V>> {
        if V::DIRECT
            && group::open() > 0
            && let Some(found) = self.optimistic_in_group(key)
        {
            return found.map_err(|error| *error);
        }
        self.find_encoded(key)
    }

    /// Works like [`find`](Self::find), by code that all types share but for the decoding.
    pub(super) fn find_encoded(&self, key: &[u64]) -> Result<Option<V>> {
        let staged = Cell::new(None);
        let in_place = |view: View<'_>, words: &[AtomicU64]| {
            staged.set(Some(Staged::Value(decode_row_optimistic::<V>(view, words)?)));
            Ok(())
        };
        let carefully = |view: View<'_>, words: &[AtomicU64]| {
            staged.set(Some(decode_row::<V>(view, words)?));
            Ok(())
        };
        let in_place: Option<encoded::InPlace<'_>> = if V::DIRECT { Some(&in_place) } else { None };
        if !encoded::find(&self.handle, key, in_place, &carefully)? {
            return Ok(None);
        }
        staged.into_inner().map(|staged| self.handle.finish(staged)).transpose()
    }

    /// Works like [`optimistic`](Self::optimistic), in a group.
    #[inline(always)]
    fn optimistic_in_group(&self, words: &[u64]) -> Option<Result<Option<V>, Box<Error>>> {
        if !Self::has_length(K::FIXED, words) {
            return None;
        }
        let store = &*self.handle.store;
        let form = self.form()?;
        let key = self.handle.key(words);
        let (view, entries) = match group::optimistic(store, key.stripe)? {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let region = view.region();
        if let (true, [word]) = (const { Self::PAIRS }, words)
            && let Ok(found) = index::pair_or_miss(region, key, *word)
        {
            let Some((place, value)) = found else { return Some(Ok(None)) };
            group::note_found(store, key.stripe, entries, *word, place);
            return Some(Ok(Some(decode_row_optimistic::<V>(view, value).ok()?)));
        }
        // Decoded here: with the decoding in it, the closure would be called.
        let record =
            index::find_and::<_, _, Inconclusive>(region, form, region.stripe(key.at), key, |found| Ok(found.record));
        let Some(record) = record.ok()? else { return Some(Ok(None)) };
        Some(Ok(Some(decode_row_optimistic::<V>(view, record.value()).ok()?)))
    }
}

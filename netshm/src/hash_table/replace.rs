//! Replacing a value as part of a group.

use std::borrow::Borrow;
use std::sync::atomic::AtomicU64;

use super::HashTable;
use crate::data::{DataManager, Encode, ShmKey};
use crate::error::Result;
use crate::index::record::Payload;
use crate::index::{self, Key, bindings};
use crate::layout::Offset;
use crate::layout::bucket::Form;
use crate::region::Region;
use crate::store::small::Find;
use crate::store::{Store, group};

/// Finds a value that a group replaces.
struct InGroup<'a, 'k> {
    store: &'a Store,
    form: Form,
    key: Key<'k>,
    is_fixed: bool,
}

impl<'a> Find<'a> for InGroup<'a, '_> {
    #[inline(always)]
    fn find(&self, region: &'a Region) -> Option<(Offset, &'a [AtomicU64])> {
        // What a newer program has stored after the value is carried over.
        let is_plain = self.is_fixed || !self.store.may_have_tails();
        if is_plain { index::Value { form: self.form, key: self.key }.find(region) } else { None }
    }
}

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Returns whether words have the one length of a type, if that is one word: known to the compiler from then on.
    #[inline(always)]
    pub(super) fn has_length(fixed: Option<usize>, words: &[u64]) -> bool {
        fixed != Some(1) || words.len() == 1
    }

    /// Replaces a pair as part of a group, mostly where the group has found it.
    #[inline(never)]
    pub(super) fn replace_in_group<Q, W>(&self, key: &Q, value: &W) -> Result<()>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
        Q: Encode + ?Sized,
        W: Encode + ?Sized,
    {
        self.with_row(key, value, |key, value| {
            if let ([key], Payload::Words([new])) = (key, value)
                && group::replace_found(&self.handle.store, *key, *new).is_some()
            {
                return Ok(());
            }
            self.replace_otherwise(self.handle.key(key), value)
        })
    }

    /// Replaces a value where a small transaction could not: as part of a group, mostly.
    #[inline(never)]
    pub(super) fn replace_otherwise(&self, key: Key<'_>, value: Payload<'_>) -> Result<()> {
        if group::open() > 0
            && let (Payload::Words(new), Some(form)) = (value, self.form())
            && Self::has_length(K::FIXED, key.words)
            && Self::has_length(V::FIXED, new)
        {
            let store = &*self.handle.store;
            let find = InGroup { store, form, key, is_fixed: V::FIXED.is_some() };
            if group::small_in_group(store, key.stripe, find, new).is_some() {
                return Ok(());
            }
        }
        self.handle.change("replace a binding", |change| bindings::replace(change, key, value))
    }
}

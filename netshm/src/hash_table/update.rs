//! Changes that begin with looking up a binding, which they change where it was found.

use std::borrow::Borrow;
use std::cell::Cell;
use std::sync::atomic::AtomicU64;

use super::{HashTable, encoded};
use crate::data::{DataManager, Encode, ShmKey};
use crate::error::Result;
use crate::handle::{Staged, decode_row, decode_row_optimistic};
use crate::index::bindings::Seen;
use crate::index::record::Payload;
use crate::index::{self, Key};
use crate::layout::bucket::Form;
use crate::store::group;
use crate::store::group::Update;
use crate::store::read::View;

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Pops the newest binding of the key and returns its value. A value that cannot be decoded stays where it is.
    ///
    /// This is what `remove` is in [`std::collections::HashMap`]; [`remove`](Self::remove) returns a `bool` here.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove) and [`find`](Self::find).
    #[doc(alias = "take")]
    pub fn pop<Q>(&self, key: &Q) -> Result<Option<V>>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        let value = Cell::new(None);
        let decode = |words: &[AtomicU64]| match decode_row::<V>(View::locked(&self.handle.store), words)? {
            Staged::Value(decoded) => {
                value.set(Some(decoded));
                Ok(true)
            }
            Staged::Words(_) => Ok(false),
        };
        match self.with_key(key, |key| encoded::pop(&self.handle, key, &decode))? {
            None => Ok(None),
            Some(true) => Ok(value.take()),
            // Code that is not known runs in a group, not in the middle of a change; if it fails, nothing is removed.
            Some(false) => self.pop_with(key, Ok),
        }
    }

    /// Pops the newest binding of the key, if `convert` succeeds.
    pub(crate) fn pop_with<Q, R>(&self, key: &Q, convert: impl FnOnce(V) -> Result<R>) -> Result<Option<R>>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.seen(key, |key, old, seen| {
            let Some(value) = old else { return Ok(None) };
            let converted = convert(value)?;
            encoded::remove_seen(&self.handle, key, seen)?;
            Ok(Some(converted))
        })
    }

    /// Returns the newest binding of the key; if there is none, adds the result of `make` and returns that. Nobody else can
    /// add one in between.
    ///
    /// # Errors
    /// Those of [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "entry")]
    #[doc(alias = "or_insert_with")]
    pub fn get_or_insert_with<Q>(&self, key: &Q, make: impl FnOnce() -> V) -> Result<V>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        if let Some(value) = self.find(key)? {
            return Ok(value);
        }
        self.seen(key, |key, old, seen| {
            if let Some(value) = old {
                return Ok(value);
            }
            let value = make();
            self.replace_seen(key, &value, seen)?;
            Ok(value)
        })
    }

    /// Replaces the newest binding of the key with what `change` makes of it, as one step: `None` stands for no binding,
    /// before and after. Returns what it has made: where that is `None`, the binding is popped, and the next older one uncovered.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/update.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// # let hits: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
    /// hits.update("index.html", |old| Some(old.unwrap_or(0) + 1))?;
    /// assert_eq!(hits.find("index.html")?, Some(1));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "entry")]
    #[doc(alias = "and_modify")]
    #[doc(alias = "get_mut")]
    #[doc(alias = "merge")]
    #[doc(alias = "compute")]
    pub fn update<Q>(&self, key: &Q, change: impl FnOnce(Option<V>) -> Option<V>) -> Result<Option<V>>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.with_key(key, |key| {
            if let Some(mut update) = self.begin_update(key)
                && let Ok(old) = decode_row_optimistic::<V>(View::locked(&self.handle.store), update.words())
            {
                let new = change(Some(old));
                let Some(value) = &new else {
                    encoded::remove_at(&self.handle, key)?;
                    return update.finish().map(|()| new);
                };
                self.with_payload(value, |value| match value {
                    Payload::Words(words) if update.store(words) => Ok(()),
                    value => encoded::replace_at(&self.handle, key, value),
                })?;
                return update.finish().map(|()| new);
            }
            self.update_slow(key, change)
        })
    }

    /// Works like [`update`](Self::update), by an ordinary group.
    #[inline(never)]
    fn update_slow(&self, key: Key<'_>, change: impl FnOnce(Option<V>) -> Option<V>) -> Result<Option<V>> {
        self.seen_key(key, |key, old, seen| {
            let new = change(old);
            match &new {
                Some(value) => self.replace_seen(key, value, seen)?,
                None => drop(encoded::remove_seen(&self.handle, key, seen)?),
            }
            Ok(new)
        })
    }

    /// Begins an update of the newest binding, if it may be a short one.
    #[inline(always)]
    fn begin_update<'a>(&'a self, key: Key<'_>) -> Option<Update<'a>> {
        if !V::DIRECT {
            return None;
        }
        let update = if const { Self::SHARED } {
            encoded::begin_update(&self.handle, key)?
        } else {
            let form = self.form()?;
            self.handle.begin_update(key.stripe, index::Value { form, key })?
        };
        // What a newer program has stored after the value is carried over.
        let is_plain = V::FIXED.is_some() || !self.handle.store.may_have_tails();
        is_plain.then_some(update)
    }

    /// Runs a group that begins with looking up the newest binding of a key. The stripe of the key stays locked, so what was
    /// found need not be looked for again.
    #[inline(always)]
    fn seen<Q, R>(&self, key: &Q, body: impl FnOnce(Key<'_>, Option<V>, &Seen<'_>) -> Result<R>) -> Result<R>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.with_key(key, |key| self.seen_key(key, body))
    }

    /// Works like [`seen`](Self::seen), for an encoded key.
    #[inline(always)]
    fn seen_key<R>(&self, key: Key<'_>, body: impl FnOnce(Key<'_>, Option<V>, &Seen<'_>) -> Result<R>) -> Result<R> {
        if const { Self::SHARED } {
            let (mut body, mut result) = (Some(body), None);
            encoded::in_group(&self.handle, &mut || {
                let (old, seen) = self.read_before_change(key)?;
                result = body.take().map(|body| body(key, old, &seen)).transpose()?;
                Ok(())
            })?;
            return Ok(result.unwrap_or_else(|| unreachable!("a group runs its body once")));
        }
        self.handle.group(|| {
            let (old, seen) = match self.optimistic_before_change(key) {
                Some(outcome) => outcome?,
                None => self.read_before_change(key)?,
            };
            body(key, old, &seen)
        })
    }

    /// Returns a pair; `None` if an optimistic read does not suffice.
    #[inline(always)]
    fn optimistic_before_change<'a>(&'a self, key: Key<'_>) -> Option<Result<(Option<V>, Seen<'a>)>> {
        if const { !Self::PAIRS } {
            return None;
        }
        let (store, [key_word]) = (&*self.handle.store, key.words) else { return None };
        if !V::DIRECT || self.form() != Some(Form::Pairs) || store.is_pending() {
            return None;
        }
        let found = group::optimistic_before_change(store, key.stripe, |region| {
            let (place, words) = index::optimistic_pair(region, key, *key_word)?;
            Some((place, decode_row_optimistic::<V>(View::locked(store), words).ok()?))
        })?;
        Some(found.map(|((place, value), entries)| (Some(value), Seen::Pair(place, entries))))
    }

    #[inline(never)]
    pub(super) fn read_before_change<'a>(&'a self, key: Key<'_>) -> Result<(Option<V>, Seen<'a>)> {
        let old = Cell::new(None);
        let decode = |words: Option<&[AtomicU64]>| {
            let decoded = words.map(|words| decode_row::<V>(View::locked(&self.handle.store), words));
            old.set(decoded.transpose()?);
            Ok(())
        };
        let seen = encoded::look(&self.handle, key, &decode)?;
        // Code that is not known runs between the parts of the group, not inside one.
        Ok((old.into_inner().map(|old| self.handle.finish(old)).transpose()?, seen))
    }

    #[inline]
    fn replace_seen(&self, key: Key<'_>, value: &V, seen: &Seen<'_>) -> Result<()> {
        self.with_payload(value, |value| encoded::replace_seen(&self.handle, key, value, seen))
    }

    /// Runs a group that reads the bindings of a key before it changes them, which cannot end in a deadlock.
    pub(crate) fn locked<Q, R>(&self, key: &Q, body: impl FnOnce() -> Result<R>) -> Result<R>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.handle.group(|| {
            if self.handle.store.shares_reads() {
                self.with_key(key, |key| {
                    self.handle.change("change a binding", |change| change.write_stripe(key.stripe))
                })?;
            }
            body()
        })
    }
}

//! Maps within one process, shared by its threads: what sharing between processes is measured against.

use std::borrow::Borrow;
use std::collections::hash_map::RandomState;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use dashmap::DashMap;
use hashbrown::HashMap;

use crate::worker::{Peer, Table};
use crate::workload::{Numbers, Result, Texts};

/// Common interface of the maps. All of them lend out references, so a look-up copies nothing.
pub(crate) trait Map<K: Hash + Eq, V>: Default + Sync {
    fn insert(&self, key: K, value: V);
    fn look<Q: Hash + Eq + ?Sized, R>(&self, key: &Q, seen: impl FnOnce(Option<&V>) -> R) -> R
    where
        K: Borrow<Q>;
    fn set<Q: Hash + Eq + ?Sized + ToOwned<Owned = K>>(&self, key: &Q, value: V)
    where
        K: Borrow<Q>;
    fn sum(&self, part: impl Fn(&V) -> u64) -> u64;
}

/// A map of numbers that can add to a value in one step.
pub(crate) trait Counters {
    fn increment(&self, key: u64, by: u64);
}

/// hashbrown's map behind one lock, with the standard library's hash function.
#[derive(Debug)]
pub(crate) struct Locked<K, V>(RwLock<HashMap<K, V, RandomState>>);

impl<K, V> Default for Locked<K, V> {
    fn default() -> Self {
        Locked(RwLock::new(HashMap::with_hasher(RandomState::new())))
    }
}

impl<K: Hash + Eq + Send + Sync, V: Send + Sync> Map<K, V> for Locked<K, V> {
    fn insert(&self, key: K, value: V) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }

    fn look<Q: Hash + Eq + ?Sized, R>(&self, key: &Q, seen: impl FnOnce(Option<&V>) -> R) -> R
    where
        K: Borrow<Q>,
    {
        seen(self.0.read().unwrap_or_else(PoisonError::into_inner).get(key))
    }

    fn set<Q: Hash + Eq + ?Sized + ToOwned<Owned = K>>(&self, key: &Q, value: V)
    where
        K: Borrow<Q>,
    {
        if let Some(place) = self.0.write().unwrap_or_else(PoisonError::into_inner).get_mut(key) {
            *place = value;
        }
    }

    fn sum(&self, part: impl Fn(&V) -> u64) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().map(part).sum()
    }
}

impl Counters for Locked<u64, u64> {
    fn increment(&self, key: u64, by: u64) {
        if let Some(value) = self.0.write().unwrap_or_else(PoisonError::into_inner).get_mut(&key) {
            *value += by;
        }
    }
}

impl<K: Hash + Eq + Send + Sync, V: Send + Sync> Map<K, V> for DashMap<K, V> {
    fn insert(&self, key: K, value: V) {
        DashMap::insert(self, key, value);
    }

    fn look<Q: Hash + Eq + ?Sized, R>(&self, key: &Q, seen: impl FnOnce(Option<&V>) -> R) -> R
    where
        K: Borrow<Q>,
    {
        seen(self.get(key).as_deref())
    }

    fn set<Q: Hash + Eq + ?Sized + ToOwned<Owned = K>>(&self, key: &Q, value: V)
    where
        K: Borrow<Q>,
    {
        if let Some(mut place) = self.get_mut(key) {
            *place = value;
        }
    }

    fn sum(&self, part: impl Fn(&V) -> u64) -> u64 {
        self.iter().map(|entry| part(entry.value())).sum()
    }
}

impl Counters for DashMap<u64, u64> {
    fn increment(&self, key: u64, by: u64) {
        if let Some(mut value) = self.get_mut(&key) {
            *value += by;
        }
    }
}

impl<K: Hash + Eq + Send + Sync, V: Send + Sync> Map<K, V> for papaya::HashMap<K, V> {
    fn insert(&self, key: K, value: V) {
        self.pin().insert(key, value);
    }

    fn look<Q: Hash + Eq + ?Sized, R>(&self, key: &Q, seen: impl FnOnce(Option<&V>) -> R) -> R
    where
        K: Borrow<Q>,
    {
        seen(self.pin().get(key))
    }

    fn set<Q: Hash + Eq + ?Sized + ToOwned<Owned = K>>(&self, key: &Q, value: V)
    where
        K: Borrow<Q>,
    {
        self.pin().insert(key.to_owned(), value);
    }

    fn sum(&self, part: impl Fn(&V) -> u64) -> u64 {
        self.pin().values().map(part).sum()
    }
}

impl Counters for papaya::HashMap<u64, u64> {
    fn increment(&self, key: u64, by: u64) {
        self.pin().update(key, |value| value + by);
    }
}

/// Two maps of one make.
#[derive(Debug, Default)]
pub(crate) struct InProcess<N, T> {
    numbers: N,
    texts: T,
}

impl<N: Map<u64, u64>, T: Sync> Table<Numbers> for InProcess<N, T> {
    fn add(&self, key: &u64, value: &u64) -> Result<()> {
        self.numbers.insert(*key, *value);
        Ok(())
    }

    fn find<R>(&self, key: &u64, seen: impl FnOnce(Option<&u64>) -> R) -> Result<R> {
        Ok(self.numbers.look(key, seen))
    }

    fn replace(&self, key: &u64, value: &u64) -> Result<()> {
        self.numbers.set(key, *value);
        Ok(())
    }

    fn sum(&self, part: fn(&u64) -> u64) -> Result<u64> {
        Ok(self.numbers.sum(part))
    }
}

impl<N: Sync, T: Map<String, String>> Table<Texts> for InProcess<N, T> {
    fn add(&self, key: &str, value: &str) -> Result<()> {
        self.texts.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn find<R>(&self, key: &str, seen: impl FnOnce(Option<&str>) -> R) -> Result<R> {
        Ok(self.texts.look(key, |value| seen(value.map(String::as_str))))
    }

    fn replace(&self, key: &str, value: &str) -> Result<()> {
        self.texts.set(key, value.to_owned());
        Ok(())
    }

    fn sum(&self, part: fn(&str) -> u64) -> Result<u64> {
        Ok(self.texts.sum(|value| part(value)))
    }
}

impl<N: Map<u64, u64> + Counters, T: Map<String, String>> Peer for InProcess<N, T> {
    fn increment(&self, key: u64, by: u64) -> Result<()> {
        self.numbers.increment(key, by);
        Ok(())
    }
}

pub(crate) type LockedMaps = InProcess<Locked<u64, u64>, Locked<String, String>>;
pub(crate) type DashMaps = InProcess<DashMap<u64, u64>, DashMap<String, String>>;
pub(crate) type PapayaMaps = InProcess<papaya::HashMap<u64, u64>, papaya::HashMap<String, String>>;

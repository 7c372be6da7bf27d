//! Tables of types that cannot be stored.

use std::iter::Empty;
use std::ops::Deref;

use super::HashTable;
use crate::check::Report;
use crate::data::unstorable::{Anything, Unstorable, unstorable_operations};
use crate::error::Result;
use crate::shm::Shm;
use crate::stats::Stats;

/// Only for the compiler's messages.
#[doc(hidden)]
impl<K, V> Deref for HashTable<K, V> {
    type Target = Unstorable<Self>;

    fn deref(&self) -> &Self::Target {
        &Unstorable::THIS
    }
}

// `Unpin`, so that the parameters of generic functions are left out: what they lack is a bound.
#[doc(hidden)]
impl<K: Unpin, V: Unpin> Unstorable<HashTable<K, V>> {
    unstorable_operations! {
        HashTable<K, V>, NeedsShmDataOfKeyAndValueAndShmKeyOfKey:
        add(key: &(impl Anything + ?Sized), value: &(impl Anything + ?Sized)) -> Result<()>;
        replace(key: &(impl Anything + ?Sized), value: &(impl Anything + ?Sized)) -> Result<()>;
        add_if_absent(key: &(impl Anything + ?Sized), value: &(impl Anything + ?Sized)) -> Result<bool>;
        add_many(bindings: impl Anything) -> Result<()>;
        swap(key: &(impl Anything + ?Sized), value: &(impl Anything + ?Sized)) -> Result<Option<V>>;
        compare_exchange(
            key: &(impl Anything + ?Sized),
            old: &(impl Anything + ?Sized),
            new: &(impl Anything + ?Sized)
        ) -> Result<std::result::Result<(), Option<V>>>;
        update(key: &(impl Anything + ?Sized), change: impl FnOnce(Option<V>) -> Option<V>) -> Result<Option<V>>;
        get_or_insert_with(key: &(impl Anything + ?Sized), make: impl FnOnce() -> V) -> Result<V>;
        find(key: &(impl Anything + ?Sized)) -> Result<Option<V>>;
        find_all(key: &(impl Anything + ?Sized)) -> Result<Vec<V>>;
        find_many(keys: impl Anything) -> Result<Vec<Option<V>>>;
        contains(key: &(impl Anything + ?Sized)) -> Result<bool>;
        pop(key: &(impl Anything + ?Sized)) -> Result<Option<V>>;
        remove(key: &(impl Anything + ?Sized)) -> Result<bool>;
        remove_all(key: &(impl Anything + ?Sized)) -> Result<usize>;
        for_each(visit: impl FnMut(K, V)) -> Result<()>;
        try_for_each<E>(visit: impl FnMut(K, V) -> std::result::Result<(), E>) -> std::result::Result<(), E>;
        for_each_key(visit: impl FnMut(K)) -> Result<()>;
        fold<A>(start: A, step: impl FnMut(A, K, V) -> A) -> Result<A>;
        scan() -> Empty<Result<(K, V)>>;
        keys() -> Empty<Result<K>>;
        values() -> Empty<Result<V>>;
        clear() -> Result<()>;
    }
}

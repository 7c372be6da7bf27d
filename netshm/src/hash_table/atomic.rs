//! Changes that depend on what is there: arithmetic, exchange, and both on a condition.

use std::borrow::Borrow;
use std::cmp::{max, min};

use super::{HashTable, encoded};
use crate::data::{DataManager, Encode, Integer, ShmKey};
use crate::error::Result;
use crate::handle::{Staged, decode_row};
use crate::index::Key;
use crate::index::bindings::Seen;
use crate::index::record::Payload;
use crate::store::Transaction;
use crate::store::read::View;

/// Outcome of a comparison with stored words.
enum Compared<V> {
    Equal,
    /// Other words, which are those of another value, or none.
    Other(Option<Staged<V>>),
    /// Other words, which might be those of an equal value.
    Unclear,
}

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Changes the newest binding of the key, and returns what it was, as one step; adds a binding if there is none. A value
    /// that cannot be decoded stays where it is.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/swap.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// # let owners: HashTable<String, u32> = HashTable::manage(shm, Locking::Futex)?;
    /// assert_eq!(owners.swap("printer", &7)?, None);
    /// assert_eq!(owners.swap("printer", &8)?, Some(7));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "insert")]
    #[doc(alias = "exchange")]
    pub fn swap<Q, W>(&self, key: &Q, value: &W) -> Result<Option<V>>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
        Q: Encode + ?Sized,
        W: Encode + ?Sized,
    {
        self.with_key(key, |key| {
            self.with_payload(value, |value| {
                if V::DIRECT {
                    let swapped = self.handle.change("replace a binding", |change| {
                        let store = &*self.handle.store;
                        let seen = Seen::look(change, store.region(), key)?;
                        let old = match seen.newest() {
                            Some(newest) => match decode_row::<V>(View::locked(store), newest.value())? {
                                Staged::Value(old) => Some(old),
                                Staged::Words(_) => return Ok(None),
                            },
                            None => None,
                        };
                        seen.replace(change, key, value)?;
                        Ok(Some(old))
                    })?;
                    if let Some(old) = swapped {
                        return Ok(old);
                    }
                }
                // Code that is not known runs in a group, not in the middle of a change; if it fails, nothing is replaced.
                self.handle.group(|| {
                    let (old, seen) = self.read_before_change(key)?;
                    encoded::replace_seen(&self.handle, key, value, &seen)?;
                    Ok(old)
                })
            })
        })
    }

    /// Changes the newest binding of the key to `new` if it is `old`, as one step. The inner result is `Ok` if it was, and
    /// otherwise an `Err` with what is bound: `None` if nothing is.
    ///
    /// Values are compared by their encoding, as those of atomics are by their bits: so a float that is not a number equals itself,
    /// and `0.0` differs from `-0.0`. The order of a hash map's entries does not count.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/exchange.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// # let states: HashTable<u64, String> = HashTable::manage(shm, Locking::Futex)?;
    /// states.add(&1, "waiting")?;
    /// assert_eq!(states.compare_exchange(&1, "waiting", "running")?, Ok(()));
    /// assert_eq!(states.compare_exchange(&1, "waiting", "running")?, Err(Some("running".to_owned())));
    /// assert_eq!(states.compare_exchange(&2, "waiting", "running")?, Err(None));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "compare_and_swap")]
    #[doc(alias = "cas")]
    pub fn compare_exchange<Q, W>(&self, key: &Q, old: &W, new: &W) -> Result<std::result::Result<(), Option<V>>>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
        Q: Encode + ?Sized,
        W: Encode + ?Sized,
    {
        const { assert!(!(V::ARRAY && W::SLICE), "a value that is an array is stored as an array, not as a slice") };
        let store = &*self.handle.store;
        self.with_key(key, |key| {
            let compared = self.handle.encoded(old, |old| {
                self.with_payload(new, |new| {
                    self.handle.change("replace a binding", |change| {
                        let seen = Seen::look(change, store.region(), key)?;
                        let Some(newest) = seen.newest() else { return Ok(Compared::Other(None)) };
                        if newest.is_value(old) {
                            seen.replace(change, key, new)?;
                            return Ok(Compared::Equal);
                        }
                        if V::FIXED != Some(newest.value().len()) {
                            return Ok(Compared::Unclear);
                        }
                        decode_row::<V>(View::locked(store), newest.value()).map(|found| Compared::Other(Some(found)))
                    })
                })
            })?;
            match compared {
                Compared::Equal => Ok(Ok(())),
                Compared::Other(found) => Ok(Err(found.map(|found| self.handle.finish(found)).transpose()?)),
                Compared::Unclear => self.compare_exchange_slow(key, old, new),
            }
        })
    }

    /// Works like [`compare_exchange`](Self::compare_exchange), where equal values may have different words: hash maps, and
    /// rows with fewer fields than their type, or with more.
    #[cold]
    fn compare_exchange_slow<W: Encode + ?Sized>(
        &self,
        key: Key<'_>,
        old: &W,
        new: &W,
    ) -> Result<std::result::Result<(), Option<V>>> {
        let old = self.handle.encode_ordered(old)?;
        self.handle.group(|| {
            let (found, seen) = self.read_before_change(key)?;
            let Some(found) = found else { return Ok(Err(None)) };
            if self.handle.encode_ordered(&found)? != old {
                return Ok(Err(Some(found)));
            }
            self.with_payload(new, |new| encoded::replace_seen(&self.handle, key, new, &seen))?;
            Ok(Ok(()))
        })
    }
}

impl<K: ShmKey, V: Integer> HashTable<K, V> {
    /// Adds to the number that is the newest binding of the key, as one step, and returns the previous number. A missing key
    /// counts as zero, and is added. The sum wraps around at the bounds of the type, as that of
    /// [`AtomicU64`](std::sync::atomic::AtomicU64) does.
    ///
    /// This is shorter than [`update`](Self::update), and finds the key once.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/fetch.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let hits: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
    /// assert_eq!(hits.fetch_add("index.html", 1)?, 0);
    /// assert_eq!(hits.fetch_add("index.html", 1)?, 1);
    /// assert_eq!(hits.fetch_add("index.html", u64::MAX)?, 2);
    /// assert_eq!(hits.find("index.html")?, Some(1));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "increment")]
    #[doc(alias = "incr")]
    #[doc(alias = "atomic")]
    #[doc(alias = "counter")]
    pub fn fetch_add<Q>(&self, key: &Q, by: V) -> Result<V>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.fetch(key, move |old| old.plus(by))
    }

    /// Subtracts from the number that is the newest binding of the key, as [`fetch_add`](Self::fetch_add) adds.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    #[doc(alias = "decrement")]
    #[doc(alias = "decr")]
    pub fn fetch_sub<Q>(&self, key: &Q, by: V) -> Result<V>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.fetch(key, move |old| old.minus(by))
    }

    /// Replaces the number that is the newest binding of the key with the smaller of it and `other`, and returns the previous
    /// number. A missing key counts as zero, and is added.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_min<Q>(&self, key: &Q, other: V) -> Result<V>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.fetch(key, move |old| min(old, other))
    }

    /// Replaces the number that is the newest binding of the key with the larger of it and `other`, and returns the previous
    /// number. A missing key counts as zero, and is added.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/fetch.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// # let slowest: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
    /// assert_eq!(slowest.fetch_max("GET", 31)?, 0);
    /// assert_eq!(slowest.fetch_max("GET", 17)?, 31);
    /// assert_eq!(slowest.find("GET")?, Some(31));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_max<Q>(&self, key: &Q, other: V) -> Result<V>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.fetch(key, move |old| max(old, other))
    }

    /// Keeps only the bits of the number that is the newest binding of the key that are set in `bits`, and returns the
    /// previous number. A missing key counts as zero, and is added.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_and<Q>(&self, key: &Q, bits: V) -> Result<V>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.fetch(key, move |old| old & bits)
    }

    /// Sets bits of the number that is the newest binding of the key, and returns the previous number. A missing key counts as
    /// zero, and is added.
    ///
    /// ```
    /// # use netshm::{HashTable, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/fetch.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// # let flags: HashTable<u32, u8> = HashTable::manage(shm, Locking::Futex)?;
    /// flags.fetch_or(&7, 0b101)?;
    /// assert_eq!(flags.fetch_and(&7, 0b110)?, 0b101);
    /// assert_eq!(flags.find(&7)?, Some(0b100));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_or<Q>(&self, key: &Q, bits: V) -> Result<V>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.fetch(key, move |old| old | bits)
    }

    /// Replaces the newest binding of the key with what `new` makes of it, and returns the old value.
    #[inline(always)]
    fn fetch<Q>(&self, key: &Q, new: impl Fn(V) -> V + Copy) -> Result<V>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.with_key(key, |key| {
            let small = match V::FIXED {
                Some(1) => self.fetch_small::<1>(key, new),
                _ => self.fetch_small::<2>(key, new),
            };
            match small {
                Some(old) => Ok(old),
                None => self.handle.change("change a number", |change| self.fetch_inside(change, key, new)),
            }
        })
    }

    #[inline(always)]
    fn fetch_small<const N: usize>(&self, key: Key<'_>, new: impl Fn(V) -> V) -> Option<V> {
        self.small_change(key, |words| {
            let old = self.handle.number(words).ok()?;
            Some((self.handle.replacing::<V, N>(old, new(old)).ok()?, old))
        })
    }

    #[inline(never)]
    fn fetch_inside(&self, change: &mut Transaction<'_>, key: Key<'_>, new: impl Fn(V) -> V + Copy) -> Result<V> {
        let seen = Seen::look(change, self.handle.store.region(), key)?;
        let found = seen.newest().map(|newest| self.handle.number(newest.value())).transpose()?;
        let old = found.unwrap_or_default();
        let new = new(old);
        if found != Some(new) {
            self.handle.encoded(&new, |words| seen.replace(change, key, Payload::Words(words)))?;
        }
        Ok(old)
    }
}

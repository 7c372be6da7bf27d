//! Changes that depend on what is there: arithmetic, and exchange on a condition.

use std::borrow::Borrow;
use std::cmp::{max, min};

use super::Array;
use crate::data::{DataManager, Encode, Integer};
use crate::directory::{self, Seen, Spot};
use crate::error::Result;
use crate::handle::{Staged, decode_in_place, decode_optimistic};
use crate::index::record::{self, Payload};
use crate::store::Transaction;
use crate::store::group::Update;
use crate::store::read::View;

/// Outcome of a comparison with stored words.
enum Compared<T> {
    Equal,
    /// Other words, which are those of another element; `None` for the default value.
    Other(Option<Staged<T>>),
    /// Other words, which might be those of an equal element.
    Unclear,
}

impl<T: DataManager> Array<T> {
    /// Replaces an element with what `change` makes of it, atomically, and returns the new element.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set).
    #[doc(alias = "get_mut")]
    #[doc(alias = "modify")]
    pub fn update(&self, index: usize, change: impl FnOnce(T) -> T) -> Result<T> {
        let (index, elements, store) = (index as u64, self.elements(), &*self.handle.store);
        let spot = self.spot(index);
        if let Some(mut update) = self.begin_update(index, spot)
            && let Ok(old) = decode_optimistic::<T>(View::locked(store), update.words())
        {
            let new = change(old);
            self.with_element(&new, |value| match value {
                Payload::Words(words) if update.store(words) => Ok(()),
                value => self.handle.change("set an element", |change| {
                    Self::check_bounds(store, index)?;
                    directory::set(change, elements, spot, &self.default_words, value)
                }),
            })?;
            return update.finish().map(|()| new);
        }
        self.update_slow(index, spot, change)
    }

    /// Begins an update of an element, if it may be a short one.
    #[inline(always)]
    fn begin_update(&self, index: u64, spot: Spot) -> Option<Update<'_>> {
        let store = &*self.handle.store;
        if !T::DIRECT || self.elements().dense().is_none() {
            return None;
        }
        self.handle.begin_update(spot.stripe, |region| {
            if index < store.array_len() { directory::optimistic_element(region, self.elements(), spot) } else { None }
        })
    }

    /// Works like [`update`](Self::update), by an ordinary group.
    #[inline(never)]
    fn update_slow(&self, index: u64, spot: Spot, change: impl FnOnce(T) -> T) -> Result<T> {
        let (elements, store) = (self.elements(), &*self.handle.store);
        self.handle.group(|| {
            let (old, seen) = self.look_before_change(index, spot)?;
            let new = change(old);
            self.with_element(&new, |value| {
                self.handle.change("set an element", |change| {
                    Self::check_bounds(store, index)?;
                    seen.set(change, elements, spot, &self.default_words, value)
                })
            })?;
            Ok(new)
        })
    }

    /// Reads an element that may be changed later in the same group.
    fn look_before_change(&self, index: u64, spot: Spot) -> Result<(T, Seen)> {
        let store = &*self.handle.store;
        let (old, seen) = self.handle.change("set an element", |change| {
            let seen = Seen::look(change, spot)?;
            Self::check_bounds(store, index)?;
            let words = seen.words(store.region(), self.elements(), spot)?;
            let old = words.map(|words| decode_in_place::<T>(View::locked(store), words)).transpose()?;
            Ok((old, seen))
        })?;
        // Code that is not known runs between the parts of the group, not inside one.
        Ok((self.finish(old)?, seen))
    }

    /// Prepares an element for storing.
    #[inline(always)]
    fn with_element<W: Encode + ?Sized, R>(&self, value: &W, f: impl FnOnce(Payload<'_>) -> Result<R>) -> Result<R> {
        self.handle.with_payload(value, |value| {
            if let Some(each) = self.elements().dense()
                && !matches!(value, Payload::Words(words) if words.len() as u64 == each)
            {
                // Elsewhere it would be written over its neighbour.
                return Err(self.handle.unsteady());
            }
            f(value)
        })
    }

    /// Sets an element to `new` if it is `old`, as one step. The inner result is `Ok` if it was, and otherwise an `Err` with the
    /// element as it is.
    ///
    /// Elements are compared by their encoding; see [`HashTable::compare_exchange`](crate::HashTable::compare_exchange).
    ///
    /// ```
    /// # use netshm::{Array, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/exchange.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let owners: Array<u32> = Array::manage(shm, 0, Locking::Futex)?;
    /// owners.resize(10)?;
    /// assert_eq!(owners.compare_exchange(3, &0, &17)?, Ok(()));
    /// assert_eq!(owners.compare_exchange(3, &0, &18)?, Err(17));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set).
    #[doc(alias = "compare_and_swap")]
    #[doc(alias = "cas")]
    pub fn compare_exchange<W>(&self, index: usize, old: &W, new: &W) -> Result<std::result::Result<(), T>>
    where
        T: Borrow<W>,
        W: Encode + ?Sized,
    {
        const { assert!(!(T::ARRAY && W::SLICE), "an element that is an array is stored as an array, not as a slice") };
        let (at, elements, store) = (index as u64, self.elements(), &*self.handle.store);
        let spot = self.spot(at);
        let compared = self.handle.encoded(old, |old| {
            self.with_element(new, |new| {
                self.handle.change("set an element", |change| {
                    let seen = Seen::look(change, spot)?;
                    Self::check_bounds(store, at)?;
                    let found = seen.words(store.region(), elements, spot)?;
                    let is_equal = found.map_or(self.default_words == old, |found| record::are_words(found, old));
                    if is_equal {
                        seen.set(change, elements, spot, &self.default_words, new)?;
                        return Ok(Compared::Equal);
                    }
                    if T::FIXED.is_none() {
                        return Ok(Compared::Unclear);
                    }
                    let found = found.map(|found| decode_in_place::<T>(View::locked(store), found)).transpose()?;
                    Ok(Compared::Other(found))
                })
            })
        })?;
        match compared {
            Compared::Equal => Ok(Ok(())),
            Compared::Other(found) => Ok(Err(self.finish(found)?)),
            Compared::Unclear => self.compare_exchange_slow(index, old, new),
        }
    }

    /// Works like [`compare_exchange`](Self::compare_exchange), where equal elements may have different words, as hash maps do.
    #[cold]
    fn compare_exchange_slow<W: Encode + ?Sized>(
        &self,
        index: usize,
        old: &W,
        new: &W,
    ) -> Result<std::result::Result<(), T>> {
        let old = self.handle.encode_ordered(old)?;
        let (at, elements) = (index as u64, self.elements());
        let spot = self.spot(at);
        self.handle.group(|| {
            let (found, seen) = self.look_before_change(at, spot)?;
            if self.handle.encode_ordered(&found)? != old {
                return Ok(Err(found));
            }
            self.with_element(new, |new| {
                self.handle.change("set an element", |change| {
                    Self::check_bounds(change.store(), at)?;
                    seen.set(change, elements, spot, &self.default_words, new)
                })
            })?;
            Ok(Ok(()))
        })
    }
}

impl<T: Integer> Array<T> {
    /// Adds to an element, as one step, and returns the previous number. The sum wraps around at the bounds of the type, as
    /// that of [`AtomicU64`](std::sync::atomic::AtomicU64) does. An element that has never been set has the default value.
    ///
    /// This is shorter than [`update`](Self::update), and finds the element once.
    ///
    /// ```
    /// # use netshm::{Array, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/fetch.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let bins: Array<u8> = Array::manage(shm, 0, Locking::Futex)?;
    /// bins.resize(100)?;
    /// assert_eq!(bins.fetch_add(42, 250)?, 0);
    /// assert_eq!(bins.fetch_add(42, 10)?, 250);
    /// assert_eq!(bins.get(42)?, 4);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set).
    #[doc(alias = "increment")]
    #[doc(alias = "incr")]
    #[doc(alias = "atomic")]
    #[doc(alias = "counter")]
    pub fn fetch_add(&self, index: usize, by: T) -> Result<T> {
        self.fetch(index, move |old| old.plus(by))
    }

    /// Subtracts from an element, as [`fetch_add`](Self::fetch_add) adds.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    #[doc(alias = "decrement")]
    #[doc(alias = "decr")]
    pub fn fetch_sub(&self, index: usize, by: T) -> Result<T> {
        self.fetch(index, move |old| old.minus(by))
    }

    /// Replaces an element with the smaller of it and `other`, as one step, and returns the previous number.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_min(&self, index: usize, other: T) -> Result<T> {
        self.fetch(index, move |old| min(old, other))
    }

    /// Replaces an element with the larger of it and `other`, as one step, and returns the previous number.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_max(&self, index: usize, other: T) -> Result<T> {
        self.fetch(index, move |old| max(old, other))
    }

    /// Keeps only the bits of an element that are set in `bits`, as one step, and returns the previous number.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_and(&self, index: usize, bits: T) -> Result<T> {
        self.fetch(index, move |old| old & bits)
    }

    /// Sets bits of an element, as one step, and returns the previous number.
    ///
    /// # Errors
    /// Those of [`fetch_add`](Self::fetch_add).
    pub fn fetch_or(&self, index: usize, bits: T) -> Result<T> {
        self.fetch(index, move |old| old | bits)
    }

    /// Replaces an element with what `new` makes of it, and returns the old one.
    #[inline(always)]
    fn fetch(&self, index: usize, new: impl Fn(T) -> T + Copy) -> Result<T> {
        let index = index as u64;
        let small = match T::FIXED {
            Some(1) => self.fetch_small::<1>(index, new),
            _ => self.fetch_small::<2>(index, new),
        };
        match small {
            Some(old) => Ok(old),
            None => self.handle.change("change a number", |change| self.fetch_inside(change, index, new)),
        }
    }

    #[inline(always)]
    fn fetch_small<const N: usize>(&self, index: u64, new: impl Fn(T) -> T) -> Option<T> {
        self.small_change(index, |words| {
            let old = self.handle.number(words).ok()?;
            Some((self.handle.replacing::<T, N>(old, new(old)).ok()?, old))
        })
    }

    #[inline(never)]
    fn fetch_inside(&self, change: &mut Transaction<'_>, index: u64, new: impl Fn(T) -> T) -> Result<T> {
        let (store, elements, spot) = (&*self.handle.store, self.elements(), self.spot(index));
        let seen = Seen::look(change, spot)?;
        Self::check_bounds(store, index)?;
        let old = match seen.words(store.region(), elements, spot)? {
            Some(words) => self.handle.number(words)?,
            None => self.decode_default()?,
        };
        let new = new(old);
        if new != old {
            self.handle
                .encoded(&new, |words| seen.set(change, elements, spot, &self.default_words, Payload::Words(words)))?;
        }
        Ok(old)
    }
}

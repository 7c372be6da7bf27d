//! What the handles of all kinds of tables share.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use smallvec::SmallVec;

use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Integer};
use crate::error::{Error, Result};
use crate::group::{GroupError, retry};
use crate::grouped::Membership;
use crate::index::Key;
use crate::index::record::Payload;
use crate::layout::{DENSE, MAX_VALUE};
use crate::os::copy;
use crate::region::Inconclusive;
use crate::shm::Shm;
use crate::shm::TypeClaim;
use crate::store::group::{self, Update};
use crate::store::open::{self, Damage, Spec};
use crate::store::read::View;
use crate::store::small::Find;
use crate::store::{Limits, Store, Transaction, small};

/// Encoded keys and values of up to this number of words are built on the stack.
const SMALL: usize = 4;
/// At least `DENSE`: an inline array element is always encoded on the stack, never written in place.
const STACK: usize = DENSE;
/// Larger copies are made only of words that are known to be consistent.
pub(crate) const TRUSTED_WORDS: usize = 512;

/// A managed object: its store, and the descriptor that it came from.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) store: Arc<Store>,
    pub(crate) shm: Shm,
    pub(crate) limits: Limits,
    /// Tells others that the member is open.
    _claim: TypeClaim,
}

impl Handle {
    /// Opens an object. `damage` checks one that may have been damaged since it was last in use.
    pub(crate) fn open(shm: Shm, spec: &Spec<'_>, limits: Limits, damage: Damage<'_>) -> Result<Handle> {
        let (shm, (store, claim)) = shm.current(|shm| open::open(shm, spec, limits, damage))?;
        Ok(Handle { store, shm, limits, _claim: claim })
    }

    /// Makes a change: as part of this thread's group on the object, or as a transaction of its own.
    #[inline]
    pub(crate) fn change<R>(
        &self,
        wanted: &'static str,
        make: impl Fn(&mut Transaction<'_>) -> Result<R> + Copy,
    ) -> Result<R> {
        self.change_with(wanted, make, |change, make| make(change))
    }

    /// Works like [`change`](Self::change), for a function that should be inlined.
    #[inline(always)]
    pub(crate) fn change_with<A: Copy, R>(
        &self,
        wanted: &'static str,
        args: A,
        make: impl Fn(&mut Transaction<'_>, A) -> Result<R> + Copy,
    ) -> Result<R> {
        if self.store.is_pending() {
            self.store.extend_schema(self.limits, wanted)?;
        }
        group::change_at_once(&self.store, self.limits, wanted, || (), args, make)
    }

    /// Works like [`change`](Self::change). Outside groups `prepare` comes first; inside, what it asks for is mostly there.
    #[inline(always)]
    pub(crate) fn prepared_change<R>(
        &self,
        wanted: &'static str,
        prepare: impl FnOnce(),
        make: impl Fn(&mut Transaction<'_>) -> Result<R> + Copy,
    ) -> Result<R> {
        if self.store.is_pending() {
            self.store.extend_schema(self.limits, wanted)?;
        }
        group::change_at_once(&self.store, self.limits, wanted, prepare, make, |change, make| make(change))
    }

    /// Makes a change that a small transaction may do, which needs `find` and `new`; `None` if it may not.
    #[inline(always)]
    pub(crate) fn small_change<'a, W: AsRef<[u64]>, R>(
        &'a self,
        stripe: u32,
        find: impl Find<'a>,
        new: impl FnOnce(&'a [AtomicU64]) -> Option<(Option<W>, R)>,
    ) -> Option<R> {
        small::change(&self.store, stripe, find, new)
    }

    /// Begins a group that changes words which `find` finds, if it may be a short one.
    #[inline(always)]
    pub(crate) fn begin_update<'a>(&'a self, stripe: u32, find: impl Find<'a>) -> Option<Update<'a>> {
        Update::begin(&self.store, self.limits, stripe, find)
    }

    /// Runs a group on the object.
    pub(crate) fn group<R, E: From<Error>>(&self, body: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
        group::group(&self.store, self.limits, body)
    }

    /// Runs a group again as long as it ends in a deadlock; inside another group, only once. If that is on another object, only a
    /// cycle on this object is worth another attempt: otherwise that other group may hold what somebody waits for, and has to
    /// be run again as well.
    pub(crate) fn group_retry<R, E: GroupError>(&self, body: impl FnMut() -> Result<R, E>) -> Result<R, E> {
        self.group_retry_at_most(u64::MAX, body)
    }

    /// Works like [`group_retry`](Self::group_retry), but at most `retries` times after the first.
    pub(crate) fn group_retry_at_most<R, E: GroupError>(
        &self,
        retries: u64,
        mut body: impl FnMut() -> Result<R, E>,
    ) -> Result<R, E> {
        self.retried(retries, || self.group(&mut body))
    }

    /// Runs a group that only operations through its argument join; in an open group on the object, as a part of that.
    pub(crate) fn group_with<R, E: From<Error>>(&self, body: impl FnOnce(&Membership) -> Result<R, E>) -> Result<R, E> {
        if group::is_open(&self.store) {
            let membership = Membership(self.store.clone());
            return self.group(|| body(&membership));
        }
        let membership = Membership(Arc::new(self.store.apart()));
        group::group_apart(&membership.0, self.limits, || body(&membership))
    }

    /// Runs it until it does not end in a deadlock, as [`group_retry`](Self::group_retry) does.
    pub(crate) fn group_with_retry<R, E: GroupError>(
        &self,
        mut body: impl FnMut(&Membership) -> Result<R, E>,
    ) -> Result<R, E> {
        self.retried(u64::MAX, || self.group_with(&mut body))
    }

    /// Returns a handle whose operations belong to a group; fails if that is on another object.
    pub(crate) fn join(&self, group: &Membership) -> Result<Handle> {
        let Some(store) = self.store.beside(&group.0) else {
            return Err(Error::OutsideGroup { object: self.store.name(), what: group::OTHER_OBJECT });
        };
        Ok(Handle { store: Arc::new(store), ..self.clone() })
    }

    fn retried<R, E: GroupError>(&self, retries: u64, mut run: impl FnMut() -> Result<R, E>) -> Result<R, E> {
        if group::is_open(&self.store) {
            return run();
        }
        let is_outermost = group::open() == 0;
        group::take_deadlocked();
        let left = Cell::new(retries);
        let worth = |error: &E| {
            let may_help = error.is_deadlock() && (group::take_deadlocked() || is_outermost);
            may_help && left.replace(left.get().saturating_sub(1)) > 0
        };
        retry(run, worth)
    }

    /// Writes the object back to its storage while no change is under way.
    pub(crate) fn sync(&self) -> Result<()> {
        if group::is_open(&self.store) {
            return Err(Error::InGroup { object: self.store.name(), wanted: "sync" });
        }
        self.store.sync(self.limits)
    }

    /// Returns the error for a value that does not fit its words.
    #[cold]
    pub(crate) fn data_error(&self, error: DataError) -> Error {
        data_error(&self.store, error)
    }

    /// Encodes a value where there is no store yet.
    pub(crate) fn encode_alone<T: DataManager>(object: &Arc<str>, value: &T) -> Result<Vec<u64>> {
        let fail = |error| Error::decode(object.clone(), error);
        let mut counting = Encoder::counting();
        DataManager::encode(value, &mut counting).map_err(fail)?;
        let mut words = vec![0; check_size(&counting)?];
        DataManager::encode(value, &mut Encoder::ordered(&mut words)).map_err(fail)?;
        Ok(words)
    }

    /// Encodes a value with its entries in a fixed order, for comparisons.
    pub(crate) fn encode_ordered<W: Encode + ?Sized>(&self, value: &W) -> Result<Vec<u64>> {
        let announced = self.count(value)?;
        let mut words = vec![0; announced];
        let mut encoder = Encoder::ordered(&mut words);
        value.encode(&mut encoder).map_err(|error| self.data_error(error))?;
        self.check_written(&encoder, announced)?;
        Ok(words)
    }

    /// Encodes a number of `N` words.
    #[inline(always)]
    pub(crate) fn encode_fixed<V: Integer, const N: usize>(&self, number: V) -> Result<[u64; N]> {
        let mut words = [0; N];
        self.encode(&number, &mut words).map(|()| words)
    }

    /// Returns the words of `new`, or `None` if it equals `old`.
    #[inline(always)]
    pub(crate) fn replacing<V: Integer, const N: usize>(&self, old: V, new: V) -> Result<Option<[u64; N]>> {
        if new == old { Ok(None) } else { self.encode_fixed(new).map(Some) }
    }

    /// Decodes a number in a locked stripe.
    #[inline(always)]
    pub(crate) fn number<V: Integer>(&self, words: &[AtomicU64]) -> Result<V> {
        self.finish(decode_in_place::<V>(View::locked(&self.store), words)?)
    }

    /// Encodes a key and finds its stripe.
    #[inline(always)]
    pub(crate) fn with_key<Q: Encode + ?Sized, R>(&self, key: &Q, f: impl FnOnce(Key<'_>) -> Result<R>) -> Result<R> {
        self.encoded(key, |words| f(self.key(words)))
    }

    /// Returns an encoded key with its hash and stripe.
    #[inline(always)]
    pub(crate) fn key<'k>(&self, words: &'k [u64]) -> Key<'k> {
        let hash = self.store.hash(words);
        let stripe = self.store.stripe_of(hash);
        Key { words, hash, stripe, at: self.store.geometry().stripe(stripe) }
    }

    /// Prepares a value for storing.
    #[inline(always)]
    pub(crate) fn with_payload<W: Encode + ?Sized, R>(
        &self,
        value: &W,
        f: impl FnOnce(Payload<'_>) -> Result<R>,
    ) -> Result<R> {
        if W::DIRECT && W::FIXED.is_none_or(|words| words > STACK) {
            let mut counting = Encoder::counting();
            encode(value, &mut counting).map_err(|error| self.data_error(error))?;
            let words = check_size(&counting)?;
            // Code that is not known does not run under locks.
            if words > STACK && !counting.has_foreign() {
                let fill = |shared: &[AtomicU64]| {
                    let mut encoder = Encoder::shared(shared);
                    encode(value, &mut encoder).map_err(|error| self.data_error(error))?;
                    self.check_written(&encoder, words)
                };
                return f(Payload::Fill(words as u64, &fill));
            }
        }
        self.encoded(value, |words| f(Payload::Words(words)))
    }

    /// Encodes into private memory, on the stack if the size allows.
    #[inline(always)]
    pub(crate) fn encoded<W: Encode + ?Sized, R>(&self, value: &W, f: impl FnOnce(&[u64]) -> Result<R>) -> Result<R> {
        let words = match W::FIXED {
            Some(words) => words,
            None => self.count(value)?,
        };
        if let Some(1) = W::FIXED {
            let mut stack = [0; 1];
            self.encode(value, &mut stack)?;
            f(&stack)
        } else {
            let (mut small, mut large);
            let words: &mut [u64] = if words <= SMALL {
                small = [0; SMALL];
                &mut small[..words]
            } else {
                large = SmallVec::<[u64; STACK]>::from_elem(0, words);
                &mut large
            };
            self.encode(value, words)?;
            f(words)
        }
    }

    #[inline]
    fn encode<W: Encode + ?Sized>(&self, value: &W, words: &mut [u64]) -> Result<()> {
        let announced = words.len();
        let mut encoder = Encoder::private(words);
        encode(value, &mut encoder).map_err(|error| self.data_error(error))?;
        self.check_written(&encoder, announced)
    }

    /// Returns the number of words of the encoding.
    #[inline]
    fn count<W: Encode + ?Sized>(&self, value: &W) -> Result<usize> {
        let mut encoder = Encoder::counting();
        encode(value, &mut encoder).map_err(|error| self.data_error(error))?;
        check_size(&encoder)
    }

    #[inline]
    fn check_written(&self, encoder: &Encoder<'_>, announced: usize) -> Result<()> {
        if encoder.written() == announced { Ok(()) } else { Err(self.unsteady()) }
    }

    #[cold]
    pub(crate) fn unsteady(&self) -> Error {
        let what = "encoding the same value twice gave different lengths, or another length than its FIXED";
        self.data_error(DataError::new("a data manager", what))
    }

    /// Decodes what was read.
    #[inline]
    pub(crate) fn finish<V: DataManager>(&self, raw: Staged<V>) -> Result<V> {
        match raw {
            Staged::Value(value) => Ok(value),
            Staged::Words(words) => {
                let mut decoder = Decoder::from_words(&words);
                decode::<V>(&mut decoder)
                    .and_then(|value| self.store.check_end(&decoder).map(|()| value))
                    .map_err(|error| self.data_error(error))
            }
        }
    }
}

/// Encodes a value. Programs have many types of their own, so the code for a large one exists once, however often it is called.
#[inline(always)]
fn encode<W: Encode + ?Sized>(value: &W, out: &mut Encoder<'_>) -> Result<(), DataError> {
    if const { W::KNOWN || is_small(W::FIXED) } { value.encode(out) } else { encode_large(value, out) }
}

#[inline(never)]
fn encode_large<W: Encode + ?Sized>(value: &W, out: &mut Encoder<'_>) -> Result<(), DataError> {
    value.encode(out)
}

/// Decodes a value; see [`encode`].
#[inline(always)]
pub(crate) fn decode<V: DataManager>(input: &mut Decoder<'_>) -> Result<V, DataError> {
    if const { V::KNOWN || is_small(V::FIXED) } { V::decode(input) } else { decode_large(input) }
}

#[inline(never)]
fn decode_large<V: DataManager>(input: &mut Decoder<'_>) -> Result<V, DataError> {
    V::decode(input)
}

/// Returns whether encoding and decoding take little code.
const fn is_small(fixed: Option<usize>) -> bool {
    matches!(fixed, Some(words) if words <= SMALL)
}

/// Returns the number of words of an encoding; fails if they are too many for a key or a value.
#[inline]
fn check_size(counted: &Encoder<'_>) -> Result<usize> {
    let words = counted.written();
    let size = words as u64 * 8;
    if size > MAX_VALUE {
        return Err(Error::TooLarge { what: "a key or value", size, limit: MAX_VALUE });
    }
    Ok(words)
}

/// Returns the error for a value that does not fit its words, or the reverse.
#[cold]
fn data_error(store: &Store, error: DataError) -> Error {
    Error::decode(store.name(), error)
}

/// A value on its way out of shared memory.
pub(crate) enum Staged<V> {
    /// Decoded straight from it.
    Value(V),
    /// A consistent copy, for a hand-written manager.
    Words(Vec<u64>),
}

/// Decodes words of shared memory, or copies them for a manager that must not see words in the middle of a change.
#[inline(always)]
pub(crate) fn decode_in_place<V: DataManager>(view: View<'_>, words: &[AtomicU64]) -> Result<Staged<V>> {
    // Types that can grow have no fixed length.
    if V::FIXED.is_none() {
        view.store.check_type()?;
    }
    if V::DIRECT {
        let mut decoder = Decoder::new(words, view.stamp);
        match decode::<V>(&mut decoder).and_then(|value| decoder.finish().map(|()| value)) {
            Ok(value) => return Ok(Staged::Value(value)),
            // A part of the value has a hand-written manager.
            Err(error) if error == DataError::NEEDS_COPY => {}
            Err(error) => return Err(data_error(view.store, error)),
        }
    }
    copy_words(view, words).map(Staged::Words)
}

/// Decodes directly from shared memory; fails with `Inconclusive` if a copy would be needed.
#[inline(always)]
pub(crate) fn decode_optimistic<V: DataManager>(view: View<'_>, words: &[AtomicU64]) -> Result<V, Inconclusive> {
    let mut decoder = Decoder::new(words, view.stamp);
    decode::<V>(&mut decoder).and_then(|value| decoder.finish().map(|()| value)).map_err(|_| Inconclusive)
}

/// Works like [`decode_in_place`], for the value of a table, which a program of a newer type may have written.
#[inline(always)]
pub(crate) fn decode_row<V: DataManager>(view: View<'_>, words: &[AtomicU64]) -> Result<Staged<V>> {
    view.store.check_type()?;
    if V::DIRECT {
        let mut decoder = Decoder::new(words, view.stamp);
        match decode::<V>(&mut decoder).and_then(|value| view.store.check_end(&decoder).map(|()| value)) {
            Ok(value) => return Ok(Staged::Value(value)),
            // What is wrong with the value of a newer program does not end the reading of others.
            Err(error) if error == DataError::NEEDS_COPY || view.store.may_have_tails() => {}
            Err(error) => return Err(data_error(view.store, error)),
        }
    }
    copy_words(view, words).map(Staged::Words)
}

/// Works like [`decode_optimistic`], for the value of a table, which a program of a newer type may have written.
#[inline(always)]
pub(crate) fn decode_row_optimistic<V: DataManager>(view: View<'_>, words: &[AtomicU64]) -> Result<V, Inconclusive> {
    let mut decoder = Decoder::new(words, view.stamp);
    let value = decode::<V>(&mut decoder).map_err(|_| Inconclusive)?;
    view.store.check_end(&decoder).map_err(|_| Inconclusive)?;
    Ok(value)
}

#[cold]
fn copy_words(view: View<'_>, words: &[AtomicU64]) -> Result<Vec<u64>> {
    let spoiled = || view.region().corrupt(0, "changed while it was read");
    if words.len() > TRUSTED_WORDS && !view.holds() {
        return Err(spoiled());
    }
    let mut copied = vec![0; words.len()];
    copy::load_words(words, &mut copied);
    if view.holds() { Ok(copied) } else { Err(spoiled()) }
}

/// The methods for groups, which all tables and arrays have alike; `$inner` has them for `$this`.
macro_rules! group_methods {
    ($this:ident => $inner:expr) => {
        /// Runs a group: what [`group!`](crate::group!) stands for.
        ///
        /// # Errors
        /// Any error of `body`, which rolls everything back, and the errors of locking.
        #[doc(alias = "transaction")]
        #[doc(alias = "lock")]
        #[doc(alias = "commit")]
        #[doc(alias = "rollback")]
        pub fn group<R, E: From<crate::error::Error>>(
            &self,
            body: impl FnOnce() -> ::std::result::Result<R, E>,
        ) -> ::std::result::Result<R, E> {
            let $this = self;
            $inner.group(body)
        }

        /// Runs a group, again and again as long as it ends in a deadlock: what `group!(retry ..)` stands for. In an
        /// open group it runs once: the outermost group has to be repeated as a whole.
        ///
        /// # Errors
        /// Any error of `body`, which rolls everything back, and the errors of locking.
        pub fn group_retry<R, E: crate::group::GroupError>(
            &self,
            body: impl FnMut() -> ::std::result::Result<R, E>,
        ) -> ::std::result::Result<R, E> {
            let $this = self;
            $inner.group_retry(body)
        }

        /// Works like [`group_retry`](Self::group_retry), but at most `retries` times after the first: what `group!(retry(n)
        /// ..)` stands for.
        ///
        /// # Errors
        /// Those of [`group_retry`](Self::group_retry); the deadlock if the last attempt ended in one.
        pub fn group_retry_at_most<R, E: crate::group::GroupError>(
            &self,
            retries: u64,
            body: impl FnMut() -> ::std::result::Result<R, E>,
        ) -> ::std::result::Result<R, E> {
            let $this = self;
            $inner.group_retry_at_most(retries, body)
        }
    };
}
pub(crate) use group_methods;

/// The methods for groups of their own, which all tables and arrays have alike; `$handle` is the handle of `$this`.
macro_rules! own_group_methods {
    ($this:ident => $handle:expr) => {
        /// Runs a group to which only operations through its argument belong: what `group!(only ..)` stands for.
        ///
        /// In [`group`](Self::group), everything that the thread does on the object is part of the group. If the body waits for a thread
        /// pool, the pool may run a task of somebody else on this thread meanwhile, and what that one changes would be undone with the
        /// group. Here it is a change of its own. It gets [`Error::OutsideGroup`](crate::Error::OutsideGroup) where it would
        /// wait for this very group: for a lock that this holds, or, with [`Locking::Record`](crate::Locking::Record), to run a group or an
        /// update itself. Other members of the object join by [`Grouped::with`](crate::Grouped::with). In an open group
        /// on the object, this is an inner group of that. Operations take a little longer than in an ordinary group.
        ///
        /// ```
        /// use netshm::{Error, HashTable, Locking, Shm};
        ///
        /// let shm = Shm::create_unique("posix:/only.XXXXXX", 0o600)?;
        /// # let name = shm.name().clone();
        /// let table: HashTable<String, u64> = HashTable::options().stripes(1).locking(Locking::Futex).manage(shm)?;
        /// table.add("jobs", &1)?;
        /// table.group_with(|group| {
        ///     group.replace("jobs", &2)?;
        ///     // Not through the argument: no part of the group. A reader sees what was there before.
        ///     assert_eq!((table.find("jobs")?, group.find("jobs")?), (Some(1), Some(2)));
        ///     // A change would have to wait for the end of the group.
        ///     assert!(matches!(table.replace("jobs", &7), Err(Error::OutsideGroup { .. })));
        ///     Ok::<_, Error>(())
        /// })?;
        /// assert_eq!(table.find("jobs")?, Some(2));
        /// # name.unlink()?;
        /// # Ok::<(), netshm::Error>(())
        /// ```
        ///
        /// # Errors
        /// What `body` gives, which rolls everything back, and the errors of locking.
        pub fn group_with<R, E: From<crate::error::Error>>(
            &self,
            body: impl FnOnce(&crate::grouped::Grouped<'_, Self>) -> ::std::result::Result<R, E>,
        ) -> ::std::result::Result<R, E> {
            let $this = self;
            $handle.group_with(|group| body(&crate::grouped::Grouped::of(self, group)?))
        }

        /// Runs such a group again and again as long as it ends in a deadlock: what `group!(retry only ..)` stands for. In an
        /// open group it runs once, as [`group_retry`](Self::group_retry).
        ///
        /// # Errors
        /// What `body` gives, which rolls everything back, and the errors of locking.
        pub fn group_with_retry<R, E: crate::group::GroupError>(
            &self,
            mut body: impl FnMut(&crate::grouped::Grouped<'_, Self>) -> ::std::result::Result<R, E>,
        ) -> ::std::result::Result<R, E> {
            let $this = self;
            $handle.group_with_retry(|group| body(&crate::grouped::Grouped::of(self, group)?))
        }
    };
}
pub(crate) use own_group_methods;

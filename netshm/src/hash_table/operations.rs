//! The hash table itself, and its plain operations.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;

use super::{bulk, encoded};
use crate::check::{self, Contents, Report};
use crate::data::{DataManager, Encode, ObjectSchema, Schema, ShmKey};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::grouped::{Joins, Membership};
use crate::handle::{Handle, decode_row, group_methods, own_group_methods};
use crate::index::record::Payload;
use crate::index::{self, Bindings, Key};
use crate::layout::bucket::Form;
use crate::layout::header::ObjectKind;
use crate::layout::method::Locking;
use crate::options::ManageOptions;
use crate::shm::Shm;
use crate::stats::{self, Stats};
use crate::store::open::Shape;
use crate::store::read::{self, with_source};
use crate::store::{Limits, group};

/// Bindings decoded between two checks of whether a writer has spoiled the read.
pub(super) const LOOK_EACH: usize = 64;

/// A hash table from `K` to `V` in shared memory, open to all processes that know its name.
///
/// A key can have several bindings: [`add`](Self::add) pushes one, which hides the older ones, [`remove`](Self::remove)
/// pops it and uncovers them. Keys and values go in by reference and come out as ordinary values; borrowed forms are
/// taken too (`&str` for `String`, slices for vectors).
///
/// Every operation happens completely or not at all, whatever kills the process. Several are made one by
/// [`group!`](crate::group!).
///
/// Bindings do not expire: store a time in the value and remove what is old, as the example `sessions` does.
///
/// # Memory ordering
/// What a thread did to the table before it changed a key happens before another thread's or process's reading of
/// that change.
///
/// ```
/// use netshm::{HashTable, Locking, Shm};
///
/// let shm = Shm::create_unique("posix:/tutorial.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let tab: HashTable<String, (i64, String)> = HashTable::manage(shm, Locking::Record)?;
/// tab.add("First Key", &(1, "First value".to_owned()))?;
/// assert_eq!(tab.find("First Key")?, Some((1, "First value".to_owned())));
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[doc(alias = "Netshm_hashtbl")]
#[doc(alias = "multimap")]
#[doc(alias = "ttl")]
#[doc(alias = "expire")]
#[doc(alias = "HashMap")]
#[doc(alias = "dictionary")]
#[doc(alias = "cache")]
pub struct HashTable<K, V> {
    pub(super) handle: Handle,
    pub(super) managed: PhantomData<fn() -> (K, V)>,
}

impl<K: ShmKey, V: DataManager> Joins for HashTable<K, V> {
    fn join(&self, group: &Membership) -> Result<Self> {
        Ok(HashTable { handle: self.handle.join(group)?, managed: PhantomData })
    }
}

/// Another handle of the same object, which shares everything with this one.
impl<K, V> Clone for HashTable<K, V> {
    fn clone(&self) -> Self {
        HashTable { handle: self.handle.clone(), managed: PhantomData }
    }
}

impl<K, V> fmt::Debug for HashTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashTable").field("shm", &self.handle.shm).finish_non_exhaustive()
    }
}

// Without bounds, so that `manage` alone asks for them.
impl<K, V> HashTable<K, V> {
    /// Returns the options for managing an object as a hash table of this type.
    pub fn options() -> ManageOptions<Self> {
        ManageOptions::default()
    }
}

impl<K: ShmKey, V: DataManager> HashTable<K, V> {
    /// Views an object as a hash table. An empty object becomes one; one that exists must be of this very type.
    ///
    /// # Errors
    /// [`Error::SchemaMismatch`] if the object is something else, [`Error::LockingMismatch`],
    /// [`Error::NotNetshm`], [`Error::UnsupportedVersion`], [`Error::Corrupt`], [`Error::NoSpace`],
    /// [`Error::Forked`], [`Error::Io`].
    pub fn manage(shm: Shm, locking: Locking) -> Result<Self> {
        Self::options().locking(locking).manage(shm)
    }

    /// Returns the type as it is written in the object.
    pub(crate) fn schema() -> ObjectSchema {
        ObjectSchema::hash_table(Schema::of::<K>(), Schema::of::<V>())
    }

    /// Opens an object under an explicit schema, which may differ from that of `K` and `V` (dynamic tables use raw rows).
    pub(crate) fn open(
        shm: Shm,
        kind: ObjectKind,
        schema: &ObjectSchema,
        contents: Contents<'_>,
        shape: Shape,
        limits: Limits,
    ) -> Result<Self> {
        let handle = encoded::open(shm, kind, schema, contents, shape, limits, V::KEEPS_REST)?;
        Ok(HashTable { handle, managed: PhantomData })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// True if keys and values are one word each.
    pub(super) const PAIRS: bool = matches!(Form::of(K::FIXED, V::FIXED), Form::Pairs);
    /// True if the table shares the code of [`encoded`] with those of other types: if a program may have many such types, and
    /// operations on them take more than a few instructions.
    pub(super) const SHARED: bool = !Self::PAIRS && !(K::KNOWN && V::KNOWN);

    /// Encodes a row.
    #[inline(always)]
    pub(super) fn with_row<Q: Encode + ?Sized, W: Encode + ?Sized, R>(
        &self,
        key: &Q,
        value: &W,
        f: impl Fn(&[u64], Payload<'_>) -> Result<R>,
    ) -> Result<R> {
        const { assert!(!(K::ARRAY && Q::SLICE), "a key that is an array is looked up as an array, not as a slice") };
        self.handle.encoded(key, |key| self.with_payload(value, |value| f(key, value)))
    }

    #[inline(always)]
    pub(super) fn with_key<Q: Encode + ?Sized, R>(&self, key: &Q, f: impl FnOnce(Key<'_>) -> Result<R>) -> Result<R> {
        const { assert!(!(K::ARRAY && Q::SLICE), "a key that is an array is looked up as an array, not as a slice") };
        self.handle.with_key(key, f)
    }

    #[inline(always)]
    pub(super) fn with_payload<W: Encode + ?Sized, R>(
        &self,
        value: &W,
        f: impl FnOnce(Payload<'_>) -> Result<R>,
    ) -> Result<R> {
        const { assert!(!(V::ARRAY && W::SLICE), "a value that is an array is stored as an array, not as a slice") };
        self.handle.with_payload(value, f)
    }

    /// Pushes a binding for the key, which hides the older ones.
    ///
    /// # Errors
    /// Those of every change: [`Error::Full`], [`Error::NoSpace`], [`Error::TooLarge`], [`Error::ReadOnly`],
    /// [`Error::Deadlock`] in a group, [`Error::LockTimeout`] if a limit was set, [`Error::Iterating`],
    /// [`Error::TooManyWriters`], [`Error::Corrupt`], [`Error::Forked`], [`Error::Io`].
    #[doc(alias = "insert")]
    #[doc(alias = "push")]
    pub fn add<Q, W>(&self, key: &Q, value: &W) -> Result<()>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
        Q: Encode + ?Sized,
        W: Encode + ?Sized,
    {
        self.with_row(key, value, |key, value| {
            if const { Self::PAIRS } {
                encoded::add_inline(&self.handle, key, value)
            } else {
                encoded::add(&self.handle, key, value)
            }
        })
    }

    /// Changes the newest binding of the key; adds one if there is none.
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    #[doc(alias = "insert")]
    #[doc(alias = "put")]
    #[doc(alias = "set")]
    #[doc(alias = "upsert")]
    pub fn replace<Q, W>(&self, key: &Q, value: &W) -> Result<()>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
        Q: Encode + ?Sized,
        W: Encode + ?Sized,
    {
        if const { Self::SHARED } {
            return self.with_row(key, value, |key, value| {
                encoded::replace(&self.handle, key, value, const { V::FIXED.is_some() })
            });
        }
        if const { Self::PAIRS } && group::open() > 0 {
            return self.replace_in_group(key, value);
        }
        self.with_key(key, |key| {
            self.with_payload(value, |value| {
                if let Payload::Words(new) = value
                    && let Some(()) = self.small_change(key, |old| (old.len() == new.len()).then_some((Some(new), ())))
                {
                    return Ok(());
                }
                self.replace_otherwise(key, value)
            })
        })
    }

    /// Adds a binding if the key has none. Returns whether it did.
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    #[doc(alias = "try_insert")]
    pub fn add_if_absent<Q, W>(&self, key: &Q, value: &W) -> Result<bool>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
        Q: Encode + ?Sized,
        W: Encode + ?Sized,
    {
        self.with_row(key, value, |key, value| encoded::add_if_absent(&self.handle, key, value))
    }

    /// Returns the newest binding of the key.
    ///
    /// Outside a group this takes no lock, makes no system call and stores nothing to shared memory, unless a writer has died in
    /// the same stripe or changes follow upon each other there. While a group is at work in the stripe, however long, what was
    /// committed before is found; also by the group's own thread, if it reads through another handle than the group's.
    ///
    /// # Errors
    /// [`Error::Decode`] if a hand-written manager refuses the stored words, [`Error::NeedsRecovery`] through a
    /// read-only descriptor if what a dead writer left cannot be read, [`Error::Deadlock`] in a group, [`Error::LockTimeout`] if a limit
    /// was set, [`Error::Corrupt`], [`Error::Forked`].
    #[doc(alias = "get")]
    #[doc(alias = "lookup")]
    #[doc(alias = "search")]
    #[inline]
    pub fn find<Q>(&self, key: &Q) -> Result<Option<V>>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.handle.encoded(key, |words| {
            if const { Self::SHARED } {
                return self.find_encoded(words);
            }
            // First of all, so that nothing is made ready for a lookup outside.
            if V::DIRECT && group::open() > 0 { self.find_slow(words) } else { self.find_outside(words) }
        })
    }

    /// Changes the value of the newest binding in a small transaction if possible: `new` returns the words to store, unless
    /// they stay the same, and the result.
    #[inline(always)]
    pub(super) fn small_change<W: AsRef<[u64]>, R>(
        &self,
        key: Key<'_>,
        new: impl FnOnce(&[AtomicU64]) -> Option<(Option<W>, R)>,
    ) -> Option<R> {
        let form = self.form()?;
        self.handle.small_change(key.stripe, index::Value { form, key }, |words| {
            // What a newer program has stored after the value is carried over.
            let is_plain = V::FIXED.is_some() || !self.handle.store.may_have_tails();
            if is_plain { new(words) } else { None }
        })
    }

    /// Returns the form of the buckets, known to the compiler where the types say it; `None` if the object has another one.
    #[inline(always)]
    pub(super) fn form(&self) -> Option<Form> {
        let form = self.handle.store.geometry().form;
        if const { !Self::PAIRS } {
            return Some(form);
        }
        // As a constant, it spares the cases of the other.
        (form == Form::Pairs).then_some(Form::Pairs)
    }

    /// Returns all bindings of the key, the newest first.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn find_all<Q>(&self, key: &Q) -> Result<Vec<V>>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        let raws = self.with_key(key, |key| {
            read::read(&self.handle.store, self.handle.limits, key.stripe, |view| {
                with_source!(view, source => {
                    let mut values = Vec::new();
                    let Some(found) = index::find(source, key)? else { return Ok(values) };
                    for record in Bindings::from(source, key.at, found.record.at) {
                        if values.len() % LOOK_EACH == LOOK_EACH - 1 && !view.holds() {
                            break;
                        }
                        values.push(decode_row::<V>(view, record?.value())?);
                    }
                    Ok(values)
                })
            })
        })?;
        raws.into_iter().map(|raw| self.handle.finish(raw)).collect()
    }

    /// Returns whether the key has a binding.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "contains_key")]
    #[doc(alias = "mem")]
    #[doc(alias = "exists")]
    pub fn contains<Q>(&self, key: &Q) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.handle.encoded(key, |words| {
            if const { !Self::SHARED }
                && let Some(found) = self.optimistic(words, |_, _| Ok(()))
            {
                return Ok(found.is_some());
            }
            encoded::contains(&self.handle, words)
        })
    }

    /// Pops the newest binding of the key, which uncovers the next older one. Returns whether there was one.
    ///
    /// Mind the names: in [`std::collections::HashMap`] it is `remove` that gives the value. Here that is
    /// [`pop`](Self::pop), and `remove` tells only whether there was one, so that nothing has to be decoded.
    ///
    /// # Errors
    /// Those of [`add`](Self::add). A full object or file system does not stop a removal.
    #[doc(alias = "delete")]
    #[doc(alias = "retain")]
    pub fn remove<Q>(&self, key: &Q) -> Result<bool>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.handle.encoded(key, |key| encoded::remove(&self.handle, key))
    }

    /// Removes all bindings of the key. Returns their number.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove).
    pub fn remove_all<Q>(&self, key: &Q) -> Result<usize>
    where
        K: Borrow<Q>,
        Q: Encode + ?Sized,
    {
        self.handle.encoded(key, |key| encoded::remove_all(&self.handle, key)).map(|removed| removed as usize)
    }

    /// Returns the number of bindings, hidden ones included.
    ///
    /// Nothing is locked for it, except by a group on the table, which then keeps the whole table locked until it ends. The
    /// number is that of one moment, unless others change the table so often that it is not found unchanged for 200 ms (or
    /// `lock_timeout`, if that is shorter): then it is the sum of the numbers that each stripe had at some moment during the call.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "length")]
    #[doc(alias = "count")]
    pub fn len(&self) -> Result<usize> {
        Ok(bulk::count_bindings(&self.handle)? as usize)
    }

    /// Returns whether the table has no binding.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Removes all bindings, as one step. The memory is kept by the object and used again.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove).
    #[doc(alias = "drain")]
    pub fn clear(&self) -> Result<()> {
        bulk::clear(&self.handle)
    }

    /// Writes the object back to its storage, so that what it holds now survives a loss of power. Most of it is written
    /// beside writers; then it waits for changes under way, and others wait while the rest is written. Means something for
    /// mapped files only.
    ///
    /// If the power is lost after later changes, the object is checked when it is opened next. The check sees damage to what
    /// ties the object together, not which values are missing: where it finds none, each part changed since is there as it
    /// was at this call or at some time after it; a value longer than a page may be a mixture, and if a change was under way,
    /// a key may have another's value. After an error storage may lack pages that the system does not write again: keep a
    /// copy rather than rely on the next call.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::InGroup`], [`Error::ReadOnly`], and those of locking.
    #[doc(alias = "flush")]
    #[doc(alias = "fsync")]
    #[doc(alias = "persist")]
    #[doc(alias = "save")]
    pub fn sync(&self) -> Result<()> {
        self.handle.sync()
    }

    /// Checks the whole object, under all locks: every word that ties it together, and that all keys and values can be
    /// decoded. Takes time in proportion to the object's size.
    ///
    /// # Errors
    /// [`Error::InGroup`], [`Error::LockTimeout`] if a limit was set, [`Error::Corrupt`] if the
    /// object has been truncated, [`Error::Forked`]. What is wrong in the object is in the report.
    #[doc(alias = "verify")]
    #[doc(alias = "fsck")]
    pub fn check(&self) -> Result<Report> {
        check::check(&self.handle, Contents::table::<K, V>())
    }

    /// Returns figures about the object.
    ///
    /// # Errors
    /// [`Error::Forked`], [`Error::Io`].
    #[doc(alias = "metrics")]
    pub fn stats(&self) -> Result<Stats> {
        stats::stats(&self.handle)
    }

    /// Returns the descriptor that the table was managed through.
    #[doc(alias = "shm_table")]
    pub fn shm(&self) -> &Shm {
        &self.handle.shm
    }

    group_methods!(this => this.handle);

    own_group_methods!(this => this.handle);
}

impl<K: ShmKey, V: DataManager> ManageOptions<HashTable<K, V>> {
    /// Views an object as a hash table with these options; see [`HashTable::manage`].
    ///
    /// # Errors
    /// Those of [`HashTable::manage`]; [`Error::InvalidOption`] for a value out of range; [`Error::InUse`] if it
    /// is to be recreated while others have it open.
    pub fn manage(self, shm: Shm) -> Result<HashTable<K, V>> {
        let schema = HashTable::<K, V>::schema();
        HashTable::open(shm, ObjectKind::HashTable, &schema, Contents::table::<K, V>(), self.shape, self.limits)
    }
}

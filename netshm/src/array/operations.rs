//! The array itself, and its plain operations.

use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::check::{self, Contents, Decodes, Report};
use crate::data::{DataManager, Decoder, Encode, ObjectSchema, Schema};
use crate::directory::{self, Elements, Spot};
use crate::error::{Error, Result};
use crate::grouped::{Joins, Membership};
use crate::handle::{Handle, Staged, decode_in_place, decode_optimistic, group_methods, own_group_methods};
use crate::index::record::Payload;
use crate::layout::bucket::Form;
use crate::layout::header::ObjectKind;
use crate::layout::method::Locking;
use crate::options::ManageOptions;
use crate::region::Inconclusive;
use crate::shm::Shm;
use crate::stats::{self, Stats};
use crate::store::open::{self, Shape, Spec};
use crate::store::read::{self, OptimisticRead, with_source};
use crate::store::{Limits, Store, Transaction, group};

/// The longest array.
const MOST_ELEMENTS: u64 = 1 << 56;

/// An array of `T` in shared memory. It may be sparse: only what has been written takes memory, and the rest shows the
/// default value.
///
/// An array that has just been created has no elements; [`resize`](Self::resize) gives it some. Elements of fixed
/// encoded size lie densely; others are reached through a pointer.
///
/// ```
/// use netshm::{Array, Locking, Shm};
///
/// let shm = Shm::create_unique("posix:/results.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let results: Array<i64> = Array::manage(shm, -1, Locking::Futex)?;
/// results.resize(1_000_000_000)?;
/// results.set(999_999_999, &7)?;
/// assert_eq!(results.get(999_999_999)?, 7);
/// assert_eq!(results.get(5)?, -1);
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[doc(alias = "Netshm_array")]
#[doc(alias = "Vec")]
#[doc(alias = "slice")]
pub struct Array<T> {
    pub(super) handle: Handle,
    pub(super) default: Arc<T>,
    /// The default as it is stored.
    pub(super) default_words: Vec<u64>,
    pub(super) elements: Elements,
}

/// Storage of an array's elements.
pub(crate) struct Element<'a> {
    /// The number of words of each, if it is the same for all.
    pub(crate) fixed: Option<usize>,
    /// True if they keep what newer programs have added to them.
    pub(crate) keeps_rest: bool,
    pub(crate) decodes: Decodes<'a>,
}

impl<T: DataManager> Joins for Array<T> {
    fn join(&self, group: &Membership) -> Result<Self> {
        Ok(Array { handle: self.handle.join(group)?, ..self.clone() })
    }
}

/// Another handle of the same array, which shares everything with this one.
impl<T> Clone for Array<T> {
    fn clone(&self) -> Self {
        Array {
            handle: self.handle.clone(),
            default: self.default.clone(),
            default_words: self.default_words.clone(),
            elements: self.elements,
        }
    }
}

impl<T> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("shm", &self.handle.shm).finish_non_exhaustive()
    }
}

// Without bounds, so that `manage` alone asks for them.
impl<T> Array<T> {
    /// Returns the options for managing an object as an array of this type.
    pub fn options() -> ManageOptions<Self> {
        ManageOptions::default()
    }
}

impl<T: DataManager> Array<T> {
    /// Views an object as an array. An empty object becomes one; one that exists must be of this very type and have this
    /// default value.
    ///
    /// # Errors
    /// [`Error::SchemaMismatch`] if the object is something else or has another default, [`Error::LockingMismatch`],
    /// [`Error::NotNetshm`], [`Error::UnsupportedVersion`], [`Error::Corrupt`], [`Error::NoSpace`],
    /// [`Error::Forked`], [`Error::Io`].
    pub fn manage(shm: Shm, default: T, locking: Locking) -> Result<Self> {
        Self::options().locking(locking).manage(shm, default)
    }

    /// Returns the type as it is written in the object.
    pub(crate) fn schema() -> ObjectSchema {
        ObjectSchema::array(Schema::of_part::<T>())
    }

    /// Opens an object under an explicit schema, which may differ from that of `T` (dynamic arrays use raw rows).
    pub(crate) fn open(
        shm: Shm,
        schema: &ObjectSchema,
        element: Element<'_>,
        default: T,
        shape: Shape,
        limits: Limits,
    ) -> Result<Self> {
        let described = schema;
        let schema = schema.to_string();
        let default_words = Handle::encode_alone(shm.object().name(), &default);
        let default_words = default_words.inspect_err(|_| open::abandon(&shm))?;
        let Element { fixed, keeps_rest, decodes } = element;
        let elements = Elements::of(fixed);
        let recreate = shape.recreate;
        let show = |words: &[u64]| match described {
            ObjectSchema::Array { element } => crate::data::show(element, words),
            _ => unreachable!("an array is described as one"),
        };
        let other_default = Cell::new(None);
        let spec = Spec {
            kind: ObjectKind::Array,
            schema_hash: crate::data::hash_text(&schema),
            difference: &|stored| crate::data::difference(stored, described),
            types: Arc::new(described.clone()),
            schema: schema.clone(),
            default: default_words.clone(),
            element_words: elements.dense().unwrap_or(0),
            form: Form::Records,
            keeps_rest,
            other_default: &other_default,
            show_default: &show,
            shape,
        };
        let contents = Contents::Directory { elements, element: decodes };
        let handle = Handle::open(shm, &spec, limits, &check::damage(Some(contents)))?;
        let mut array = Array { handle, default: Arc::new(default), default_words, elements };
        if let Some(words) = other_default.take() {
            array.take_default(words, show)?;
        }
        if recreate {
            array.resize(0)?;
        }
        Ok(array)
    }

    /// Adopts the default value that another version of the type has stored in the object: it must be the
    /// same to this one, with the fields' own defaults for those that it lacks.
    fn take_default(&mut self, words: Vec<u64>, show: impl Fn(&[u64]) -> String) -> Result<()> {
        let stored: T = self.handle.finish(Staged::Words(words.clone()))?;
        let encoded = Handle::encode_alone(&self.handle.store.name(), &stored)?;
        // What the value keeps of what a newer program has added says nothing to this one.
        let known = match Self::schema() {
            ObjectSchema::Array { element } => crate::data::known_words(&element, &encoded),
            _ => unreachable!("an array is described as one"),
        };
        if known != self.default_words {
            let with = |words: &[u64]| format!("{} with default {}", Self::schema(), show(words));
            return Err(Error::SchemaMismatch {
                object: self.handle.store.name(),
                stored: with(&encoded),
                expected: with(&self.default_words),
                difference: String::new(),
            });
        }
        (self.default, self.default_words) = (Arc::new(stored), words);
        Ok(())
    }

    /// Returns the number of elements. In a group the length stays as it is until the group ends.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[doc(alias = "length")]
    #[doc(alias = "count")]
    pub fn len(&self) -> Result<usize> {
        // Whoever changes the length holds all stripes, so looking at any of them is enough.
        let first = self.handle.store.geometry().first();
        let length = read::read(&self.handle.store, self.handle.limits, first, |view| Ok(view.array_len()))?;
        Ok(length as usize)
    }

    /// Returns whether the array has no elements.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Returns the value that elements have until they are set.
    pub fn default_value(&self) -> &T {
        &self.default
    }

    /// Returns the layout of the elements: known to the compiler, if the Rust type says how many words they take.
    #[inline(always)]
    pub(super) fn elements(&self) -> Elements {
        if T::FIXED.is_some() { const { Elements::of(T::FIXED) } } else { self.elements }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns the stripe that an element belongs to.
    pub(crate) fn stripe_of(&self, index: usize) -> u32 {
        self.spot(index as u64).stripe
    }

    /// Returns where an element belongs.
    #[inline(always)]
    pub(super) fn spot(&self, index: u64) -> Spot {
        self.elements().spot(self.handle.store.geometry(), index)
    }

    #[inline]
    pub(super) fn check_bounds(store: &Store, index: u64) -> Result<()> {
        Self::check_length(store, index, store.array_len())
    }

    #[inline]
    fn check_length(store: &Store, index: u64, length: u64) -> Result<()> {
        if index < length { Ok(()) } else { Err(out_of_bounds(store, index, length)) }
    }

    /// Returns an element.
    ///
    /// Outside a group this takes no lock, makes no system call and stores nothing to shared memory, unless a writer is
    /// at work in the same stripe and stays there.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], [`Error::Decode`] if a hand-written manager refuses the stored words,
    /// [`Error::NeedsRecovery`] through a read-only descriptor if what a dead writer left cannot be read, [`Error::Deadlock`] in a group,
    /// [`Error::LockTimeout`] if a limit was set, [`Error::Corrupt`], [`Error::Forked`].
    #[inline]
    pub fn get(&self, index: usize) -> Result<T> {
        let index = index as u64;
        let store = &self.handle.store;
        let spot = self.spot(index);
        if T::DIRECT
            && let Some(attempt) = OptimisticRead::at(store)
        {
            let found = attempt.read(spot.at, |view, stripe| {
                if index >= view.store.array_len() {
                    return Err(Inconclusive);
                }
                directory::find_in(view.region(), stripe, self.elements(), spot)?
                    .map(|words| decode_optimistic::<T>(view, words))
                    .transpose()
            });
            if let Some(Some(element)) = found {
                return Ok(element);
            }
        }
        self.get_slow(index, spot)
    }

    #[inline(never)]
    fn get_slow(&self, index: u64, spot: Spot) -> Result<T> {
        let store = &self.handle.store;
        if T::DIRECT && group::open() > 0 {
            let view = match group::optimistic(store, spot.stripe) {
                Some(Err(error)) => return Err(*error),
                Some(Ok((view, _))) if index < view.store.array_len() => Some(view),
                _ => None,
            };
            let found = view.map(|view| {
                let region = view.region();
                directory::find_in(region, region.stripe(spot.at), self.elements(), spot)?
                    .map(|words| decode_optimistic::<T>(view, words))
                    .transpose()
            });
            if let Some(Ok(Some(element))) = found {
                return Ok(element);
            }
        }
        let raw = read::read(store, self.handle.limits, spot.stripe, |view| {
            Self::check_length(view.store, index, view.array_len())?;
            match with_source!(view, source => directory::find(source, self.elements(), spot))? {
                Some(words) => decode_in_place::<T>(view, words).map(Some),
                None => Ok(None),
            }
        })?;
        self.finish(raw)
    }

    /// Returns an element that was read; `None` stands for one that has never been written.
    #[inline]
    pub(super) fn finish(&self, raw: Option<Staged<T>>) -> Result<T> {
        match raw {
            Some(raw) => self.handle.finish(raw),
            None => self.decode_default(),
        }
    }

    /// Returns the value of an element that has never been set.
    pub(super) fn decode_default(&self) -> Result<T> {
        T::decode(&mut Decoder::from_words(&self.default_words)).map_err(|error| self.handle.data_error(error))
    }

    /// Sets an element.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], [`Error::Full`], [`Error::NoSpace`], [`Error::TooLarge`], [`Error::ReadOnly`],
    /// [`Error::Deadlock`] in a group, [`Error::LockTimeout`] if a limit was set, [`Error::TooManyWriters`],
    /// [`Error::Corrupt`], [`Error::Forked`], [`Error::Io`].
    pub fn set<W>(&self, index: usize, value: &W) -> Result<()>
    where
        T: Borrow<W>,
        W: Encode + ?Sized,
    {
        const { assert!(!(T::ARRAY && W::SLICE), "an element that is an array is stored as an array, not as a slice") };
        self.handle.with_payload(value, |value| self.set_payload(index, value))
    }

    #[inline(always)]
    fn set_payload(&self, index: usize, value: Payload<'_>) -> Result<()> {
        let (index, wanted) = (index as u64, "set an element");
        if let Payload::Words(new) = value
            && let Some(()) = self.small_change(index, |old| (old.len() == new.len()).then_some((Some(new), ())))
        {
            return Ok(());
        }
        match (self.elements().dense(), value) {
            (Some(each), Payload::Words(words)) if words.len() as u64 == each => {
                self.handle.change_with(wanted, (self, index, words), |change, (array, index, words)| {
                    let spot = array.lock_inside(change, index)?;
                    directory::set_words(change, array.elements(), spot, &array.default_words, words)
                })
            }
            // Elsewhere it would be written over its neighbour.
            (Some(_), _) => Err(self.handle.unsteady()),
            (None, value) => self.handle.change(wanted, |change| {
                let spot = self.lock_inside(change, index)?;
                directory::set_record(change, self.elements(), spot, &self.default_words, value)
            }),
        }
    }

    /// Changes an element in a small transaction if possible: `new` returns the words to store, unless they stay the same, and
    /// the result.
    #[inline(always)]
    pub(super) fn small_change<W: AsRef<[u64]>, R>(
        &self,
        index: u64,
        new: impl FnOnce(&[AtomicU64]) -> Option<(Option<W>, R)>,
    ) -> Option<R> {
        self.elements().dense()?;
        let (store, spot) = (&*self.handle.store, self.spot(index));
        let find = |region| {
            if index < store.array_len() { directory::optimistic_element(region, self.elements(), spot) } else { None }
        };
        self.handle.small_change(spot.stripe, find, new)
    }

    /// Locks an element's stripe for writing, and returns where the element belongs; fails if it is out of bounds.
    #[inline(always)]
    fn lock_inside(&self, change: &mut Transaction<'_>, index: u64) -> Result<Spot> {
        let spot = self.spot(index);
        change.write_stripe(spot.stripe)?;
        Self::check_bounds(change.store(), index)?;
        Ok(spot)
    }

    /// Exchanges two elements, as one step.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set).
    pub fn swap(&self, i: usize, j: usize) -> Result<()> {
        self.handle.change("swap elements", |change| {
            let (a, b) = (self.lock_inside(change, i as u64)?, self.lock_inside(change, j as u64)?);
            directory::swap(change, self.elements(), a, b, &self.default_words)
        })
    }

    /// Locks an element for writing if reads are shared, so that reading and then setting it in a group cannot deadlock.
    pub(crate) fn lock(&self, index: usize) -> Result<()> {
        if !self.handle.store.shares_reads() {
            return Ok(());
        }
        let spot = self.spot(index as u64);
        self.handle.change("set an element", |change| change.write_stripe(spot.stripe))
    }

    /// Sets the length. Elements beyond it are dropped, so that growing again shows the default value.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    #[doc(alias = "append")]
    #[doc(alias = "grow")]
    #[doc(alias = "shrink")]
    pub fn resize(&self, length: usize) -> Result<()> {
        let length = length as u64;
        if length > MOST_ELEMENTS {
            return Err(Error::TooLarge { what: "an array", size: length, limit: MOST_ELEMENTS });
        }
        self.handle.change("resize it", |change| directory::resize(change, self.elements, &self.default_words, length))
    }

    /// Grows the array to a length, unless it is that long already; it never shrinks, whatever others do at the same time.
    pub(crate) fn grow_to(&self, length: usize) -> Result<()> {
        if self.len()? >= length {
            return Ok(());
        }
        self.handle.group_retry(|| {
            // For writing from the start: two that read the length first could wait for each other.
            self.handle.change("resize it", |change| change.write_all())?;
            if self.len()? < length { self.resize(length) } else { Ok(()) }
        })
    }

    /// Writes the object back to its storage, so that what it holds now survives a loss of power. Most of it is written
    /// beside writers; then it waits for changes under way, and others wait while the rest is written. Means something for
    /// mapped files only.
    ///
    /// If the power is lost after later changes, the object is checked when it is opened next. The check sees damage to what
    /// ties the object together, not which values are missing: where it finds none, each part changed since is there as it
    /// was at this call or at some time after it; a value longer than a page may be a mixture, and if a change was under way,
    /// an element may have another's value. After an error storage may lack pages that the system does not write again: keep a
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

    /// Checks the whole object, under all locks: every word that ties it together, and that all elements can be decoded.
    ///
    /// # Errors
    /// Those of [`HashTable::check`](crate::HashTable::check).
    #[doc(alias = "verify")]
    #[doc(alias = "fsck")]
    pub fn check(&self) -> Result<Report> {
        self.check_elements(&check::decodes::<T>)
    }

    /// Checks the array; the caller decides which words are a valid element.
    pub(crate) fn check_elements(&self, element: Decodes<'_>) -> Result<Report> {
        check::check(&self.handle, Contents::Directory { elements: self.elements, element })
    }

    /// Returns figures about the object.
    ///
    /// # Errors
    /// [`Error::Forked`], [`Error::Io`].
    #[doc(alias = "metrics")]
    pub fn stats(&self) -> Result<Stats> {
        stats::stats(&self.handle)
    }

    /// Returns the descriptor that the array was managed through.
    pub fn shm(&self) -> &Shm {
        &self.handle.shm
    }

    group_methods!(this => this.handle);

    own_group_methods!(this => this.handle);
}

#[cold]
pub(super) fn out_of_bounds(store: &Store, index: u64, length: u64) -> Error {
    Error::OutOfBounds { object: store.name(), index: index as usize, len: length as usize }
}

impl<T: DataManager> ManageOptions<Array<T>> {
    /// Views an object as an array with these options; see [`Array::manage`].
    ///
    /// # Errors
    /// Those of [`Array::manage`]; [`Error::InvalidOption`] for a value out of range; [`Error::InUse`] if it is to
    /// be recreated while others have it open.
    pub fn manage(self, shm: Shm, default: T) -> Result<Array<T>> {
        let element = Element { fixed: T::FIXED, keeps_rest: T::KEEPS_REST, decodes: &check::decodes::<T> };
        Array::open(shm, &Array::<T>::schema(), element, default, self.shape, self.limits)
    }
}

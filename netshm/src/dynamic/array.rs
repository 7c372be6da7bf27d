//! Arrays by their stored schema.

use std::ops::{Range, RangeBounds};
use std::sync::{Arc, Mutex, PoisonError};

use super::iter::DynElements;
use super::plan::Plan;
use super::row::{self, Row};
use super::value::Value;
use super::version::NO_VERSION;
use crate::array::{Array, Element};
use crate::check::Report;
use crate::data::ObjectSchema;
use crate::error::Result;
use crate::handle::group_methods;
use crate::options::ManageOptions;
use crate::shm::Shm;
use crate::stats::Stats;
use crate::store::Limits;
use crate::store::open::{Shape, abandon};

/// An [`Array`] whose type is known at run time only: the one that the object itself describes.
///
/// The verbs are those of [`Array`], with a [`Value`] for every element.
///
/// ```
/// use netshm::dynamic::{DynArray, Value};
/// use netshm::{Array, Locking, Shm};
///
/// let shm = Shm::create_unique("posix:/dynamic.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let typed: Array<Option<f64>> = Array::manage(shm, None, Locking::Futex)?;
/// typed.resize(10)?;
/// typed.set(3, &Some(1.5))?;
///
/// let array = DynArray::open(Shm::open(typed.shm().name())?)?;
/// assert_eq!(array.schema().to_string(), "Array<Option<f64>>");
/// assert_eq!(array.get(3)?, Value::from(Some(1.5)));
/// assert_eq!(array.get(4)?, Value::None);
/// array.set(4, &Value::from(Some(2.5)))?;
/// assert_eq!(typed.get(4)?, Some(2.5));
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DynArray {
    pub(super) inner: Array<Row>,
    schema: ObjectSchema,
    /// The type of the elements, with the version of the stored schema that it was made of.
    element: Arc<Mutex<(u64, Arc<Plan>)>>,
}

impl DynArray {
    /// Views an object as the array that it is, with the locking method that it has.
    ///
    /// # Errors
    /// [`Error::SchemaMismatch`](crate::Error::SchemaMismatch) if it is not an array, or if a hand-written manager stores its
    /// elements in another way than the type that it describes itself as; those of [`Shm::describe`].
    pub fn open(shm: Shm) -> Result<Self> {
        Self::open_named(shm, None)
    }

    /// Views a member of an object that has a name as the array that it is.
    ///
    /// # Errors
    /// [`Error::NoMember`](crate::Error::NoMember), and those of [`open`](Self::open).
    pub fn open_member(shm: Shm, name: &str) -> Result<Self> {
        Self::open_named(shm, Some(name))
    }

    fn open_named(shm: Shm, name: Option<&str>) -> Result<Self> {
        let (stored, schema) = row::stored(&shm, name)?;
        let locking = Some(stored.header.locking);
        let shape = Shape { locking, name: name.map(str::to_owned), existing: true, ..Shape::default() };
        open(shm, schema, shape, Limits::default(), |_| Ok(Row(stored.default)))
    }

    /// Returns the options for managing an object as an array of a given type, which creates it if it is empty.
    pub fn options() -> ManageOptions<Self> {
        ManageOptions::default()
    }

    /// Returns the type of the elements.
    pub fn schema(&self) -> &ObjectSchema {
        &self.schema
    }

    /// Returns the type of the elements, as the object describes it now: a program of a newer type may have extended it.
    pub(super) fn element(&self) -> Result<Arc<Plan>> {
        let store = &self.inner.handle().store;
        let mut known = self.element.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != store.schema_version() {
            let (stored, version) = store.schema()?;
            if let Ok(ObjectSchema::Array { element }) = stored.parse() {
                *known = (version, Arc::new(row::plan(self.shm(), &element)?));
            }
        }
        Ok(known.1.clone())
    }

    pub(super) fn value_of(&self, row: &Row) -> Result<Value> {
        row::decode(self.shm(), &*self.element()?, row)
    }

    pub(super) fn row_of(&self, value: &Value) -> Result<Row> {
        row::encode(self.shm(), &*self.element()?, value)
    }

    /// Returns the number of elements.
    ///
    /// # Errors
    /// Those of [`Array::len`].
    #[doc(alias = "length")]
    #[doc(alias = "count")]
    pub fn len(&self) -> Result<usize> {
        self.inner.len()
    }

    /// Returns whether the array has no elements.
    ///
    /// # Errors
    /// Those of [`Array::len`].
    pub fn is_empty(&self) -> Result<bool> {
        self.inner.is_empty()
    }

    /// Returns the value that elements have until they are set.
    ///
    /// # Errors
    /// [`Error::Decode`](crate::Error::Decode) if the stored words are not of their type.
    pub fn default_value(&self) -> Result<Value> {
        self.value_of(self.inner.default_value())
    }

    /// Returns an element.
    ///
    /// # Errors
    /// [`Error::Decode`](crate::Error::Decode) if the stored words are not of their type, and those of [`Array::get`].
    pub fn get(&self, index: usize) -> Result<Value> {
        self.value_of(&self.inner.get(index)?)
    }

    /// Sets an element.
    ///
    /// # Errors
    /// [`Error::Unfit`](crate::Error::Unfit) if the value is not of the type, and those of [`Array::set`].
    pub fn set(&self, index: usize, value: &Value) -> Result<()> {
        self.inner.set(index, &self.row_of(value)?)
    }

    /// Replaces an element with what `change` makes of it, atomically, and returns the new one.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) and [`set`](Self::set).
    pub fn update(&self, index: usize, change: impl FnOnce(Value) -> Value) -> Result<Value> {
        self.inner.group(|| {
            self.inner.lock(index)?;
            let new = change(self.get(index)?);
            self.set(index, &new)?;
            Ok(new)
        })
    }

    /// Swaps two elements atomically.
    ///
    /// # Errors
    /// Those of [`Array::swap`].
    pub fn swap(&self, i: usize, j: usize) -> Result<()> {
        self.inner.swap(i, j)
    }

    /// Reads the elements of a range into a slice of the same length; see [`Array::read_range`].
    ///
    /// # Errors
    /// Those of [`Array::read_range`] and [`get`](Self::get).
    #[doc(alias = "copy_to_slice")]
    #[doc(alias = "get_range")]
    pub fn read_range(&self, range: impl RangeBounds<usize>, into: &mut [Value]) -> Result<()> {
        let length = into.len();
        let mut places = into.iter_mut();
        self.inner.read_each(&range, length, |row| {
            let value = self.value_of(&row)?;
            if let Some(place) = places.next() {
                *place = value;
            }
            Ok(())
        })
    }

    /// Returns the elements of many indices; see [`Array::get_many`].
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[doc(alias = "find_many")]
    pub fn get_many(&self, indices: impl IntoIterator<Item = usize>) -> Result<Vec<Value>> {
        self.inner.get_many(indices)?.iter().map(|row| self.value_of(row)).collect()
    }

    /// Sets the elements of a range to those of a slice of the same length, as one step; see [`Array::set_range`].
    ///
    /// # Errors
    /// Those of [`Array::set_range`] and [`set`](Self::set).
    #[doc(alias = "copy_from_slice")]
    #[doc(alias = "write_range")]
    pub fn set_range(&self, range: impl RangeBounds<usize>, values: &[Value]) -> Result<()> {
        let rows = values.iter().map(|value| self.row_of(value)).collect::<Result<Vec<_>>>()?;
        self.inner.set_range(range, &rows)
    }

    /// Sets all elements of a range to a value, as one step; see [`Array::fill`].
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn fill(&self, range: impl RangeBounds<usize>, value: &Value) -> Result<()> {
        self.inner.fill(range, &self.row_of(value)?)
    }

    /// Calls `visit` with the index and the value of each element, under a lock on the whole array; see [`Array::for_each`].
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[doc(alias = "iter")]
    pub fn for_each(&self, mut visit: impl FnMut(usize, Value)) -> Result<()> {
        self.try_for_each(|index, value| {
            visit(index, value);
            Ok::<(), crate::error::Error>(())
        })
    }

    /// Works like [`for_each`](Self::for_each), but stops at the first error of `visit` and returns it.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), and those of `visit`.
    pub fn try_for_each<E: From<crate::error::Error>>(
        &self,
        mut visit: impl FnMut(usize, Value) -> Result<(), E>,
    ) -> Result<(), E> {
        self.inner.try_for_each(|index, row| visit(index, self.value_of(&row)?))
    }

    /// Returns all elements, without a lock on the whole array; see [`Array::scan`]. After an element that cannot be decoded,
    /// which is an `Err` item, the others follow.
    #[doc(alias = "iter")]
    pub fn scan(&self) -> DynElements<'_> {
        DynElements::new(self, self.inner.scan())
    }

    /// Returns the ranges of elements that take memory; see [`Array::written`].
    ///
    /// # Errors
    /// Those of [`Array::written`].
    pub fn written(&self) -> Result<Vec<Range<usize>>> {
        self.inner.written()
    }

    /// Sets the length; see [`Array::resize`].
    ///
    /// # Errors
    /// Those of [`Array::resize`].
    pub fn resize(&self, length: usize) -> Result<()> {
        self.inner.resize(length)
    }

    /// Writes the object back to its storage; see [`Array::sync`].
    ///
    /// # Errors
    /// Those of [`Array::sync`].
    #[doc(alias = "flush")]
    #[doc(alias = "fsync")]
    #[doc(alias = "persist")]
    pub fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    /// Checks the whole object, and that all elements are of their type; see [`Array::check`].
    ///
    /// # Errors
    /// Those of [`Array::check`].
    #[doc(alias = "verify")]
    #[doc(alias = "fsck")]
    pub fn check(&self) -> Result<Report> {
        let plan = self.element()?;
        self.inner.check_elements(&|words| plan.decode(&row::copied(words)).map(drop))
    }

    /// Returns statistics about the object.
    ///
    /// # Errors
    /// Those of [`Array::stats`].
    #[doc(alias = "metrics")]
    pub fn stats(&self) -> Result<Stats> {
        self.inner.stats()
    }

    /// Returns the descriptor that the array was opened through.
    pub fn shm(&self) -> &Shm {
        self.inner.shm()
    }

    group_methods!(this => this.inner);
}

/// Iterates over all elements; see [`DynArray::scan`].
impl<'a> IntoIterator for &'a DynArray {
    type Item = Result<Value>;
    type IntoIter = DynElements<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.scan()
    }
}

fn open(
    shm: Shm,
    schema: ObjectSchema,
    shape: Shape,
    limits: Limits,
    default: impl FnOnce(&Plan) -> Result<Row>,
) -> Result<DynArray> {
    let ObjectSchema::Array { element: of } = &schema else {
        return Err(row::other_kind(&shm, schema.to_string(), "an array"));
    };
    let element = row::plan(&shm, of)?;
    let default = default(&element)?;
    let stored = Element {
        // Rows are encoded by the newest type.
        keeps_rest: true,
        fixed: of.fixed_words().and_then(|words| usize::try_from(words).ok()),
        decodes: &|words| element.decode(&row::copied(words)).map(drop),
    };
    let inner = Array::open(shm, &schema, stored, default, shape, limits)?;
    Ok(DynArray { inner, schema, element: Arc::new(Mutex::new((NO_VERSION, Arc::new(element)))) })
}

impl ManageOptions<DynArray> {
    /// Views an object as an array of the given type, with these options. An empty object becomes one; one that exists must
    /// be of this very type and have this default value.
    ///
    /// # Errors
    /// Those of [`Array::manage`] and of its options; [`Error::Unfit`](crate::Error::Unfit) if the default value is not of
    /// the type; [`Error::SchemaMismatch`](crate::Error::SchemaMismatch) if the schema is that of a table.
    pub fn manage(self, shm: Shm, schema: ObjectSchema, default: &Value) -> Result<DynArray> {
        let name = shm.object().name().clone();
        let opened = open(shm.clone(), schema, self.shape, self.limits, |plan| {
            plan.encode(default).map(Row).map_err(|unfit| crate::error::Error::Unfit { object: name, unfit })
        });
        opened.inspect_err(|_| abandon(&shm))
    }
}

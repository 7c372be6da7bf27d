//! Arrays by their stored schema.

use std::sync::Arc;

use super::plan::Plan;
use super::row::{self, Row};
use super::value::Value;
use crate::array::{Array, Element};
use crate::check::Report;
use crate::data::ObjectSchema;
use crate::group::GroupError;
use crate::options::ManageOptions;
use crate::stats::Stats;
use crate::store::Limits;
use crate::store::create::Shape;
use crate::{Result, Shm};

/// An [`Array`] whose type is known at run time only: the one that the object itself tells.
///
/// The verbs are those of [`Array`], with a [`Value`] for every element.
///
/// ```
/// use netshm::dynamic::{DynArray, Value};
/// use netshm::{Array, Locking, Shm};
///
/// let shm = Shm::create_unique(&"posix:/dynamic.XXXXXX".parse()?, 0o600)?;
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
    inner: Array<Row>,
    schema: ObjectSchema,
    element: Arc<Plan>,
}

impl DynArray {
    /// Views an object as the array that it is, with the locking method that it has.
    ///
    /// # Errors
    /// [`Error::SchemaMismatch`](crate::Error::SchemaMismatch) if it is none, or if a hand-written manager stores its
    /// elements in another way than the type that it describes itself as; those of [`Shm::describe`].
    pub fn open(shm: Shm) -> Result<Self> {
        let (stored, schema) = row::stored(&shm)?;
        let shape = Shape { locking: Some(stored.header.locking), ..Shape::default() };
        open(shm, schema, shape, Limits::default(), |_| Ok(Row(stored.default)))
    }

    /// Options for managing an object as an array of a given type, which creates it if it is empty.
    pub fn options() -> ManageOptions<Self> {
        ManageOptions::default()
    }

    /// Returns the type of the elements.
    pub fn schema(&self) -> &ObjectSchema {
        &self.schema
    }

    fn value_of(&self, row: &Row) -> Result<Value> {
        row::decode(self.shm(), &self.element, row)
    }

    /// Returns the number of elements.
    ///
    /// # Errors
    /// Those of [`Array::len`].
    #[doc(alias = "length")]
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
        self.inner.set(index, &row::encode(self.shm(), &self.element, value)?)
    }

    /// Replaces an element by what `change` makes of it, atomically, and returns the new one.
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
    pub fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    /// Checks the whole object, and that all elements are of their type; see [`Array::check`].
    ///
    /// # Errors
    /// Those of [`Array::check`].
    pub fn check(&self) -> Result<Report> {
        self.inner.check_elements(&|words| self.element.decode(&row::copied(words)).map(drop))
    }

    /// Returns statistics about the object.
    ///
    /// # Errors
    /// Those of [`Array::stats`].
    pub fn stats(&self) -> Result<Stats> {
        self.inner.stats()
    }

    /// Returns the descriptor that the array was opened through.
    pub fn shm(&self) -> &Shm {
        self.inner.shm()
    }

    /// Runs a group: what [`group!`](crate::group!) stands for.
    ///
    /// # Errors
    /// Any error of `body`, which rolls everything back, and the errors of locking.
    #[doc(alias = "transaction")]
    pub fn group<R, E: From<crate::Error>>(&self, body: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
        self.inner.group(body)
    }

    /// Runs a group, again and again as long as it ends in a deadlock; see [`Array::group_retry`].
    ///
    /// # Errors
    /// Any error of `body`, which rolls everything back, and the errors of locking.
    pub fn group_retry<R, E: GroupError>(&self, body: impl FnMut() -> Result<R, E>) -> Result<R, E> {
        self.inner.group_retry(body)
    }

    /// Runs a group as [`group_retry`](Self::group_retry) does, with at most `retries` repetitions: what `group!(retry(n) ..)` stands
    /// for.
    ///
    /// # Errors
    /// Those of [`group_retry`](Self::group_retry); the deadlock if the last attempt ended in one.
    pub fn group_retry_at_most<R, E: GroupError>(
        &self,
        retries: u64,
        body: impl FnMut() -> Result<R, E>,
    ) -> Result<R, E> {
        self.inner.group_retry_at_most(retries, body)
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
        fixed: of.fixed_words().and_then(|words| usize::try_from(words).ok()),
        decodes: &|words| element.decode(&row::copied(words)).map(drop),
    };
    let inner = Array::open(shm, &schema, stored, default, shape, limits)?;
    Ok(DynArray { inner, schema, element: Arc::new(element) })
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
        open(shm, schema, self.shape, self.limits, |plan| {
            plan.encode(default).map(Row).map_err(|unfit| crate::Error::Unfit { object: name, unfit })
        })
    }
}

//! Tables by their stored schema.

use std::sync::Arc;

use super::iter::{DynItems, DynKeys, DynValues};
use super::plan::Plan;
use super::row::{self, Row};
use super::value::Value;
use super::version::{Version, with_contents};
use crate::check::{self, Report};
use crate::data::ObjectSchema;
use crate::error::Result;
use crate::handle::group_methods;
use crate::hash_table::HashTable;
use crate::options::ManageOptions;
use crate::shm::Shm;
use crate::stats::Stats;
use crate::store::open::{Shape, abandon};

/// A [`HashTable`] or [`Table`](crate::Table) whose types are known at run time only: those that the object itself describes.
///
/// The verbs are those of [`HashTable`], whose documentation says more about them, with a [`Value`] for every key and
/// value. Programs that know the types can use the object at the same time.
///
/// A hand-written manager may refuse values of the type that it describes itself as, which nobody can know here, and a key
/// or value that it refuses is an error where the typed program meets it.
///
/// ```
/// use netshm::dynamic::{DynTable, Value};
/// use netshm::{HashTable, Locking, Shm};
///
/// let shm = Shm::create_unique("posix:/dynamic.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let typed: HashTable<String, (i64, bool)> = HashTable::manage(shm, Locking::Futex)?;
/// typed.add("one", &(1, true))?;
///
/// let table = DynTable::open(Shm::open(typed.shm().name())?)?;
/// assert_eq!(table.schema().to_string(), "HashTable<String, (i64, bool)>");
/// let two = Value::Tuple(vec![Value::from(2), Value::from(false)]);
/// table.add(&Value::from("two"), &two)?;
/// assert_eq!(typed.find("two")?, Some((2, false)));
/// for binding in table.scan() {
///     let (key, value) = binding?;
///     println!("{key:?}: {value:?}");
/// }
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
///
/// Where a program of a newer type extends the stored one meanwhile, the table reads and writes rows of the extended type from
/// then on.
#[derive(Debug, Clone)]
pub struct DynTable(Arc<Version>);

impl DynTable {
    /// Views an object as the table that it is, with the locking method that it has.
    ///
    /// # Errors
    /// [`Error::SchemaMismatch`](crate::Error::SchemaMismatch) if it is not a table, and those of [`Shm::describe`].
    pub fn open(shm: Shm) -> Result<Self> {
        Self::open_named(shm, None)
    }

    /// Views a member of an object that has a name as the table that it is.
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
        DynTable::options_of(shape).manage(shm, schema)
    }

    /// Returns the table as the object describes it now.
    fn current(&self) -> Result<&Version> {
        self.0.current()
    }

    fn options_of(shape: Shape) -> ManageOptions<Self> {
        let mut options = Self::options();
        options.shape = shape;
        options
    }

    /// Returns the options for managing an object as a table of given types, which creates it if it is empty.
    pub fn options() -> ManageOptions<Self> {
        ManageOptions::default()
    }

    /// Returns the types of the keys and values.
    pub fn schema(&self) -> &ObjectSchema {
        &self.0.last().schema
    }

    pub(super) fn inner(&self) -> &HashTable<Row, Row> {
        &self.0.inner
    }

    /// Returns the type of the values, as the object describes it now.
    pub(super) fn value_plan(&self) -> Result<&Plan> {
        self.current().map(|version| &version.value)
    }

    pub(super) fn value_row(&self, value: &Value) -> Result<Row> {
        self.current()?.row(value)
    }

    /// Changes the newest binding of a key.
    pub(super) fn replace_by(&self, key: &Row, value: &Value) -> Result<()> {
        let version = self.current()?;
        version.inner.replace(key, &version.row(value)?)
    }

    /// Encodes a key. (The types of keys do not change.)
    pub(super) fn key_row(&self, key: &Value) -> Result<Row> {
        row::encode(self.shm(), &self.0.key, key)
    }

    pub(super) fn key_of(&self, row: &Row) -> Result<Value> {
        row::decode(self.shm(), &self.0.key, row)
    }

    /// Decodes a value. The row has been read already, so the type is that of the row, or a newer one.
    pub(super) fn value_of(&self, row: &Row) -> Result<Value> {
        row::decode_row(self.shm(), &self.current()?.value, row)
    }

    /// Pushes a binding for the key, which hides the older ones.
    ///
    /// A struct may lack its last fields ([`Value::Missing`]) if they were added after rows had been written, which the stored
    /// schema marks (`hits?: u32`): so rows from before can be copied. Programs read such rows with their defaults.
    ///
    /// # Errors
    /// [`Error::Unfit`](crate::Error::Unfit) if a value is not of its type, and those of [`HashTable::add`].
    #[doc(alias = "insert")]
    #[doc(alias = "push")]
    pub fn add(&self, key: &Value, value: &Value) -> Result<()> {
        let version = self.current()?;
        version.inner.add(&self.key_row(key)?, &version.row(value)?)
    }

    /// Changes the newest binding of the key; adds one if there is none.
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    #[doc(alias = "insert")]
    #[doc(alias = "put")]
    #[doc(alias = "set")]
    #[doc(alias = "upsert")]
    pub fn replace(&self, key: &Value, value: &Value) -> Result<()> {
        self.replace_by(&self.key_row(key)?, value)
    }

    /// Adds a binding if the key has none, and returns whether it did.
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    #[doc(alias = "try_insert")]
    pub fn add_if_absent(&self, key: &Value, value: &Value) -> Result<bool> {
        let version = self.current()?;
        version.inner.add_if_absent(&self.key_row(key)?, &version.row(value)?)
    }

    /// Returns the value of the newest binding of the key.
    ///
    /// # Errors
    /// [`Error::Unfit`](crate::Error::Unfit) if the key is not of its type, [`Error::Decode`](crate::Error::Decode) if
    /// the stored words are not of theirs, and those of [`HashTable::find`].
    #[doc(alias = "get")]
    pub fn find(&self, key: &Value) -> Result<Option<Value>> {
        self.inner().find(&self.key_row(key)?)?.map(|row| self.value_of(&row)).transpose()
    }

    /// Returns the values of all bindings of the key, the newest first.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn find_all(&self, key: &Value) -> Result<Vec<Value>> {
        self.inner().find_all(&self.key_row(key)?)?.iter().map(|row| self.value_of(row)).collect()
    }

    /// Returns the newest bindings of many keys, in the order of the keys; see [`HashTable::find_many`].
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "get_many")]
    pub fn find_many<'k>(&self, keys: impl IntoIterator<Item = &'k Value>) -> Result<Vec<Option<Value>>> {
        let keys = keys.into_iter().map(|key| self.key_row(key)).collect::<Result<Vec<_>>>()?;
        let rows = self.inner().find_many(&keys)?;
        rows.into_iter().map(|row| row.map(|row| self.value_of(&row)).transpose()).collect()
    }

    /// Returns whether the key has a binding.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "contains_key")]
    #[doc(alias = "mem")]
    #[doc(alias = "exists")]
    pub fn contains(&self, key: &Value) -> Result<bool> {
        self.inner().contains(&self.key_row(key)?)
    }

    /// Adds many bindings; see [`HashTable::add_many`]. A pair that does not fit the types ends it.
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    #[doc(alias = "extend")]
    #[doc(alias = "insert_many")]
    #[doc(alias = "load")]
    pub fn add_many(&self, bindings: impl IntoIterator<Item = (Value, Value)>) -> Result<()> {
        let mut unfit = None;
        let rows = bindings.into_iter().map(|(key, value)| Ok((self.key_row(&key)?, self.value_row(&value)?)));
        self.inner().add_many(rows.map_while(|row| row.map_err(|error| unfit = Some(error)).ok()))?;
        unfit.map_or(Ok(()), Err)
    }

    /// Removes the newest binding of the key, and returns whether there was one. The removed value is given by [`pop`](Self::pop), unlike in
    /// [`std::collections::HashMap`].
    ///
    /// # Errors
    /// [`Error::Unfit`](crate::Error::Unfit) if the key is not of its type, and those of [`HashTable::remove`].
    #[doc(alias = "delete")]
    #[doc(alias = "retain")]
    pub fn remove(&self, key: &Value) -> Result<bool> {
        self.inner().remove(&self.key_row(key)?)
    }

    /// Removes the newest binding of the key and returns its value, as `remove` does in [`std::collections::HashMap`]. A value
    /// that cannot be decoded stays where it is.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove) and [`find`](Self::find).
    #[doc(alias = "take")]
    pub fn pop(&self, key: &Value) -> Result<Option<Value>> {
        self.inner().pop_with(&self.key_row(key)?, |row| self.value_of(&row))
    }

    /// Removes all bindings of the key, and returns their number.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove).
    pub fn remove_all(&self, key: &Value) -> Result<usize> {
        self.inner().remove_all(&self.key_row(key)?)
    }

    /// Returns the newest binding of the key; if there is none, adds the result of `make` and returns that. Nobody else can
    /// add one in between.
    ///
    /// # Errors
    /// Those of [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "entry")]
    #[doc(alias = "or_insert_with")]
    pub fn get_or_insert_with(&self, key: &Value, make: impl FnOnce() -> Value) -> Result<Value> {
        let row = self.key_row(key)?;
        if let Some(found) = self.inner().find(&row)? {
            return self.value_of(&found);
        }
        self.inner().locked(&row, || match self.inner().find(&row)? {
            Some(found) => self.value_of(&found),
            None => {
                let value = make();
                let version = self.current()?;
                version.inner.add(&row, &version.row(&value)?)?;
                Ok(value)
            }
        })
    }

    /// Replaces the newest binding of the key with what `change` makes of it, as one step; see [`HashTable::update`].
    ///
    /// # Errors
    /// Those of [`add`](Self::add) and [`find`](Self::find).
    #[doc(alias = "entry")]
    #[doc(alias = "and_modify")]
    pub fn update(&self, key: &Value, change: impl FnOnce(Option<Value>) -> Option<Value>) -> Result<Option<Value>> {
        self.inner().locked(&self.key_row(key)?, || {
            let new = change(self.find(key)?);
            match &new {
                Some(value) => self.replace(key, value)?,
                None => drop(self.remove(key)?),
            }
            Ok(new)
        })
    }

    /// Calls `visit` with each binding, under a lock on the whole table; see [`HashTable::for_each`].
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "iter")]
    pub fn for_each(&self, mut visit: impl FnMut(Value, Value)) -> Result<()> {
        self.try_for_each(|key, value| {
            visit(key, value);
            Ok::<(), crate::error::Error>(())
        })
    }

    /// Calls `visit` with each binding, as [`for_each`](Self::for_each) does, until it returns an error, which is passed on.
    ///
    /// # Errors
    /// Those of [`find`](Self::find), and those of `visit`.
    pub fn try_for_each<E: From<crate::error::Error>>(
        &self,
        mut visit: impl FnMut(Value, Value) -> Result<(), E>,
    ) -> Result<(), E> {
        self.inner().try_for_each(|key, value| visit(self.key_of(&key)?, self.value_of(&value)?))
    }

    /// Calls `visit` with each key once; see [`HashTable::for_each_key`].
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    #[doc(alias = "iter_keys")]
    pub fn for_each_key(&self, mut visit: impl FnMut(Value)) -> Result<()> {
        self.inner().try_for_each_key(|key| {
            visit(self.key_of(&key)?);
            Ok::<(), crate::error::Error>(())
        })
    }

    /// Folds all bindings; see [`HashTable::fold`].
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub fn fold<A>(&self, start: A, mut step: impl FnMut(A, Value, Value) -> A) -> Result<A> {
        let mut folded = Some(start);
        self.for_each(|key, value| folded = folded.take().map(|sofar| step(sofar, key, value)))?;
        Ok(folded.unwrap_or_else(|| unreachable!("always put back")))
    }

    /// Iterates over all bindings, without a lock on the whole table; see [`HashTable::scan`]. After a row that cannot be decoded, which is an
    /// `Err` item, the others follow.
    #[doc(alias = "iter")]
    pub fn scan(&self) -> DynItems<'_> {
        DynItems::new(self, self.inner().scan())
    }

    /// Iterates over the keys, each once, in the manner of [`scan`](Self::scan); see [`HashTable::keys`].
    pub fn keys(&self) -> DynKeys<'_> {
        DynKeys::new(self, self.inner().keys())
    }

    /// Iterates over the values of all bindings, in the manner of [`scan`](Self::scan); see [`HashTable::values`].
    pub fn values(&self) -> DynValues<'_> {
        DynValues::new(self, self.inner().values())
    }

    /// Returns the number of bindings, hidden ones included.
    ///
    /// # Errors
    /// Those of [`HashTable::len`].
    #[doc(alias = "length")]
    #[doc(alias = "count")]
    pub fn len(&self) -> Result<usize> {
        self.inner().len()
    }

    /// Returns whether the table has no binding.
    ///
    /// # Errors
    /// Those of [`HashTable::len`].
    pub fn is_empty(&self) -> Result<bool> {
        self.inner().is_empty()
    }

    /// Removes all bindings atomically.
    ///
    /// # Errors
    /// Those of [`HashTable::clear`].
    #[doc(alias = "drain")]
    pub fn clear(&self) -> Result<()> {
        self.inner().clear()
    }

    /// Writes the object back to its storage; see [`HashTable::sync`].
    ///
    /// # Errors
    /// Those of [`HashTable::sync`].
    #[doc(alias = "flush")]
    #[doc(alias = "fsync")]
    #[doc(alias = "persist")]
    pub fn sync(&self) -> Result<()> {
        self.inner().sync()
    }

    /// Checks the whole object, and that all keys and values are of their types; see [`HashTable::check`].
    ///
    /// # Errors
    /// Those of [`HashTable::check`].
    #[doc(alias = "verify")]
    #[doc(alias = "fsck")]
    pub fn check(&self) -> Result<Report> {
        let version = self.current()?;
        with_contents(&version.key, &version.value, |contents| check::check(version.inner.handle(), contents))
    }

    /// Returns statistics about the object.
    ///
    /// # Errors
    /// Those of [`HashTable::stats`].
    #[doc(alias = "metrics")]
    pub fn stats(&self) -> Result<Stats> {
        self.inner().stats()
    }

    /// Returns the descriptor that the table was opened through.
    pub fn shm(&self) -> &Shm {
        self.inner().shm()
    }

    group_methods!(this => this.inner());
}

/// Iterates over all bindings; see [`DynTable::scan`].
impl<'a> IntoIterator for &'a DynTable {
    type Item = Result<(Value, Value)>;
    type IntoIter = DynItems<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.scan()
    }
}

impl ManageOptions<DynTable> {
    /// Views an object as a table of the given types, with these options. An empty object becomes one; one that exists
    /// must be of these very types.
    ///
    /// ```
    /// use netshm::dynamic::{DynTable, Value};
    /// use netshm::{HashTable, Locking, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/made.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let schema = "HashTable<String, Vec<u64>>".parse().expect("a schema");
    /// let table = DynTable::options().locking(Locking::Futex).manage(shm, schema)?;
    /// table.add(&Value::from("a"), &Value::Seq(vec![Value::from(1), Value::from(2)]))?;
    ///
    /// let typed: HashTable<String, Vec<u64>> = HashTable::manage(Shm::open(table.shm().name())?, Locking::Futex)?;
    /// assert_eq!(typed.find("a")?, Some(vec![1, 2]));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`HashTable::manage`] and of its options; [`Error::SchemaMismatch`](crate::Error::SchemaMismatch) if the
    /// schema is that of an array.
    pub fn manage(self, shm: Shm, schema: ObjectSchema) -> Result<DynTable> {
        let opened = Version::manage(shm.clone(), schema, self.shape, self.limits);
        Ok(DynTable(Arc::new(opened.inspect_err(|_| abandon(&shm))?)))
    }
}

//! The trait of schemas.

use super::declaration::Declaration;
use super::field::Object;
use super::open::{At, Opener};
use super::place::Place;
use crate::check::Report;
use crate::error::Result;
use crate::name::ShmName;
use crate::stats::Stats;

/// A schema whose fields are all members of one object, so that a group can be made on it. The derive implements it where there is
/// `#[shm(object = "..")]`.
///
/// `R` is what the group results in; it says nothing.
#[diagnostic::on_unimplemented(
    message = "a group is one step on one object, and each field of `{Self}` has an object of its own",
    label = "not in one object",
    note = "put all fields into one object with `#[shm(object = \"/name\")]` in place of `prefix` or `dir`, or make the group on one of \
            the fields"
)]
pub trait InOneObject<R> {}

/// A struct whose fields are tables and arrays, opened as a whole. Implemented by `#[derive(ShmSchema)]`, which gives the
/// struct methods of the same names, so that only generic code needs the trait.
///
/// The first three methods are what the macro writes. By hand it would be
///
/// ```
/// use netshm::{Array, HashTable, Result};
/// use netshm::declare::{Declaration, Field, Object, Opener, Place, ShmSchema};
///
/// struct State {
///     hits: HashTable<String, u64>,
///     totals: Array<i64>,
/// }
///
/// impl ShmSchema for State {
///     fn declaration() -> Declaration {
///         Declaration::new("State", Place::posix("/by-hand"))
///             .entry(HashTable::<String, u64>::entry("hits"))
///             .entry(Array::<i64>::entry("totals").len(4).default_text("-1"))
///     }
///
///     fn open_fields(opener: &mut Opener) -> Result<Self> {
///         Ok(State { hits: Field::open(opener, ())?, totals: Field::open(opener, -1)? })
///     }
///
///     fn objects(&self) -> Vec<(&'static str, &dyn Object)> {
///         vec![("hits", &self.hits), ("totals", &self.totals)]
///     }
/// }
///
/// let here = State::at(format!("/by-hand.{}", std::process::id()));
/// let state = here.create()?;
/// # here.unlink()?;
/// assert_eq!(state.totals.get(3)?, -1);
/// # Ok::<(), netshm::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a schema of tables and arrays",
    label = "not a schema",
    note = "consider adding `#[derive(ShmSchema)]` and `#[shm(prefix = \"/name\")]` to `{Self}`"
)]
pub trait ShmSchema: Sized {
    /// Returns the declaration.
    fn declaration() -> Declaration;

    /// Opens the fields one after the other, in the order in which they were declared.
    ///
    /// # Errors
    /// Those of the fields.
    fn open_fields(opener: &mut Opener) -> Result<Self>;

    /// Returns the objects with the names of their fields.
    fn objects(&self) -> Vec<(&'static str, &dyn Object)>;

    /// Returns the schema in another place: below another prefix of POSIX shared memory, or in another directory. [`Place`]
    /// says what texts mean.
    fn at(place: impl Into<Place>) -> At<Self> {
        At::new(place.into())
    }

    /// Creates all objects. None of them may exist; when one does, or something else fails, those that have been created
    /// are removed again, unless others have begun to use them meanwhile. Fields that are `read_only` are opened, and must exist.
    ///
    /// # Errors
    /// Those of [`ShmOptions::open`](crate::ShmOptions::open) and of [`HashTable::manage`](crate::HashTable::manage), with
    /// the name of the object concerned.
    fn create() -> Result<Self> {
        At::new(Self::declaration().place).create()
    }

    /// Opens all objects, which must exist.
    ///
    /// # Errors
    /// Those of [`ShmOptions::open`](crate::ShmOptions::open) and of [`HashTable::manage`](crate::HashTable::manage), with
    /// the name of the object concerned.
    fn open() -> Result<Self> {
        At::new(Self::declaration().place).open()
    }

    /// Opens the objects that exist and creates the others. Fields that are `read_only` must exist. An array that is shorter
    /// than declared grows, a longer one stays as it is. If one fails, the objects that have been created are removed again, unless
    /// others use them or have stored something in them meanwhile; members that were added to an object that existed stay.
    ///
    /// # Errors
    /// Those of [`ShmOptions::open`](crate::ShmOptions::open) and of [`HashTable::manage`](crate::HashTable::manage), with
    /// the name of the object concerned.
    fn open_or_create() -> Result<Self> {
        At::new(Self::declaration().place).open_or_create()
    }

    /// Opens or creates all objects in another place: `at(place).open_or_create()`.
    ///
    /// # Errors
    /// Those of [`open_or_create`](Self::open_or_create), and [`Error::InvalidName`](crate::Error::InvalidName) if the
    /// place does not fit.
    fn open_in(place: impl Into<Place>) -> Result<Self> {
        Self::at(place).open_or_create()
    }

    /// Returns the fields and the names of their objects.
    ///
    /// # Panics
    /// If the declaration was written by hand and has an impossible name.
    fn names() -> Vec<(&'static str, ShmName)> {
        let declaration = Self::declaration();
        declaration.names(&declaration.place).expect("a schema declares names that are possible")
    }

    /// Deletes the names of all objects that exist, but for those of `read_only` fields, which belong to somebody else.
    /// Whoever has an object open keeps it.
    ///
    /// # Errors
    /// The first [`Error::Io`](crate::Error::Io); the other names are deleted nevertheless.
    fn unlink() -> Result<()> {
        At::<Self>::new(Self::declaration().place).unlink()
    }

    /// Checks all objects and returns a report for each field.
    ///
    /// # Errors
    /// Those of [`HashTable::check`](crate::HashTable::check). Damage is listed in the reports.
    fn check(&self) -> Result<Vec<(&'static str, Report)>> {
        self.objects().into_iter().map(|(field, object)| Ok((field, object.check()?))).collect()
    }

    /// Returns figures about the fields, by their names.
    ///
    /// # Errors
    /// Those of [`HashTable::stats`](crate::HashTable::stats).
    fn stats(&self) -> Result<Vec<(&'static str, Stats)>> {
        self.objects().into_iter().map(|(field, object)| Ok((field, object.stats()?))).collect()
    }

    /// Writes all objects back to their storage, one after the other.
    ///
    /// # Errors
    /// Those of [`HashTable::sync`](crate::HashTable::sync).
    fn sync(&self) -> Result<()> {
        if Self::declaration().in_one_object {
            // That of any field writes the whole object back.
            return self.objects().first().map_or(Ok(()), |(_, object)| object.sync());
        }
        self.objects().into_iter().try_for_each(|(_, object)| object.sync())
    }

    /// Describes the whole schema for a person to read: each object with its type, its name and its options, and what the comments in
    /// the program say about it.
    fn describe() -> String {
        let declaration = Self::declaration();
        declaration.describe(&declaration.place)
    }
}

//! The traits of the fields of a schema: tables and arrays.

use super::declaration::Entry;
use super::open::Opener;
use crate::array::Array;
use crate::check::Report;
use crate::data::{DataManager, ObjectSchema, Schema, ShmKey};
use crate::error::{Error, Result};
use crate::group::GroupError;
use crate::hash_table::HashTable;
use crate::options::ManageOptions;
use crate::shm::Shm;
use crate::stats::Stats;
use crate::table::Table;

mod sealed {
    pub trait Sealed {}
}

use sealed::Sealed;

/// An open table or array, of whatever type: what [`ShmSchema::objects`](super::ShmSchema::objects) returns.
///
/// ```
/// use netshm::{Array, Locking, Shm};
/// use netshm::declare::Object;
///
/// # let shm = Shm::create_unique("posix:/object.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let array: Array<u64> = Array::manage(shm, 0, Locking::Futex)?;
/// let object: &dyn Object = &array;
/// assert_eq!(object.shm().name(), &name);
/// assert!(object.check()?.is_clean());
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
pub trait Object: Sealed {
    /// Returns the descriptor that it was managed through, which knows its name.
    fn shm(&self) -> &Shm;

    /// Checks the whole object.
    ///
    /// # Errors
    /// Those of [`HashTable::check`].
    fn check(&self) -> Result<Report>;

    /// Returns statistics about the object.
    ///
    /// # Errors
    /// Those of [`HashTable::stats`].
    fn stats(&self) -> Result<Stats>;

    /// Writes the object back to its storage.
    ///
    /// # Errors
    /// Those of [`HashTable::sync`].
    fn sync(&self) -> Result<()>;
}

/// Types of fields of a schema: [`HashTable`], [`Array`] and [`Table`].
///
/// ```
/// use netshm::HashTable;
/// use netshm::declare::Field;
///
/// assert_eq!(HashTable::<String, u64>::schema().to_string(), "HashTable<String, u64>");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a schema",
    label = "neither a table nor an array",
    note = "the fields of `#[derive(ShmSchema)]` are `HashTable<K, V>`, `Array<T>` and `Table`",
    note = "a single value is a `HashTable` with one row, or an `Array` with one element; what is not shared belongs in another struct"
)]
// `Object` is not a supertrait: the compiler would list its bounds in error messages as well.
pub trait Field: Sized + Sealed {
    /// The argument for opening one: the default element of an array; `()` for a table.
    type Default;

    /// Returns the type as it is written in the object.
    fn schema() -> ObjectSchema;

    /// Begins the declaration of a field of this type.
    fn entry(field: &'static str) -> Entry<Self> {
        Entry::new(field)
    }

    /// Opens the field that comes next.
    ///
    /// # Errors
    /// Those of [`ShmOptions::open`](crate::ShmOptions::open) and of [`HashTable::manage`].
    ///
    /// # Panics
    /// If more fields are opened than are declared.
    fn open(opener: &mut Opener, default: Self::Default) -> Result<Self> {
        opener.next(default)
    }

    /// Returns the table or array, without its type.
    fn as_object(&self) -> &dyn Object;

    #[doc(hidden)]
    fn manage(options: ManageOptions<Self>, shm: Shm, default: Self::Default) -> Result<Self>;

    #[doc(hidden)]
    fn group<R, E: From<Error>>(&self, body: impl FnOnce() -> Result<R, E>) -> Result<R, E>;

    #[doc(hidden)]
    fn group_retry<R, E: GroupError>(&self, body: impl FnMut() -> Result<R, E>) -> Result<R, E>;

    #[doc(hidden)]
    fn group_retry_at_most<R, E: GroupError>(&self, retries: u64, body: impl FnMut() -> Result<R, E>) -> Result<R, E>;

    /// Makes an array longer, if it is shorter.
    #[doc(hidden)]
    fn grow(&self, _length: usize) -> Result<()> {
        Ok(())
    }
}

/// Fields with a length and a default: arrays.
///
/// ```
/// fn takes_arrays<T: netshm::declare::Elements>() {}
/// takes_arrays::<netshm::Array<u64>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has neither a length nor a default element",
    label = "`len` and `default` are for arrays",
    note = "remove the attribute, or make the field an `Array<T>`; for the expected number of keys of a table there is `init`"
)]
pub trait Elements: Field {}

/// Defaults of fields for which no `#[shm(default = ..)]` is given: those of [`Default`], and `()` for tables.
///
/// ```
/// use netshm::declare::ElementDefault;
///
/// assert_eq!(u64::element_default(), 0);
/// ```
#[diagnostic::on_unimplemented(
    message = "an array of `{Self}` needs a default element",
    label = "`{Self}` has no default",
    note = "say what an element shows before it is set: `#[shm(default = expression)]`, or implement `Default` for `{Self}`"
)]
pub trait ElementDefault {
    /// Returns the default.
    fn element_default() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> ElementDefault for T {
    fn element_default() -> T {
        T::default()
    }
}

/// The methods of [`Object`] are those of the type itself.
macro_rules! object {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> Object for $type {
            fn shm(&self) -> &Shm {
                <$type>::shm(self)
            }

            fn check(&self) -> Result<Report> {
                <$type>::check(self)
            }

            fn stats(&self) -> Result<Stats> {
                <$type>::stats(self)
            }

            fn sync(&self) -> Result<()> {
                <$type>::sync(self)
            }
        }
    };
}

impl<K, V> Sealed for HashTable<K, V> {}
impl<T> Sealed for Array<T> {}
impl Sealed for Table {}

object!([K: ShmKey, V: DataManager] HashTable<K, V>);
object!([T: DataManager] Array<T>);
object!([] Table);

/// The groups of [`Field`] are those of the type itself.
macro_rules! groups {
    () => {
        fn group<R, E: From<Error>>(&self, body: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
            Self::group(self, body)
        }

        fn group_retry<R, E: GroupError>(&self, body: impl FnMut() -> Result<R, E>) -> Result<R, E> {
            Self::group_retry(self, body)
        }

        fn group_retry_at_most<R, E: GroupError>(
            &self,
            retries: u64,
            body: impl FnMut() -> Result<R, E>,
        ) -> Result<R, E> {
            Self::group_retry_at_most(self, retries, body)
        }
    };
}

impl<K: ShmKey, V: DataManager> Field for HashTable<K, V> {
    type Default = ();

    fn schema() -> ObjectSchema {
        ObjectSchema::hash_table(Schema::of::<K>(), Schema::of::<V>())
    }

    fn manage(options: ManageOptions<Self>, shm: Shm, (): ()) -> Result<Self> {
        options.manage(shm)
    }

    fn as_object(&self) -> &dyn Object {
        self
    }

    groups!();
}

impl<T: DataManager> Field for Array<T> {
    type Default = T;

    fn schema() -> ObjectSchema {
        ObjectSchema::array(Schema::of_part::<T>())
    }

    fn manage(options: ManageOptions<Self>, shm: Shm, default: T) -> Result<Self> {
        options.manage(shm, default)
    }

    fn grow(&self, length: usize) -> Result<()> {
        self.grow_to(length)
    }

    fn as_object(&self) -> &dyn Object {
        self
    }

    groups!();
}

impl Field for Table {
    type Default = ();

    fn schema() -> ObjectSchema {
        ObjectSchema::Table
    }

    fn manage(options: ManageOptions<Self>, shm: Shm, (): ()) -> Result<Self> {
        options.manage(shm)
    }

    fn as_object(&self) -> &dyn Object {
        self
    }

    groups!();
}

impl<T: DataManager> Elements for Array<T> {}

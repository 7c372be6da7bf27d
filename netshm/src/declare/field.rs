//! What the fields of a schema have in common: tables and arrays.

use crate::data::{DataManager, ObjectSchema, Schema, ShmKey};
use crate::{Array, HashTable, ManageOptions, Report, Result, Shm, Stats, Table};

mod sealed {
    pub trait Sealed {}
}

use sealed::Sealed;

/// An open table or array, of whatever type: what [`ShmSchema::objects`](super::ShmSchema::objects) gives.
///
/// ```
/// use netshm::{Array, Locking, Shm};
/// use netshm::declare::Object;
///
/// # let shm = Shm::create_unique(&"posix:/object.XXXXXX".parse()?, 0o600)?;
/// # let name = shm.name().clone();
/// let array: Array<u64> = Array::manage(shm, 0, Locking::Futex)?;
/// let object: &dyn Object = &array;
/// assert_eq!(object.shm().name(), &name);
/// assert!(object.check()?.is_clean());
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
pub trait Object: Sealed {
    /// The descriptor that it was managed through, which knows its name.
    fn shm(&self) -> &Shm;

    /// Checks the whole object.
    ///
    /// # Errors
    /// Those of [`HashTable::check`].
    fn check(&self) -> Result<Report>;

    /// Figures about the object.
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

/// What can be a field of a schema: [`HashTable`], [`Array`] and [`Table`].
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
pub trait Field: Object + Sized {
    /// What is needed beside the options: the default of an array's elements.
    #[doc(hidden)]
    type Default;

    /// The type as it is written in the object.
    fn schema() -> ObjectSchema;

    #[doc(hidden)]
    fn manage(options: ManageOptions<Self>, shm: Shm, default: Self::Default) -> Result<Self>;

    /// Makes an array longer, if it is shorter.
    #[doc(hidden)]
    fn grow(&self, _length: usize) -> Result<()> {
        Ok(())
    }

    #[doc(hidden)]
    fn as_object(&self) -> &dyn Object;
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

/// Fields that need no `#[shm(default = ..)]`: tables, and arrays whose elements implement [`Default`].
///
/// ```
/// fn needs_no_default<T: netshm::declare::Undefaulted>() {}
/// needs_no_default::<netshm::Array<u64>>();
/// needs_no_default::<netshm::Table>();
/// ```
#[diagnostic::on_unimplemented(
    message = "the field of type `{Self}` needs a default element",
    label = "no default is given for the elements",
    note = "say what an element shows before it is set: `#[shm(default = expression)]`, or implement `Default` for the elements"
)]
pub trait Undefaulted: Field {
    #[doc(hidden)]
    fn undefaulted() -> Self::Default;
}

/// The methods of [`Object`] are those of the type itself.
macro_rules! object {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> Sealed for $type {}

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

object!([K: ShmKey, V: DataManager] HashTable<K, V>);
object!([T: DataManager] Array<T>);
object!([] Table);

impl<K: ShmKey, V: DataManager> Field for HashTable<K, V> {
    type Default = ();

    fn schema() -> ObjectSchema {
        ObjectSchema::HashTable { key: Schema::of::<K>(), value: Schema::of::<V>() }
    }

    fn manage(options: ManageOptions<Self>, shm: Shm, (): ()) -> Result<Self> {
        options.manage(shm)
    }

    fn as_object(&self) -> &dyn Object {
        self
    }
}

impl<T: DataManager> Field for Array<T> {
    type Default = T;

    fn schema() -> ObjectSchema {
        ObjectSchema::Array { element: Schema::of::<T>() }
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
}

impl<T: DataManager> Elements for Array<T> {}

impl<K: ShmKey, V: DataManager> Undefaulted for HashTable<K, V> {
    fn undefaulted() {}
}

impl<T: DataManager + Default> Undefaulted for Array<T> {
    fn undefaulted() -> T {
        T::default()
    }
}

impl Undefaulted for Table {
    fn undefaulted() {}
}

//! Rewriting an array into one of another type.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::migrate::{MemberMigration, migrate};
use super::rewrite::{ConvertWords, Progress, Rewriting};
use crate::array::Array;
use crate::data::{ObjectSchema, ShmData, from_words, to_words};
use crate::directory::Elements;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::options::ManageOptions;
use crate::shm::Shm;

/// An array that is rewritten, if need be, as it is managed; see [`ManageOptions::migrate_from`].
#[must_use = "nothing is migrated until `manage` is called"]
pub struct ArrayMigration<'a, T, Old> {
    options: ManageOptions<Array<T>>,
    old: ObjectSchema,
    convert: Box<ConvertWords<'a>>,
    progress: Box<Progress<'a>>,
    trims: bool,
    default: Option<T>,
    types: PhantomData<fn(Old)>,
}

impl<T, Old> fmt::Debug for ArrayMigration<'_, T, Old> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ArrayMigration");
        shown.field("options", &self.options).field("trims", &self.trims).finish_non_exhaustive()
    }
}

impl<T: ShmData> ManageOptions<Array<T>> {
    /// Manages an array whose stored type may be an older one that this type does not extend: then `convert` makes a new element of
    /// each old one. As with tables, all elements are rewritten in one step, and nobody may have the object open.
    ///
    /// Elements that have never been set are what `convert` makes of the old default value. They go on taking no memory if that is
    /// the new default value; otherwise all of them are written.
    ///
    /// ```
    /// use netshm::{Array, Shm};
    ///
    /// # let name = Shm::create_unique("posix:/migrate.XXXXXX", 0o600)?.name().clone();
    /// # let old: Array<u32> = Array::options().manage(Shm::open(&name)?, 0)?;
    /// # old.resize(1000)?;
    /// # old.set(7, &70)?;
    /// # drop(old);
    /// // It was an array of `u32`, of cents.
    /// let amounts: Array<(i64, String)> = Array::options()
    ///     .migrate_from(|cents: u32| (i64::from(cents), "EUR".to_owned()))
    ///     .progress(|done, all| println!("{done} of {all}"))
    ///     .manage(Shm::open(&name)?, (0, "EUR".to_owned()))?;
    /// assert_eq!(amounts.get(7)?, (70, "EUR".to_owned()));
    /// assert_eq!(amounts.len()?, 1000);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    #[doc(alias = "upgrade")]
    pub fn migrate_from<'a, Old: ShmData>(self, mut convert: impl FnMut(Old) -> T + 'a) -> ArrayMigration<'a, T, Old> {
        ArrayMigration {
            options: self,
            old: Array::<Old>::schema(),
            convert: Box::new(move |_, element| Ok([Vec::new(), to_words(&convert(from_words(element)?))?])),
            progress: Box::new(|_, _| {}),
            trims: false,
            default: None,
            types: PhantomData,
        }
    }
}

// The old type is asked for above only, so that one that cannot be stored is one error.
impl<'a, T: ShmData, Old> ArrayMigration<'a, T, Old> {
    /// Calls a function from time to time with the number of elements converted so far, and of all that have memory.
    pub fn progress(self, report: impl FnMut(u64, u64) + 'a) -> Self {
        ArrayMigration { progress: Box::new(report), ..self }
    }

    /// Sets whether what newer programs have added to the old type is dropped; see [`Migration::trim`](crate::Migration::trim).
    pub fn trim(self, trims: bool) -> Self {
        ArrayMigration { trims, ..self }
    }

    /// Sets the default value of the new array, if it is not what the old one becomes. For
    /// [`SchemaMigration::field`](crate::declare::SchemaMigration::field); to [`manage`](Self::manage) it is given.
    pub fn default_value(self, default: T) -> Self {
        ArrayMigration { default: Some(default), ..self }
    }

    /// Manages the object, which is rewritten if it has the old type.
    ///
    /// `convert` may not use the object: that is [`Error::Reentrant`]. If it panics, nothing has changed.
    ///
    /// # Errors
    /// Those of [`Array::manage`] and [`repair`](crate::repair); [`Error::InUse`] if somebody has an object of the old type open;
    /// [`Error::SchemaMismatch`] if the object is neither of the old type nor of the new one; [`Error::Corrupt`] if it is damaged.
    pub fn manage(self, shm: Shm, default: T) -> Result<Array<T>> {
        let options = self.options.clone();
        let name = shm.object().name().clone();
        let words = Handle::encode_alone(&name, &default)?;
        let MemberMigration { rewriting, progress } = self.default_value(default).into();
        migrate(shm, rewriting, progress, |shm| {
            let default = from_words(&words).map_err(|error| Error::decode(name.clone(), error))?;
            options.clone().manage(shm, default)
        })
    }
}

impl<'a, T: ShmData, Old> From<ArrayMigration<'a, T, Old>> for MemberMigration<'a> {
    fn from(migration: ArrayMigration<'a, T, Old>) -> Self {
        let ArrayMigration { options, old, convert, progress, trims, default, .. } = migration;
        // A default that cannot be encoded is noticed when it is to be used.
        let encode = |default| Handle::encode_alone(&Arc::from(""), &default).ok();
        let rewriting = Rewriting {
            member: options.shape.name,
            old,
            new: Array::<T>::schema(),
            trims,
            element_words: Elements::of(T::FIXED).dense().unwrap_or(0),
            default: default.and_then(encode),
            convert,
        };
        MemberMigration { rewriting, progress }
    }
}

//! Rewriting an object into one of another type.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;

use super::rewrite::{ConvertWords, Progress, Rewriting, rewrite};
use crate::data::{ObjectSchema, ShmData, ShmKey, from_words, row_of, to_words};
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::options::ManageOptions;
use crate::shm::Shm;

/// A table that is rewritten, if need be, as it is managed; see [`ManageOptions::migrate_from`].
#[must_use = "nothing is migrated until `manage` is called"]
pub struct Migration<'a, K, V, OldKey, Old> {
    options: ManageOptions<HashTable<K, V>>,
    old: ObjectSchema,
    convert: Box<ConvertWords<'a>>,
    progress: Box<Progress<'a>>,
    trims: bool,
    types: PhantomData<fn(OldKey, Old)>,
}

impl<K, V, OldKey, Old> fmt::Debug for Migration<'_, K, V, OldKey, Old> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration").field("options", &self.options).field("trims", &self.trims).finish_non_exhaustive()
    }
}

impl<K: ShmKey, V: ShmData> ManageOptions<HashTable<K, V>> {
    /// Manages a table whose stored type may be an older one that this type does not extend: then `convert` makes a new value of
    /// each old one, and keys are converted by `Into`. This is for what cannot be done in place: fields removed, or of other types.
    ///
    /// All rows are rewritten in one step: they are copied to a new object, which then takes over the name. Whatever interrupts it,
    /// the name stands for the object as it was, or for the new one. That takes room for both, and nobody may have the object open
    /// ([`Error::InUse`]); others that open it meanwhile wait. So a program can always ask for it when it starts: whichever process
    /// comes first migrates, and where the type is stored already, or there is no object yet, nothing is converted.
    ///
    /// ```
    /// use netshm::{HashTable, Shm, ShmData};
    ///
    /// mod before {
    ///     #[derive(netshm::ShmData)]
    ///     pub struct User { pub name: String, pub cents: u32 }
    /// }
    /// #[derive(ShmData, Debug, PartialEq)]
    /// struct User { first: String, last: String, cents: i64 }
    ///
    /// # let name = Shm::create_unique("posix:/migrate.XXXXXX", 0o600)?.name().clone();
    /// # let old: HashTable<u64, before::User> = HashTable::options().manage(Shm::open(&name)?)?;
    /// # old.add(&1, &before::User { name: "Ada Lovelace".to_owned(), cents: 7 })?;
    /// # drop(old);
    /// let users = HashTable::<u64, User>::options()
    ///     .migrate_from::<u64, before::User>(|old| {
    ///         let (first, last) = old.name.split_once(' ').unwrap_or((&old.name, ""));
    ///         User { first: first.to_owned(), last: last.to_owned(), cents: old.cents.into() }
    ///     })
    ///     .progress(|done, all| println!("{done} of {all}"))
    ///     .manage(Shm::open(&name)?)?;
    /// assert_eq!(users.find(&1)?.map(|user| user.last), Some("Lovelace".to_owned()));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    #[doc(alias = "upgrade")]
    pub fn migrate_from<'a, OldKey, Old>(
        self,
        mut convert: impl FnMut(Old) -> V + 'a,
    ) -> Migration<'a, K, V, OldKey, Old>
    where
        OldKey: ShmKey + Into<K>,
        Old: ShmData,
    {
        let convert_words = move |key: &[u64], value: &[u64]| {
            let old_key: OldKey = from_words(key)?;
            let value: Old = row_of(value)?;
            Ok([to_words(&old_key.into())?, to_words(&convert(value))?])
        };
        Migration {
            options: self,
            old: HashTable::<OldKey, Old>::schema(),
            convert: Box::new(convert_words),
            progress: Box::new(|_, _| {}),
            trims: false,
            types: PhantomData,
        }
    }
}

// The old types are asked for above only, so that one that cannot be stored is one error.
impl<'a, K: ShmKey, V: ShmData, OldKey, Old> Migration<'a, K, V, OldKey, Old> {
    /// Calls a function from time to time with the number of rows converted so far, and of all.
    pub fn progress(self, report: impl FnMut(u64, u64) + 'a) -> Self {
        Migration { progress: Box::new(report), ..self }
    }

    /// Drops what newer programs have added to the old type and `Old` does not know, if `trims` is true; otherwise that is
    /// [`Error::SchemaMismatch`]. This cuts a schema back that a program has extended by mistake:
    /// `migrate_from::<K, V>(|row| row).trim(true)`, with the type that it is to have, which is what [`Shm::trim_schema`] does.
    pub fn trim(self, trims: bool) -> Self {
        Migration { trims, ..self }
    }

    /// Manages the object, which is rewritten if it has the old type.
    ///
    /// `convert` may not use the object: that is [`Error::Reentrant`]. If it panics, nothing has changed.
    ///
    /// # Errors
    /// Those of [`HashTable::manage`] and [`repair`](crate::repair); [`Error::InUse`] if somebody has an object of the old type open;
    /// [`Error::SchemaMismatch`] if the object is neither of the old type nor of the new one; [`Error::Corrupt`] if it is damaged.
    pub fn manage(self, shm: Shm) -> Result<HashTable<K, V>> {
        let options = self.options.clone();
        let MemberMigration { rewriting, progress } = self.into();
        migrate(shm, rewriting, progress, |shm| options.clone().manage(shm))
    }
}

impl<'a, K: ShmKey, V: ShmData, OldKey, Old> From<Migration<'a, K, V, OldKey, Old>> for MemberMigration<'a> {
    fn from(migration: Migration<'a, K, V, OldKey, Old>) -> Self {
        let Migration { options, old, convert, progress, trims, .. } = migration;
        let rewriting = Rewriting {
            member: options.shape.name,
            old,
            new: HashTable::<K, V>::schema(),
            trims,
            element_words: 0,
            default: None,
            convert,
        };
        MemberMigration { rewriting, progress }
    }
}

/// Migration of a table or an array: a [`Migration`] or an [`ArrayMigration`](crate::ArrayMigration), for
/// [`SchemaMigration::field`](crate::declare::SchemaMigration::field).
pub struct MemberMigration<'a> {
    pub(crate) rewriting: Rewriting<'a>,
    pub(super) progress: Box<Progress<'a>>,
}

impl fmt::Debug for MemberMigration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rewriting { old, new, .. } = &self.rewriting;
        f.debug_struct("MemberMigration").field("old", old).field("new", new).finish_non_exhaustive()
    }
}

/// Manages an object, which is rewritten before if it has to be.
pub(super) fn migrate<'a, T>(
    shm: Shm,
    rewriting: Rewriting<'a>,
    progress: Box<Progress<'a>>,
    manage: impl Fn(Shm) -> Result<T>,
) -> Result<T> {
    let try_manage = |rewriting: &Rewriting<'_>, shm: &Shm| {
        if rewriting.trims && rewriting.is_needed_now(shm).is_ok_and(|needed| needed) {
            return Ok(None);
        }
        match manage(shm.clone()) {
            Err(Error::SchemaMismatch { .. }) => Ok(None),
            outcome => outcome.map(Some),
        }
    };
    if let Some(managed) = try_manage(&rewriting, &shm)? {
        return Ok(managed);
    }
    let state = RefCell::new((rewriting, progress));
    let rewritten = shm.clone().current(|shm| {
        let (rewriting, progress) = &mut *state.borrow_mut();
        rewrite(&mut [(shm, std::slice::from_mut(rewriting))], progress, &mut |_| Ok(()))
    });
    match rewritten {
        Ok((shm, ())) => manage(shm),
        // Another process may have migrated it, and goes on with it.
        Err(in_use @ Error::InUse { .. }) => try_manage(&state.borrow().0, &shm)?.ok_or(in_use),
        Err(error) => Err(error),
    }
}

//! Rewriting an object into one of another type.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;

use super::{Repair, Target, Unfinished, save_member};
use crate::check;
use crate::data::{DataError, Relation, ShmData, ShmKey, difference, from_words, relation, row_of, to_words};
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::options::ManageOptions;
use crate::shm::Shm;
use crate::store::Limits;
use crate::store::open::Alone;

/// Rows between two reports of progress.
const REPORT_EACH: u64 = 256;

/// Makes the words of a new row of those of an old one.
pub(super) type Convert<'a> = &'a mut dyn FnMut(&[u64], &[u64]) -> Result<[Vec<u64>; 2]>;

/// A table that is rewritten, if need be, as it is managed; see [`ManageOptions::migrate_from`].
#[must_use = "nothing is migrated until `manage` is called"]
pub struct Migration<'a, K, V, OldKey, Old> {
    options: ManageOptions<HashTable<K, V>>,
    convert: Box<dyn FnMut(Old) -> V + 'a>,
    progress: Box<dyn FnMut(u64, u64) + 'a>,
    trims: bool,
    old: PhantomData<fn() -> OldKey>,
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
    pub fn migrate_from<'a, OldKey, Old>(self, convert: impl FnMut(Old) -> V + 'a) -> Migration<'a, K, V, OldKey, Old>
    where
        OldKey: ShmKey + Into<K>,
        Old: ShmData,
    {
        Migration {
            options: self,
            convert: Box::new(convert),
            progress: Box::new(|_, _| {}),
            trims: false,
            old: PhantomData,
        }
    }
}

impl<'a, K, V, OldKey, Old> Migration<'a, K, V, OldKey, Old>
where
    K: ShmKey,
    V: ShmData,
    OldKey: ShmKey + Into<K>,
    Old: ShmData,
{
    /// Calls a function from time to time with the number of rows converted so far, and of all.
    pub fn progress(self, report: impl FnMut(u64, u64) + 'a) -> Self {
        Migration { progress: Box::new(report), ..self }
    }

    /// Drops what newer programs have added to the old type and `Old` does not know, if `trims` is true; otherwise that is
    /// [`Error::SchemaMismatch`]. This cuts a schema back that a program has extended by mistake:
    /// `migrate_from::<K, V>(|row| row).trim(true)`, with the type that it is to have.
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
        if let Some(table) = self.try_manage(&shm)? {
            return Ok(table);
        }
        let this = RefCell::new(self);
        let rewritten = shm.clone().current(|shm| this.borrow_mut().rewrite(shm));
        let this = this.into_inner();
        match rewritten {
            Ok((shm, ())) => this.options.manage(shm),
            // Another process may have migrated it, and goes on with it.
            Err(in_use @ Error::InUse { .. }) => this.try_manage(&shm)?.ok_or(in_use),
            Err(error) => Err(error),
        }
    }

    /// Manages the object if it is not to be rewritten.
    fn try_manage(&self, shm: &Shm) -> Result<Option<HashTable<K, V>>> {
        if self.trims && self.is_extended(shm)? {
            return Ok(None);
        }
        match self.options.clone().manage(shm.clone()) {
            Err(Error::SchemaMismatch { .. }) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Returns whether the object has more than the old type.
    fn is_extended(&self, shm: &Shm) -> Result<bool> {
        match crate::store::open::stored(shm, self.options.shape.name.as_deref()) {
            Ok(stored) => Ok(matches!(
                relation(&HashTable::<OldKey, Old>::schema(), &stored.schema),
                Some(Relation::Newer | Relation::Older { is_newer_too: true, .. })
            )),
            // It is created, or the error is met again.
            Err(Error::NotNetshm { .. } | Error::NoMember { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rewrite(&mut self, shm: &Shm) -> Result<()> {
        let object = shm.object();
        let alone = Alone::open(shm, "migrate it")?;
        let members = alone.members()?;
        let name = self.options.shape.name.clone().unwrap_or_default();
        let Some(own) = members.iter().find(|member| member.name == name) else {
            let members = members.iter().map(|member| member.name.clone()).collect();
            return Err(Error::NoMember { object: object.name().clone(), name, members });
        };
        let stored = own.schema(object)?;
        let (old, new) = (HashTable::<OldKey, Old>::schema(), HashTable::<K, V>::schema());
        match relation(&old, &stored) {
            Some(Relation::Same | Relation::Older { is_newer_too: false, .. }) => {}
            Some(_) if self.trims => {}
            // Another process was first.
            _ if relation(&new, &stored).is_some() => return Ok(()),
            _ => {
                let difference = difference(&stored, &old);
                let expected = old.to_string();
                return Err(Error::SchemaMismatch { object: object.name().clone(), stored, expected, difference });
            }
        }
        let before = check::inspect(&alone.store, None, None)?;
        if let Some(finding) = before.findings.first() {
            return Err(damaged(shm, finding.offset));
        }
        let (all, mut done) = (before.bindings, 0);
        let Self { convert, progress, .. } = self;
        let mut convert_row = |key: &[u64], value: &[u64]| {
            let words = alone.calling(|| {
                let old_key: OldKey = from_words(key)?;
                let value: Old = row_of(value)?;
                let words = [to_words(&old_key.into())?, to_words(&convert(value))?];
                if done % REPORT_EACH == 0 {
                    progress(done, all);
                }
                Ok::<_, DataError>(words)
            });
            done += 1;
            words.map_err(|error| Error::decode(object.name().clone(), error))
        };
        let target = Target::of(shm.name(), shm)?;
        let unfinished = Unfinished(Some(target.create()?));
        let Some(fresh) = &unfinished.0 else { unreachable!("taken at the end only") };
        let mut outcome = Repair { before, saved: 0, dropped: 0, found: 0 };
        let mut stores = Vec::new();
        for member in &members {
            let replacement = (member.id == own.id).then_some((&new, &mut convert_row as Convert<'_>));
            stores.push(save_member(&alone, shm, member, fresh, &mut outcome, replacement)?);
        }
        if outcome.dropped > 0 || outcome.found > 0 {
            return Err(damaged(shm, 0));
        }
        target.give_rights(fresh)?;
        stores[0].sync(Limits::default())?;
        unfinished.take_over(&target)?;
        alone.mark_replaced();
        alone.calling(|| progress(all, all));
        Ok(())
    }
}

fn damaged(shm: &Shm, offset: u64) -> Error {
    let what = "it cannot be migrated as it is; `repair` saves what is sound";
    Error::Corrupt { object: shm.object().name().clone(), offset, what }
}

//! Migrating the objects of a schema.

use std::fmt;
use std::io;

use super::declaration::Declared;
use super::open::At;
use super::schema::ShmSchema;
use crate::error::{Error, Result};
use crate::name::ShmName;
use crate::repair::{MemberMigration, Rewriting, rewrite};
use crate::shm::Shm;

/// Number of times that the objects are looked up again if others replace them.
const TRIES: u32 = 16;

/// A schema whose fields have changed their types; made by [`At::migrate`].
#[must_use = "nothing is migrated until `open_or_create` is called"]
pub struct SchemaMigration<'a, S> {
    at: At<S>,
    fields: Vec<(&'static str, Rewriting<'a>)>,
    progress: Box<dyn FnMut(u64, u64) + 'a>,
}

impl<S> fmt::Debug for SchemaMigration<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields.iter().map(|(field, _)| field).collect();
        f.debug_struct("SchemaMigration").field("at", &self.at).field("fields", &fields).finish_non_exhaustive()
    }
}

impl<S: ShmSchema> At<S> {
    /// Opens a schema whose stored types may be older ones that those of its fields do not extend. For each field that has changed,
    /// [`field`](SchemaMigration::field) tells how it becomes what it is now; other fields stay as they are, and new ones are
    /// created.
    ///
    /// Fields in one object (`#[shm(object = "..")]`) are rewritten in one step, all or none, whatever interrupts it. Of fields that are
    /// objects of their own, all are written before the first of them takes the place of the old one: what fails until then changes nothing;
    /// if the process is killed right then, some are the old ones and some the new ones, and the next start goes on.
    /// Nobody may have any of the objects open. A program can always ask for it when it starts.
    ///
    /// ```
    /// use netshm::{Array, HashTable, ShmSchema};
    ///
    /// mod before {
    ///     use netshm::{Array, HashTable, ShmSchema};
    ///     #[derive(ShmSchema)]
    ///     #[shm(object = "/app")]
    ///     pub struct State {
    ///         pub names: HashTable<u32, String>,
    ///         #[shm(len = 10)]
    ///         pub hits: Array<u32>,
    ///     }
    /// }
    ///
    /// #[derive(ShmSchema)]
    /// #[shm(object = "/app")]
    /// struct State {
    ///     names: HashTable<u32, Vec<String>>,
    ///     #[shm(len = 10)]
    ///     hits: Array<u64>,
    ///     further: HashTable<String, u64>,
    /// }
    ///
    /// let place = format!("/migrate.{}", std::process::id());
    /// # struct Gone<'a>(&'a str);
    /// # impl Drop for Gone<'_> { fn drop(&mut self) { let _ = State::at(self.0).unlink(); } }
    /// # let _gone = Gone(&place);
    /// let old = before::State::at(&place).create()?;
    /// old.names.add(&7, "Ada Lovelace")?;
    /// old.hits.set(3, &5)?;
    /// drop(old);
    ///
    /// let state = State::at(&place)
    ///     .migrate()
    ///     .field("names", HashTable::<u32, Vec<String>>::options().migrate_from::<u32, String>(|name| {
    ///         name.split(' ').map(str::to_owned).collect()
    ///     }))
    ///     .field("hits", Array::<u64>::options().migrate_from(|hits: u32| hits.into()))
    ///     .open_or_create()?;
    /// assert_eq!(state.names.find(&7)?, Some(vec!["Ada".to_owned(), "Lovelace".to_owned()]));
    /// assert_eq!(state.hits.get(3)?, 5);
    /// assert!(state.further.is_empty()?);
    /// # Ok::<(), netshm::Error>(())
    /// ```
    pub fn migrate<'a>(&self) -> SchemaMigration<'a, S> {
        SchemaMigration { at: self.clone(), fields: Vec::new(), progress: Box::new(|_, _| {}) }
    }
}

impl<'a, S: ShmSchema> SchemaMigration<'a, S> {
    /// Tells how a field becomes what it is now: `migration` is made by [`migrate_from`](crate::ManageOptions::migrate_from) of tables and
    /// arrays. (Its options and its `progress` do not count.) The default value of an array is what the old one becomes, or
    /// [`default_value`](crate::ArrayMigration::default_value); if it is not the declared one, nothing is migrated.
    pub fn field(mut self, field: &'static str, migration: impl Into<MemberMigration<'a>>) -> Self {
        self.fields.push((field, migration.into().rewriting));
        self
    }

    /// Calls a function from time to time with the number of rows and elements converted so far, and of all.
    pub fn progress(self, report: impl FnMut(u64, u64) + 'a) -> Self {
        SchemaMigration { progress: Box::new(report), ..self }
    }

    /// Opens the objects that exist, which are rewritten if they have the old types, and creates the others.
    ///
    /// # Errors
    /// Those of [`ShmSchema::open_or_create`] and [`repair`](crate::repair); [`Error::InvalidOption`] for a field that the schema does not
    /// have, or has with another type; [`Error::InUse`] if somebody has an object of an old type open; [`Error::SchemaMismatch`] if
    /// an object is neither of the old type nor of the new one; [`Error::Corrupt`] if one is damaged.
    pub fn open_or_create(mut self) -> Result<S> {
        let mut objects = self.objects()?;
        let mut tries = 0..TRIES;
        loop {
            match self.at.migrate_objects(&mut objects, &mut self.progress) {
                Err(Error::Replaced { .. }) if tries.next().is_some() => {}
                // Another process may have migrated them, and goes on with them.
                Err(in_use @ Error::InUse { .. }) => {
                    return match self.at.open_or_create() {
                        Err(Error::SchemaMismatch { .. }) => Err(in_use),
                        outcome => outcome,
                    };
                }
                outcome => return outcome.and_then(|()| self.at.open_or_create()),
            }
        }
    }

    /// Returns the objects, each with what is to become of its members.
    fn objects(&mut self) -> Result<Vec<Migrated<'a>>> {
        let entries = S::declaration().entries;
        let mut objects: Vec<Migrated<'a>> = Vec::new();
        for (field, mut rewriting) in std::mem::take(&mut self.fields) {
            let refuse =
                |reason: String| Err(Error::InvalidOption { option: "field", value: format!("{field:?}"), reason });
            let Some(entry) = entries.iter().find(|entry| entry.field == field) else {
                let known: Vec<_> = entries.iter().map(|entry| entry.field).collect();
                return refuse(format!("the schema has the fields {}", known.join(", ")));
            };
            let declared = (entry.schema)();
            if declared.to_string() != rewriting.new.to_string() {
                return refuse(format!("it is declared as {declared}, and would become {}", rewriting.new));
            }
            rewriting.member.clone_from(&entry.shape.name);
            let name = entry.name_in(self.at.place())?;
            match objects.iter_mut().find(|object| object.name == name) {
                Some(object) => object.rewritings.push(rewriting),
                None => objects.push(Migrated { name, entry: entry.clone(), rewritings: vec![rewriting] }),
            }
        }
        Ok(objects)
    }
}

/// An object of the schema.
struct Migrated<'a> {
    name: ShmName,
    entry: Declared,
    rewritings: Vec<Rewriting<'a>>,
}

impl<S: ShmSchema> At<S> {
    fn migrate_objects(&self, objects: &mut [Migrated<'_>], progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let mut found = Vec::new();
        for object in objects {
            match Shm::options().require_owner(object.entry.require_owner).open(&object.name) {
                Ok(shm) => found.push((shm, &mut object.rewritings)),
                // It is to be created.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut wanted = Vec::new();
        for (shm, rewritings) in &mut found {
            let mut is_needed = false;
            for rewriting in rewritings.iter() {
                is_needed |= rewriting.is_needed_now(shm)?;
            }
            if is_needed {
                wanted.push((&*shm, rewritings.as_mut_slice()));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        rewrite(&mut wanted, progress, &mut |names| {
            let new = |name: &ShmName| names.iter().find(|[old, _]| *old == name).map(|[_, new]| (*new).clone());
            let opened = self.open_or_create_as(|name| new(name).unwrap_or_else(|| name.clone()));
            opened.map(drop).map_err(|error| match error {
                Error::SchemaMismatch { object, stored, expected, difference } => {
                    let old =
                        names.iter().find(|[_, new]| new.to_string() == *object).map(|[old, _]| old.to_string().into());
                    Error::SchemaMismatch { object: old.unwrap_or(object), stored, expected, difference }
                }
                error => error,
            })
        })
    }
}

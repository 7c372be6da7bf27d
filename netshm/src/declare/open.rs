//! Opening the objects of a schema.

use std::fmt;
use std::io;
use std::marker::PhantomData;

use super::declaration::Declared;
use super::field::Field;
use super::place::Place;
use super::schema::ShmSchema;
use crate::error::{Error, Result};
use crate::name::ShmName;
use crate::shm::Shm;
use crate::store::open;

/// A schema in a certain place; made by [`ShmSchema::at`].
///
/// ```
/// use netshm::{HashTable, ShmSchema};
///
/// #[derive(ShmSchema)]
/// #[shm(prefix = "/myapp")]
/// struct State {
///     hits: HashTable<String, u64>,
/// }
///
/// let test = State::at(format!("/myapp-test.{}", std::process::id()));
/// assert!(test.open().is_err()); // nothing is there yet
/// let state = test.create()?;
/// state.hits.add("/", &1)?;
/// assert!(test.create().is_err()); // something is there already
/// assert_eq!(test.open()?.hits.find("/")?, Some(1));
/// test.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[must_use = "nothing is opened until `open`, `create` or `open_or_create` is called"]
pub struct At<S> {
    place: Place,
    schema: PhantomData<fn() -> S>,
}

impl<S> Clone for At<S> {
    fn clone(&self) -> Self {
        At { place: self.place.clone(), schema: PhantomData }
    }
}

impl<S> fmt::Debug for At<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("At").field(&self.place).finish()
    }
}

/// Which objects may or must exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Open,
    Create,
    OpenOrCreate,
}

impl<S: ShmSchema> At<S> {
    pub(super) fn new(place: Place) -> Self {
        At { place, schema: PhantomData }
    }

    /// Returns the place.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Creates all objects; see [`ShmSchema::create`].
    ///
    /// # Errors
    /// Those of [`ShmSchema::create`], and [`Error::InvalidName`] if the place does not fit.
    pub fn create(&self) -> Result<S> {
        self.run(How::Create)
    }

    /// Opens all objects, which must exist; see [`ShmSchema::open`].
    ///
    /// # Errors
    /// Those of [`ShmSchema::open`], and [`Error::InvalidName`] if the place does not fit.
    pub fn open(&self) -> Result<S> {
        self.run(How::Open)
    }

    /// Opens the objects that exist and creates the others; see [`ShmSchema::open_or_create`].
    ///
    /// # Errors
    /// Those of [`ShmSchema::open_or_create`], and [`Error::InvalidName`] if the place does not fit.
    pub fn open_or_create(&self) -> Result<S> {
        self.run(How::OpenOrCreate)
    }

    /// Returns the fields and the names of their objects.
    ///
    /// # Errors
    /// [`Error::InvalidName`] if the place does not fit.
    pub fn names(&self) -> Result<Vec<(&'static str, ShmName)>> {
        S::declaration().names(&self.place)
    }

    /// Deletes the names of all objects that exist; see [`ShmSchema::unlink`].
    ///
    /// # Errors
    /// Those of [`ShmSchema::unlink`], and [`Error::InvalidName`] if the place does not fit.
    pub fn unlink(&self) -> Result<()> {
        let mut outcome = Ok(());
        for entry in S::declaration().entries.iter().filter(|entry| !entry.read_only) {
            match entry.name_in(&self.place).and_then(|name| name.unlink()) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                other => outcome = outcome.and(other),
            }
        }
        outcome
    }

    /// Describes the whole schema; see [`ShmSchema::describe`].
    #[must_use]
    pub fn describe(&self) -> String {
        S::declaration().describe(&self.place)
    }

    /// Opens or creates the objects under other names.
    pub(super) fn open_or_create_as(&self, rename: impl Fn(&ShmName) -> ShmName) -> Result<S> {
        self.run_as(How::OpenOrCreate, rename)
    }

    fn run(&self, how: How) -> Result<S> {
        self.run_as(how, ShmName::clone)
    }

    fn run_as(&self, how: How, rename: impl Fn(&ShmName) -> ShmName) -> Result<S> {
        let declaration = S::declaration();
        // All names, before anything is created.
        let names = declaration.names(&self.place)?;
        let objects =
            declaration.entries.into_iter().zip(names.iter().map(|(_, name)| rename(name))).collect::<Vec<_>>();
        let mut opener = Opener { objects: objects.into_iter(), how, created: Vec::new(), object: None };
        S::open_fields(&mut opener).inspect_err(|_| {
            let Opener { created, object, .. } = opener;
            drop(object);
            created.iter().for_each(open::uncreate);
        })
    }
}

/// Opens the fields of a schema, in the order of its declaration: each is opened by
/// [`Field::open`]. See [`ShmSchema`] for an example.
#[derive(Debug)]
pub struct Opener {
    objects: std::vec::IntoIter<(Declared, ShmName)>,
    how: How,
    /// Handles whose opening has created the object.
    created: Vec<Shm>,
    /// The one object of all fields.
    object: Option<Shm>,
}

impl Opener {
    pub(super) fn next<F: Field>(&mut self, default: F::Default) -> Result<F> {
        let (mut entry, name) = self.objects.next().expect("a schema opens the fields that it declares");
        let shm = match &self.object {
            Some(object) => object.clone(),
            None => self.descriptor(&entry, &name)?,
        };
        if entry.shape.name.is_some() {
            self.object.get_or_insert_with(|| shm.clone());
            entry.shape.existing = self.how == How::Open;
        }
        let field = F::manage(entry.options(), shm, default)?;
        if let Some(length) = entry.length {
            field.grow(length)?;
        }
        Ok(field)
    }

    fn descriptor(&mut self, entry: &Declared, name: &ShmName) -> Result<Shm> {
        let options = Shm::options().require_owner(entry.require_owner);
        if entry.read_only {
            return options.read_only(true).open(name);
        }
        let options = options.mode(entry.permissions());
        let shm = match self.how {
            How::Open => options.open(name),
            How::OpenOrCreate => options.create(true).open(name),
            How::Create => options.create_new(true).open(name),
        }?;
        if shm.created().is_some() {
            self.created.push(shm.clone());
        }
        Ok(shm)
    }
}

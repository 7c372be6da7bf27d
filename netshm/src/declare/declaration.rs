//! The contents of a declared schema.

use std::marker::PhantomData;
use std::time::Duration;

use super::field::{Elements, Field};
use super::place::Place;
use crate::data::ObjectSchema;
use crate::error::Result;
use crate::layout::method::Locking;
use crate::name::ShmName;
use crate::options::ManageOptions;
use crate::store::Limits;
use crate::store::open::Shape;

/// The default permission bits of objects: only the owner has access.
const DEFAULT_MODE: u32 = 0o600;

/// The contents of a declared schema: where its objects are, and an [`Entry`] for each.
///
/// `#[derive(ShmSchema)]` writes it, see [`ShmSchema::declaration`](super::ShmSchema::declaration); this is what it looks
/// like:
///
/// ```
/// use netshm::{HashTable, Locking};
/// use netshm::declare::{Declaration, Field, Place};
///
/// let declaration = Declaration::new("State", Place::posix("/myapp"))
///     .locking(Locking::Futex)
///     .entry(HashTable::<String, u64>::entry("hits").init(10_000));
/// assert_eq!(declaration.names(&Place::posix("/test"))?, [("hits", "posix:/test.hits".parse()?)]);
/// # Ok::<(), netshm::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a declaration opens nothing"]
pub struct Declaration {
    pub(super) name: &'static str,
    pub(super) docs: &'static str,
    pub(super) place: Place,
    pub(super) entries: Vec<Declared>,
    locking: Option<Locking>,
    mode: Option<u32>,
    lock_timeout: Option<Duration>,
    require_owner: bool,
    give_back_live: bool,
    /// True if all entries are members of one object, which the place is the name of.
    pub(super) in_one_object: bool,
    /// Of that object.
    shape: Shape,
}

/// An entry without its type.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) field: &'static str,
    pub(super) docs: &'static str,
    pub(super) name: Name,
    pub(super) schema: fn() -> ObjectSchema,
    pub(super) shape: Shape,
    pub(super) limits: Limits,
    mode: Option<u32>,
    pub(super) read_only: bool,
    pub(super) require_owner: bool,
    pub(super) length: Option<usize>,
    pub(super) default: Option<&'static str>,
}

/// The name of an entry's object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name {
    /// This, after the prefix or in the directory.
    Part(&'static str),
    /// A file; a relative path begins in the directory of the schema, if it has one.
    File(&'static str),
    /// A whole name, wherever the schema is; of POSIX shared memory if it begins with a slash.
    Whole(&'static str),
}

impl Declaration {
    /// Creates a schema of that name without any object.
    pub fn new(name: &'static str, place: Place) -> Declaration {
        Declaration {
            name,
            docs: "",
            place,
            entries: Vec::new(),
            locking: None,
            mode: None,
            lock_timeout: None,
            require_owner: false,
            give_back_live: false,
            in_one_object: false,
            shape: Shape::default(),
        }
    }

    /// Makes all entries members of one object. The place is its name: `/name`, or the path of a file.
    pub fn one_object(mut self) -> Self {
        self.in_one_object = true;
        self
    }

    /// Sets the number of slots of the one object.
    pub fn slots(mut self, slots: u32) -> Self {
        self.shape.slots = Some(slots);
        self
    }

    /// Sets the largest size of the one object.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.shape.max_size = Some(bytes);
        self
    }

    /// Sets the size of a page of the one object.
    pub fn pagesize(mut self, bytes: u64) -> Self {
        self.shape.pagesize = Some(bytes);
        self
    }

    /// Sets how many stripes the one object has room for; see [`ManageOptions::stripe_room`].
    pub fn stripe_room(mut self, stripes: u32) -> Self {
        self.shape.stripe_room = Some(stripes);
        self
    }

    /// Sets the documentation.
    pub fn docs(mut self, docs: &'static str) -> Self {
        self.docs = docs;
        self
    }

    /// Sets the locking method of all following entries that name none.
    pub fn locking(mut self, locking: Locking) -> Self {
        self.locking = Some(locking);
        self
    }

    /// Sets the permission bits of all following entries that name none; see [`ShmOptions::mode`](crate::ShmOptions::mode).
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Sets the lock timeout of all following entries that name none; see [`ManageOptions::lock_timeout`].
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = Some(timeout);
        self
    }

    /// Refuses objects of other users, and those that others may write to, for all entries that follow; see
    /// [`ShmOptions::require_owner`](crate::ShmOptions::require_owner).
    pub fn require_owner(mut self) -> Self {
        self.require_owner = true;
        self
    }

    /// Lets this process give memory back while others use the objects, for all entries that follow; see
    /// [`ManageOptions::give_back_live`].
    pub fn give_back_live(mut self) -> Self {
        self.give_back_live = true;
        self
    }

    /// Adds an object.
    pub fn entry<F>(mut self, entry: Entry<F>) -> Self {
        let mut declared = entry.declared;
        declared.shape.locking = declared.shape.locking.or(self.locking);
        declared.limits.lock_timeout = declared.limits.lock_timeout.or(self.lock_timeout);
        declared.mode = declared.mode.or(self.mode);
        declared.require_owner = self.require_owner;
        declared.shape.give_back_live |= self.give_back_live && !declared.read_only;
        if self.in_one_object {
            let member = match declared.name {
                Name::Part(name) | Name::File(name) | Name::Whole(name) => name,
            };
            declared.shape.name = Some(member.to_owned());
            declared.shape.slots = declared.shape.slots.or(self.shape.slots);
            declared.shape.max_size = declared.shape.max_size.or(self.shape.max_size);
            declared.shape.pagesize = declared.shape.pagesize.or(self.shape.pagesize);
            declared.shape.stripe_room = declared.shape.stripe_room.or(self.shape.stripe_room);
        }
        self.entries.push(declared);
        self
    }

    /// Returns the fields and the names of their objects, if the schema is in that place.
    ///
    /// # Errors
    /// [`Error::InvalidName`](crate::Error::InvalidName), if the place does not fit.
    pub fn names(&self, place: &Place) -> Result<Vec<(&'static str, ShmName)>> {
        self.entries.iter().map(|entry| Ok((entry.field, entry.name_in(place)?))).collect()
    }
}

impl Declared {
    pub(super) fn name_in(&self, place: &Place) -> Result<ShmName> {
        match self.name {
            _ if self.shape.name.is_some() => place.whole(),
            Name::Part(part) => place.name(part),
            Name::File(path) => place.file(path),
            Name::Whole(name) if name.starts_with('/') => ShmName::posix(name),
            Name::Whole(name) => name.parse(),
        }
    }

    /// Returns the permission bits of the object, if it is created.
    pub(super) fn permissions(&self) -> u32 {
        self.mode.unwrap_or(DEFAULT_MODE)
    }

    /// Returns the options to manage the object with.
    pub(super) fn options<F>(&self) -> ManageOptions<F> {
        let mut options = ManageOptions::default();
        options.shape = self.shape.clone();
        options.limits = self.limits;
        options
    }
}

/// Declaration of one object, which becomes a field of type `F`; begun by [`Field::entry`]. See [`Declaration`] for an example.
#[derive(Debug, Clone)]
#[must_use = "an entry opens nothing"]
pub struct Entry<F> {
    declared: Declared,
    of: PhantomData<fn() -> F>,
}

impl<F> Entry<F> {
    /// Declares an object that is named after its field.
    pub(super) fn new(field: &'static str) -> Self
    where
        F: Field,
    {
        let declared = Declared {
            field,
            docs: "",
            name: Name::Part(field),
            schema: F::schema,
            shape: Shape::default(),
            limits: Limits::default(),
            mode: None,
            require_owner: false,
            read_only: false,
            length: None,
            default: None,
        };
        Entry { declared, of: PhantomData }
    }

    /// Sets the documentation.
    pub fn docs(mut self, docs: &'static str) -> Self {
        self.declared.docs = docs;
        self
    }

    /// Sets another name: `posix:/name` or `file:path` is the whole name, which is the same wherever the schema is; so is
    /// `/name`, which stands for `posix:/name`. Anything else takes the place of the field's name behind the prefix, or
    /// in the directory.
    pub fn name(mut self, name: &'static str) -> Self {
        let whole = ["posix:", "file:", "/"].iter().any(|start| name.starts_with(start));
        self.declared.name = if whole { Name::Whole(name) } else { Name::Part(name) };
        self
    }

    /// Puts the object into a file. A relative path begins in the directory that the schema is in, and in the current directory if
    /// the schema is in POSIX shared memory.
    pub fn file(mut self, path: &'static str) -> Self {
        self.declared.name = Name::File(path);
        self
    }

    /// Requires that the object exists, and opens it for reading only.
    pub fn read_only(mut self) -> Self {
        self.declared.read_only = true;
        self
    }

    /// Sets the permission bits; see [`ShmOptions::mode`](crate::ShmOptions::mode).
    pub fn mode(mut self, mode: u32) -> Self {
        self.declared.mode = Some(mode);
        self
    }

    /// Sets the locking method; see [`ManageOptions::locking`].
    pub fn locking(mut self, locking: Locking) -> Self {
        self.declared.shape.locking = Some(locking);
        self
    }

    /// Sets the expected number of keys; see [`ManageOptions::init`].
    pub fn init(mut self, keys: u64) -> Self {
        self.declared.shape.init = Some(keys);
        self
    }

    /// Sets the page size; see [`ManageOptions::pagesize`].
    pub fn pagesize(mut self, bytes: u64) -> Self {
        self.declared.shape.pagesize = Some(bytes);
        self
    }

    /// Sets the maximum size; see [`ManageOptions::max_size`].
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.declared.shape.max_size = Some(bytes);
        self
    }

    /// Sets the number of stripes; see [`ManageOptions::stripes`].
    pub fn stripes(mut self, stripes: u32) -> Self {
        self.declared.shape.stripes = Some(stripes);
        self
    }

    /// Sets how many stripes the object has room for; see [`ManageOptions::stripe_room`].
    pub fn stripe_room(mut self, stripes: u32) -> Self {
        self.declared.shape.stripe_room = Some(stripes);
        self
    }

    /// Lets this process give memory back while others use the object; see [`ManageOptions::give_back_live`].
    pub fn give_back_live(mut self) -> Self {
        self.declared.shape.give_back_live = true;
        self
    }

    /// Sets the number of slots; see [`ManageOptions::slots`].
    pub fn slots(mut self, slots: u32) -> Self {
        self.declared.shape.slots = Some(slots);
        self
    }

    /// Sets the lock timeout; see [`ManageOptions::lock_timeout`].
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.declared.limits.lock_timeout = Some(timeout);
        self
    }

    /// Sets the minimum length of the array. A longer one stays as it is.
    pub fn len(mut self, length: usize) -> Self
    where
        F: Elements,
    {
        self.declared.length = Some(length);
        self
    }

    /// Sets the text of the default element in descriptions; the default itself is passed when the field is opened.
    pub fn default_text(mut self, default: &'static str) -> Self {
        self.declared.default = Some(default);
        self
    }
}

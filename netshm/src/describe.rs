//! The stored description of an object.

use std::fmt;

use crate::data::ObjectSchema;
use crate::error::{Error, Result};
use crate::layout::header::ObjectKind;
use crate::layout::method::Locking;
use crate::name::ShmName;
use crate::shm::Shm;
use crate::store::open::{self, Stored};

/// The description of an object, as [`Shm::describe`] returns it.
///
/// ```
/// use netshm::{HashTable, Locking, Shm};
///
/// let shm = Shm::create_unique("posix:/described.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let tab: HashTable<String, Vec<u64>> = HashTable::manage(shm, Locking::Futex)?;
/// let description = tab.shm().describe()?;
/// assert_eq!(description.schema.to_string(), "HashTable<String, Vec<u64>>");
/// assert_eq!(description.locking, Locking::Futex);
/// println!("{description}");
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The name by which the object is open.
    pub name: ShmName,
    /// Its kind, and the types of its contents.
    pub schema: ObjectSchema,
    /// The locking method.
    pub locking: Locking,
    /// Bytes in a page.
    pub pagesize: u64,
    /// Number of stripes: parts that can be written to at the same time.
    pub stripes: u32,
    /// Number of writers that there can be at the same time.
    pub slots: u32,
    /// The number of keys that were expected when it was created.
    pub init: u64,
    /// Its present size in bytes.
    pub size: u64,
    /// The size in bytes that it cannot exceed.
    pub max_size: u64,
}

/// The schema over several lines, then a line with the rest.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Description { name, schema, locking, pagesize, stripes, slots, init, size, max_size } = self;
        writeln!(f, "{name}: {schema:#}")?;
        write!(
            f,
            "Locking::{locking}, {size} bytes of at most {max_size}, pagesize {pagesize}, {stripes} stripes, {slots} slots, \
             init {init}"
        )
    }
}

impl Shm {
    /// Describes the object: its kind, the types of its contents, and how it was created. Any object can be asked, through any
    /// descriptor, without being managed. Waits while somebody creates the object. Of members that have names,
    /// [`members`](Self::members) says.
    ///
    /// # Errors
    /// [`Error::NotNetshm`] if it is not an object, or empty; [`Error::NoMember`] if all members have names; [`Error::UnsupportedVersion`], [`Error::Corrupt`],
    /// [`Error::Forked`], [`Error::Io`].
    #[doc(alias = "info")]
    pub fn describe(&self) -> Result<Description> {
        Description::of(self, &open::stored(self, None)?)
    }
}

impl Description {
    pub(crate) fn of(shm: &Shm, stored: &Stored) -> Result<Description> {
        let Stored { header, member, .. } = stored;
        Ok(Description {
            name: shm.name().clone(),
            schema: object_schema(shm, stored)?,
            locking: header.locking,
            pagesize: header.geometry.pagesize,
            stripes: member.geometry.stripes,
            slots: header.geometry.slots,
            init: member.geometry.init,
            size: shm.size()?,
            max_size: header.geometry.max_size,
        })
    }
}

/// Returns the stored schema as a tree.
pub(crate) fn object_schema(shm: &Shm, stored: &Stored) -> Result<ObjectSchema> {
    let corrupt = |what| Error::Corrupt {
        object: shm.object().name().clone(),
        offset: stored.member.geometry.part().schema_at().bytes(),
        what,
    };
    let schema: ObjectSchema = stored.schema.parse().map_err(|_| corrupt("the stored schema is damaged"))?;
    let kind = match schema {
        ObjectSchema::HashTable { .. } => ObjectKind::HashTable,
        ObjectSchema::Array { .. } => ObjectKind::Array,
        ObjectSchema::Table => ObjectKind::Table,
    };
    if kind == stored.member.kind { Ok(schema) } else { Err(corrupt("the schema is that of another kind of object")) }
}

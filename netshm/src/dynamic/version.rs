//! A dynamic table as the object describes it at one time: other programs may extend the stored types meanwhile.

use std::sync::OnceLock;

use super::plan::Plan;
use super::row::{self, Row};
use super::value::Value;
use crate::check::Contents;
use crate::data::{ObjectSchema, Relation, Schema, relation};
use crate::error::Result;
use crate::hash_table::HashTable;
use crate::layout::header::ObjectKind;
use crate::shm::Shm;
use crate::store::Limits;
use crate::store::open::Shape;

/// The table, as the object described it at one time.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) inner: HashTable<Row, Row>,
    pub(super) schema: ObjectSchema,
    pub(super) key: Plan,
    pub(super) value: Plan,
    name: Option<String>,
    limits: Limits,
    /// Number of times that the stored schema had been extended.
    number: u64,
    /// The version that has followed.
    next: OnceLock<Box<Version>>,
}

/// No schema has been extended so often.
pub(super) const NO_VERSION: u64 = u64::MAX;

impl Version {
    /// Views an object as a table of these types.
    pub(super) fn manage(shm: Shm, schema: ObjectSchema, shape: Shape, limits: Limits) -> Result<Version> {
        let (kind, key, value) = match &schema {
            ObjectSchema::HashTable { key, value } => {
                (ObjectKind::HashTable, row::plan(&shm, key)?, row::plan(&shm, value)?)
            }
            ObjectSchema::Table => {
                (ObjectKind::Table, row::plan(&shm, &Schema::of::<i32>())?, row::plan(&shm, &Schema::of::<Vec<i32>>())?)
            }
            ObjectSchema::Array { .. } => return Err(row::other_kind(&shm, schema.to_string(), "a table")),
        };
        let name = shape.name.clone();
        let inner =
            with_contents(&key, &value, |contents| HashTable::open(shm, kind, &schema, contents, shape, limits))?;
        // An object that existed says which fields were added later.
        let (stored, number) = inner.handle().store.schema()?;
        let (marked, number) = match relation(&schema, &stored) {
            Some(Relation::Same) => (stored.parse().ok(), number),
            Some(Relation::Older { text, is_newer_too: false }) => (text.parse().ok(), number),
            // The handle does not know all of it, so the first use makes another one.
            Some(Relation::Newer | Relation::Older { .. }) => (None, NO_VERSION),
            None => (None, number),
        };
        let value = match &marked {
            Some(ObjectSchema::HashTable { value, .. }) => row::plan(inner.shm(), value)?,
            _ => value,
        };
        Ok(Version { inner, schema, key, value, name, limits, number, next: OnceLock::new() })
    }

    pub(super) fn row(&self, value: &Value) -> Result<Row> {
        row::encode_row(self.inner.shm(), &self.value, value)
    }

    /// Returns the newest version.
    pub(super) fn current(&self) -> Result<&Version> {
        let mut version = self.last();
        while version.inner.handle().store.schema_version() != version.number {
            let next = version.again()?;
            // What is there is what another process has not committed yet.
            if next.number == version.number {
                break;
            }
            // Another thread may have been first.
            version = version.next.get_or_init(|| Box::new(next));
        }
        Ok(version)
    }

    /// Returns the newest version that has been looked up.
    pub(super) fn last(&self) -> &Version {
        let mut version = self;
        while let Some(next) = version.next.get() {
            version = next;
        }
        version
    }

    /// Returns the same table, as the object describes it now.
    #[cold]
    fn again(&self) -> Result<Version> {
        let store = &self.inner.handle().store;
        let (stored, number) = store.schema()?;
        let kind = store.kind();
        let Ok(schema @ ObjectSchema::HashTable { .. }) = stored.parse::<ObjectSchema>() else {
            return Err(row::other_kind(self.inner.shm(), stored, "a table"));
        };
        let ObjectSchema::HashTable { key, value } = &schema else { unreachable!("it is one") };
        let (key, value) = (row::plan(self.inner.shm(), key)?, row::plan(self.inner.shm(), value)?);
        let shape = Shape { name: self.name.clone(), existing: true, ..Shape::default() };
        let inner = with_contents(&key, &value, |contents| {
            HashTable::open(self.inner.shm().clone(), kind, &schema, contents, shape, self.limits)
        })?;
        let (name, limits) = (self.name.clone(), self.limits);
        Ok(Version { inner, schema, key, value, name, limits, number, next: OnceLock::new() })
    }
}

pub(super) fn with_contents<R>(key: &Plan, value: &Plan, f: impl FnOnce(Contents<'_>) -> R) -> R {
    f(Contents::Index {
        key: &|words| key.decode(&row::copied(words)).map(drop),
        value: &|words| value.decode_row(&row::copied(words)).map(drop),
    })
}

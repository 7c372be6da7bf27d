//! A member of an object, opened by its stored schema.

use netshm::data::{ObjectSchema, Schema};
use netshm::dynamic::{DynArray, DynTable};
use netshm::inspect::{Inspector, MemberState};
use netshm::{Shm, ShmName};

use crate::failure::Failure;

/// A table or an array.
pub(crate) enum Rows {
    Table(Box<DynTable>),
    Array(Box<DynArray>),
}

/// Access with which an object is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Returns the members of an object, without opening any.
pub(crate) fn members(name: &ShmName) -> Result<Vec<MemberState>, Failure> {
    Ok(Inspector::open(name)?.look()?.members)
}

/// Chooses a member: that of the name, or the only one.
pub(crate) fn choose(object: &ShmName, member: Option<&str>) -> Result<MemberState, Failure> {
    let mut members = members(object)?;
    let names = || members.iter().map(|member| shown(&member.name)).collect::<Vec<_>>().join(", ");
    let wanted = match member {
        Some(name) => members.iter().position(|member| member.name == name),
        None if members.len() == 1 => Some(0),
        None => members.iter().position(|member| member.name.is_empty()),
    };
    match (wanted, member) {
        (Some(index), _) => Ok(members.swap_remove(index)),
        (None, _) if members.is_empty() => {
            Err(Failure::with_tip(format!("{object}: has no members"), "`netshm create` adds one"))
        }
        (None, None) => Err(Failure::with_tip(
            format!("{object}: has several members: {}", names()),
            format!("choose one with `--member {}`", members[0].name),
        )),
        (None, Some(name)) => Err(Failure::message(format!("{object}: has no member {name:?}; it has: {}", names()))),
    }
}

/// Returns the name of a member in a message or a table.
pub(crate) fn shown(name: &str) -> String {
    if name.is_empty() { "(without a name)".to_owned() } else { crate::output::plain(name) }
}

impl Rows {
    /// Opens a member by the schema that is stored.
    pub(crate) fn open(object: &ShmName, member: Option<&str>, access: Access) -> Result<Rows, Failure> {
        let member = choose(object, member)?;
        let shm = Shm::options().read_only(access == Access::Read).open(object)?;
        Rows::of(shm, &member)
    }

    /// Opens a member of an open object.
    pub(crate) fn of(shm: Shm, member: &MemberState) -> Result<Rows, Failure> {
        let name = Some(member.name.as_str()).filter(|name| !name.is_empty());
        Ok(match (&member.schema, name) {
            (ObjectSchema::Array { .. }, Some(name)) => Rows::Array(Box::new(DynArray::open_member(shm, name)?)),
            (ObjectSchema::Array { .. }, None) => Rows::Array(Box::new(DynArray::open(shm)?)),
            (_, Some(name)) => Rows::Table(Box::new(DynTable::open_member(shm, name)?)),
            (_, None) => Rows::Table(Box::new(DynTable::open(shm)?)),
        })
    }

    /// Returns the types of its keys and its values.
    pub(crate) fn types(&self) -> (Option<Schema>, Schema) {
        types(match self {
            Rows::Table(table) => table.schema(),
            Rows::Array(array) => array.schema(),
        })
    }
}

/// Returns the types of keys and values.
pub(crate) fn types(schema: &ObjectSchema) -> (Option<Schema>, Schema) {
    match schema {
        ObjectSchema::HashTable { key, value } => (Some(key.clone()), value.clone()),
        ObjectSchema::Array { element } => (None, element.clone()),
        // The primitive table.
        _ => (Some(Schema::of::<i32>()), Schema::of::<Vec<i32>>()),
    }
}

//! Creating objects.

use clap::{Args, ValueEnum};
use netshm::ShmName;

use super::mode;
use crate::names;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LockingName {
    Futex,
    Record,
    None,
}

impl From<LockingName> for netshm::Locking {
    fn from(name: LockingName) -> netshm::Locking {
        match name {
            LockingName::Futex => netshm::Locking::Futex,
            LockingName::Record => netshm::Locking::Record,
            LockingName::None => netshm::Locking::None,
        }
    }
}

/// Creates an object, or adds members to one, from the text of a schema
///
/// The text is what `netshm schema` prints: `HashTable<KEY, VALUE>`, `Array<ELEMENT> = DEFAULT, len LENGTH`, or `Table` (the primitive
/// one, of integers). To create several members, write `NAME: TYPE` for each, one below the other. If creating a new object fails,
/// nothing is left of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm create users 'HashTable<String, u64>'
  netshm create stats 'Array<f64> = 1.5, len 100'
  netshm create app --member users 'HashTable<String, User { id: u64, name: String }>'
  netshm schema app | netshm create file:data/app --from -")]
pub(crate) struct Create {
    /// The object: posix:/NAME, file:PATH, a path with a slash, or a bare name for shared memory
    #[arg(value_name = "NAME", value_parser = names::new_parser())]
    pub(crate) name: ShmName,
    /// The types of its contents
    #[arg(value_name = "SCHEMA", conflicts_with = "from", required_unless_present = "from")]
    pub(crate) schema: Option<String>,
    /// Read the schema from a file; `-` stands for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<std::path::PathBuf>,
    /// The name of the member
    #[arg(long, short, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// The value that elements of an array have until they are set
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub(crate) default: Option<String>,
    /// The length of an array
    #[arg(long, value_name = "LENGTH")]
    pub(crate) len: Option<u64>,
    /// The permission bits of a new object
    #[arg(long, value_name = "OCTAL", default_value = "600", value_parser = mode)]
    pub(crate) mode: u32,
    /// The locking method of a new object
    #[arg(long, value_name = "METHOD")]
    pub(crate) locking: Option<LockingName>,
    /// The number of keys to expect
    #[arg(long, value_name = "COUNT")]
    pub(crate) init: Option<u64>,
    /// The number of stripes: parts that can be written to at the same time
    #[arg(long, value_name = "COUNT")]
    pub(crate) stripes: Option<u32>,
    /// The number of slots of a new object: how many threads can write at the same time
    #[arg(long, value_name = "COUNT")]
    pub(crate) slots: Option<u32>,
    /// The page size of a new object
    #[arg(long, value_name = "BYTES")]
    pub(crate) pagesize: Option<u64>,
    /// The size that a new object cannot exceed
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_size: Option<u64>,
}

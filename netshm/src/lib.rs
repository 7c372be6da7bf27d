#![doc = include_str!("tutorial.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

#[cfg_attr(doc, doc(hidden))]
pub mod __names {
    //! Not for use. The compiler calls a trait with two names by the one that it shares with nothing else: so its messages
    //! say `ShmData`, as the derive is called, and not `DataManager`.

    /// Nothing.
    #[derive(Debug)]
    pub enum DataManager {}
}
#[doc(hidden)]
pub mod __private;
pub mod error;
#[cfg(test)]
mod error_texts;
pub use error::{Error, Result};

// First: the documentation shows methods in the order of the source.
mod shm;

mod array;
mod check;
#[cfg(test)]
mod crash_tests;
#[cfg(feature = "damage")]
#[doc(hidden)]
pub mod damage;
pub mod data;
pub mod declare;
mod describe;
mod directory;
pub mod dynamic;
mod events;
mod group;
mod grouped;
pub mod guide;
mod handle;
mod hash_table;
mod heap;
mod index;
pub mod inspect;
mod journal;
mod layout;
mod locking;
mod log_word;
mod mark;
mod members;
mod name;
mod object_stats;
mod options;
mod os;
mod region;
mod repair;
mod sequence;
mod source;
mod stats;
mod store;
mod table;
#[cfg(test)]
mod testing;
mod unused;
mod upkeep;
mod watch;
mod watch_word;

// Before its other name: the compiler suggests the path that it finds first.
pub use data::{ShmData, ShmKey};

pub use array::Array;
pub use array::iter::Elements;
pub use check::{Finding, Report};
#[doc(no_inline)]
pub use data::DataManager;
pub use data::Rest;
pub use data::with;
#[doc(no_inline)]
pub use declare::ShmSchema;
pub use describe::Description;
pub use group::GroupError;
pub use grouped::Grouped;
pub use hash_table::{HashTable, Items, Keys, Values};
pub use layout::method::Locking;
pub use members::{Member, MemberKind};
pub use name::{IntoShmName, ShmName};
pub use netshm_derive::{ShmData, ShmKey, ShmSchema};
pub use object_stats::{MemberStats, ObjectStats};
pub use options::ManageOptions;
pub use repair::{ArrayMigration, MemberMigration, Migration, Repair, Trimmed, repair};
pub use shm::{Shm, ShmOptions};
pub use stats::Stats;
pub use table::{Block, BlockMut, Flow, Table};
pub use watch::Watch;

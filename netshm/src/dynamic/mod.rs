//! Reading and writing objects whose types are known at run time only.
//!
//! Every object says what it is ([`Shm::describe`](crate::Shm::describe)). By that alone [`DynTable`] and [`DynArray`] read
//! and write its contents, as [`Value`]s, beside programs that know the types:
//!
//! ```
//! use netshm::dynamic::{DynTable, Value};
//! use netshm::{HashTable, Locking, Shm, ShmData};
//!
//! #[derive(ShmData)]
//! struct Session {
//!     user: u64,
//!     languages: Vec<String>,
//! }
//!
//! # let shm = Shm::create_unique("posix:/sessions.XXXXXX", 0o600)?;
//! # let name = shm.name().clone();
//! # let sessions: HashTable<String, Session> = HashTable::manage(shm, Locking::Futex)?;
//! # sessions.add("cookie", &Session { user: 7, languages: vec!["en".to_owned()] })?;
//! // Another program, which knows nothing of sessions:
//! let table = DynTable::open(Shm::open(&name)?)?;
//! println!("{}", table.shm().describe()?);
//! let session = table.find(&Value::from("cookie"))?.expect("it is there");
//! assert_eq!(session.field("user"), Some(&Value::from(7u64)));
//! assert_eq!(session.field("languages"), Some(&Value::Seq(vec![Value::from("en")])));
//! # name.unlink()?;
//! # Ok::<(), netshm::Error>(())
//! ```
//!
//! With the feature `json` values become JSON and are made of it: `Value::to_json`, `Value::from_json`. The JSON is that of `serde_json`
//! for the same Rust type. An object's members are in the order of `serde_json::Map`, sorted by their names, unless the program enables
//! the feature `preserve_order` of `serde_json`: so an `IndexMap` whose keys are names loses its order through JSON without it.

/// Calls a generic function with the type that a [`Scalar`](crate::data::Scalar) stands for.
macro_rules! with_type {
    ($scalar:expr, $function:ident($($argument:expr),*)) => {
        match $scalar {
            Scalar::U8 => $function::<u8>($($argument),*),
            Scalar::U16 => $function::<u16>($($argument),*),
            Scalar::U32 => $function::<u32>($($argument),*),
            Scalar::U64 => $function::<u64>($($argument),*),
            Scalar::U128 => $function::<u128>($($argument),*),
            Scalar::Usize => $function::<usize>($($argument),*),
            Scalar::I8 => $function::<i8>($($argument),*),
            Scalar::I16 => $function::<i16>($($argument),*),
            Scalar::I32 => $function::<i32>($($argument),*),
            Scalar::I64 => $function::<i64>($($argument),*),
            Scalar::I128 => $function::<i128>($($argument),*),
            Scalar::Isize => $function::<isize>($($argument),*),
            Scalar::Bool => $function::<bool>($($argument),*),
            Scalar::Char => $function::<char>($($argument),*),
            Scalar::F32 => $function::<f32>($($argument),*),
            Scalar::F64 => $function::<f64>($($argument),*),
        }
    };
}

// First: the documentation shows methods in the order of the source.
mod array;
mod table;

mod atomic;
mod decode;
mod encode;
mod iter;
#[cfg(feature = "json")]
mod json;
mod order;
mod plan;
#[cfg(test)]
mod random_tests;
mod row;
#[cfg(test)]
mod tests;
mod value;
mod version;
mod watch;

pub use array::DynArray;
pub use iter::{DynElements, DynItems, DynKeys, DynValues};
pub(crate) use plan::Plan;
pub use table::DynTable;
pub use value::{Enum, FieldValues, Struct, Value};

pub use crate::data::unfit::Unfit;

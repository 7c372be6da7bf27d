//! Typed hash tables.

// First, so that the documentation begins with it.
mod operations;

mod atomic;
mod batch;
mod bulk;
mod encoded;
mod find;
mod iter;
mod load;
mod replace;
mod unstorable;
mod update;
mod view;
mod visit;
mod walker;

pub(crate) use encoded::form_of;
pub use iter::{Items, Keys, Values};
pub use operations::HashTable;

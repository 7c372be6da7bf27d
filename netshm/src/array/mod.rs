//! Arrays.

// First, so that the documentation begins with it.
mod operations;

mod atomic;
mod bulk;
pub(crate) mod iter;
mod run;
mod unstorable;
mod written;

pub use operations::Array;
pub(crate) use operations::Element;

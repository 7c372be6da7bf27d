//! Descriptors of shared objects: opening, creating, and one set of descriptors for each object and process.

mod descriptor;
mod object;
mod options;
mod registry;
#[cfg(test)]
mod tests;
mod unique;

pub use descriptor::Shm;
pub(crate) use object::Object;
pub use options::ShmOptions;

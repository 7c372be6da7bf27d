//! Descriptors of shared objects: opening, creating, and one set of descriptors for each object and process.

// First: the documentation shows methods in the order of the source.
mod options;
mod unique;

mod claims;
mod descriptor;
pub(crate) mod new_file;
mod object;
mod registry;
#[cfg(test)]
mod tests;
mod types;
mod unlink;

pub(crate) use claims::Claim;
pub use descriptor::Shm;
pub(crate) use new_file::NewFile;
pub(crate) use object::Object;
pub use options::ShmOptions;
pub(crate) use types::TypeClaim;
pub(crate) use unlink::is_anothers;

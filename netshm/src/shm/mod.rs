//! Descriptors of shared objects: opening, creating, and one set of descriptors for each object and process.

mod claims;
mod descriptor;
pub(crate) mod new_file;
mod object;
mod options;
mod registry;
#[cfg(test)]
mod tests;
mod types;
mod unique;
mod unlink;

pub(crate) use claims::Claim;
pub use descriptor::Shm;
pub(crate) use new_file::NewFile;
pub(crate) use object::Object;
pub use options::ShmOptions;
pub(crate) use types::TypeClaim;
pub(crate) use unlink::is_anothers;

//! Global names of shared objects.

/// The global name of a shared object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShmName(());

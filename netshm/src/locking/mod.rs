//! How writers keep out of each other's way.

use std::fmt;

/// How concurrent accesses to an object are kept apart; stored in the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Locking {
    /// Nothing protects writers from each other: for one writer, or readers only.
    #[doc(alias = "No_locking")]
    None,
    /// POSIX record locks (`fcntl`, the `lockf` family), with the kernel's deadlock detection.
    #[doc(alias = "Record_locking")]
    #[doc(alias = "lockf")]
    Record,
    /// A lock word in shared memory for each stripe, with waits in the kernel only under contention (Linux).
    Futex,
}

impl fmt::Display for Locking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Locking::None => "None",
            Locking::Record => "Record",
            Locking::Futex => "Futex",
        })
    }
}

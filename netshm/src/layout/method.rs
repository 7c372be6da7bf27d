//! The locking method of an object.

use std::fmt;

/// A way to keep concurrent accesses to an object apart; stored in the object.
///
/// Reads outside a group take no lock under any method: they notice a writer and read again.
#[doc(alias = "lock")]
#[doc(alias = "mutex")]
#[doc(alias = "rwlock")]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Locking {
    /// No locks: for a single writer, or readers only. A process that finds another writer at work waits for a second, and
    /// then gets [`Error::LockTimeout`](crate::Error::LockTimeout).
    #[doc(alias = "No_locking")]
    None,
    /// POSIX record locks (`fcntl`, the `lockf` family), with the kernel's deadlock detection.
    ///
    /// The locks belong to the process: one group at a time runs in a process, and a group may get a false
    /// [`Error::Deadlock`](crate::Error::Deadlock) when other threads of the process write too. The kernel follows about ten
    /// owners; longer rings of waiting processes are not noticed.
    #[doc(alias = "Record_locking")]
    #[doc(alias = "lockf")]
    Record,
    /// A lock word in shared memory for each stripe, with waits in the kernel only under contention (Linux).
    #[default]
    Futex,
}

impl Locking {
    /// Returns the number stored in the header.
    pub(crate) fn number(self) -> u64 {
        match self {
            Locking::None => 1,
            Locking::Record => 2,
            Locking::Futex => 3,
        }
    }

    /// Returns the method with the given number.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        [Locking::None, Locking::Record, Locking::Futex].into_iter().find(|method| method.number() == number)
    }
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

//! Groups that are ended on purpose.

use netshm::{Error, GroupError};

/// Why a group ends.
#[derive(Debug)]
pub enum Ends {
    /// By an error of the object.
    Store(Error),
    /// To see it undone.
    OnPurpose,
}

impl From<Error> for Ends {
    fn from(error: Error) -> Self {
        Ends::Store(error)
    }
}

impl GroupError for Ends {
    fn is_deadlock(&self) -> bool {
        matches!(self, Ends::Store(error) if error.is_deadlock())
    }
}

/// What comes of a group, or of a part of one.
pub type Outcome<T = ()> = Result<T, Ends>;

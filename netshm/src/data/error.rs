//! The error of managers.

use std::error::Error;
use std::fmt;

/// A value could not be encoded, or words could not be decoded. A [`DataManager`](super::DataManager) gives it; verbs
/// pass it on as [`Error::Decode`](crate::Error::Decode), with the object's name.
///
/// ```
/// use netshm::data::DataError;
///
/// let error = DataError::new("Percentage", "a number above 100");
/// assert_eq!(error.to_string(), "Percentage: a number above 100");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataError {
    pub(crate) type_name: &'static str,
    pub(crate) what: &'static str,
}

impl DataError {
    /// Creates an error: the words of a `type_name`, or a value of it, have the defect `what`.
    pub const fn new(type_name: &'static str, what: &'static str) -> Self {
        DataError { type_name, what }
    }

    /// Words must be copied before a hand-written manager sees them. Never leaves the library.
    pub(crate) const NEEDS_COPY: DataError = DataError::new("a hand-written manager", "needs a consistent copy");
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.type_name, self.what)
    }
}

impl Error for DataError {}

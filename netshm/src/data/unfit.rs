//! Values that are not of the type that is wanted.

use std::error::Error;
use std::fmt;

/// A [`Value`](crate::dynamic::Value), or what it is to be made of, does not fit the schema.
///
/// ```
/// use netshm::data::Schema;
/// use netshm::dynamic::Value;
///
/// let schema: Schema = "Point { x: u8, y: u8 }".parse()?;
/// let point = Value::structure("Point", [("x", Value::from(1)), ("y", Value::from(256))]);
/// assert_eq!(point.check(&schema).unwrap_err().to_string(), ".y: u8 expected, found an integer out of its range");
/// # Ok::<(), netshm::data::ParseSchemaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Path to the part of the value, outermost first; built up as the error is passed on.
    path: Vec<String>,
    what: String,
}

impl Unfit {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Unfit { path: Vec::new(), what: what.into() }
    }

    /// Creates the error for one kind of thing where another was expected.
    pub(crate) fn expected(expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::new(format!("{expected} expected, found {found}"))
    }

    /// Prefixes the path of the part with that of an enclosing one.
    pub(crate) fn inside(mut self, part: impl fmt::Display) -> Self {
        self.path.push(part.to_string());
        self
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.iter().rev().try_for_each(|part| f.write_str(part))?;
        if !self.path.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}

impl Error for Unfit {}

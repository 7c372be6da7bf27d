//! Changing rows.

use clap::Args;

use super::Member;

/// Sets the value of a key, or elements of an array
///
/// If the key has several bindings, the newest is replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm set users ada 7
  netshm set sessions ada '{\"user\": 7, \"name\": \"Ada\", \"hits\": 0}'
  netshm set counters 3 100                 an element of an array
  netshm set counters 0..16 0               all elements of a range, atomically")]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The key; for an array, an index or a range
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// The value
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) value: String,
}

/// Adds a binding for a key, which hides its older ones
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm add users ada 7
  netshm add locks job-17 '\"me\"' --if-absent || echo somebody else has it")]
pub(crate) struct Add {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The key
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// The value
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) value: String,
    /// Add it only if the key has no value; otherwise the exit status is 1
    #[arg(long)]
    pub(crate) if_absent: bool,
}

/// Removes the newest binding of each key
///
/// An older binding is visible again. The exit status is 1 if one of the keys is not there; the others are removed nevertheless.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm remove sessions ada grace
  netshm remove sessions ada --all         hidden bindings too")]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The keys
    #[arg(value_name = "KEY", required = true, allow_negative_numbers = true)]
    pub(crate) keys: Vec<String>,
    /// Remove all bindings of each key
    #[arg(long, short)]
    pub(crate) all: bool,
}

/// Adds to a number atomically, and prints the sum
///
/// A key that is not there counts as 0.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm incr counters 3
  netshm incr counters 3 -10
  netshm incr sessions ada 1 --field hits")]
pub(crate) struct Incr {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The key; for an array, an index
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// The number to add
    #[arg(value_name = "NUMBER", default_value = "1", allow_negative_numbers = true)]
    pub(crate) by: String,
    /// Add to this field of the value
    #[arg(long, short, value_name = "FIELD")]
    pub(crate) field: Option<String>,
}

/// Removes all rows of a table, atomically
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm clear sessions
  netshm clear app --member sessions --yes")]
pub(crate) struct Clear {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Do not ask for confirmation on a terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Sets the length of an array
///
/// New elements have the default value; elements beyond the new end are removed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm resize counters 1000
  netshm resize app --member counters 0")]
pub(crate) struct Resize {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The number of elements
    #[arg(value_name = "LENGTH")]
    pub(crate) length: usize,
}

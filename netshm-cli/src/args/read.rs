//! Reading rows, and waiting for them.

use clap::Args;

use super::{Member, seconds};

/// Prints the value of a key, or elements of an array
///
/// The exit status is 1 if there is no such key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm get sessions ada
  netshm get sessions ada | jq .hits
  netshm get sessions ada --all            the hidden bindings too, the newest first
  netshm get counters 3                    an element of an array
  netshm get counters 0..16                a range of them
  netshm get pairs '[1, 2]'                a key that is a tuple")]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The key; of an array, an index or a range as 3..10, ..10, 3.., 3..=9
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// Print all bindings of the key, the newest first
    #[arg(long, short)]
    pub(crate) all: bool,
}

/// Prints the keys of a table, in no order
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(flatten)]
    pub(crate) member: Member,
    #[command(flatten)]
    pub(crate) select: Select,
}

/// Prints rows: the key, a tabulator and the value; of an array, index and element
///
/// Rows come in no order. Nothing is locked: each is as it is when it is met. With `--json`, a line for each:
/// {"key": .., "value": ..}, or {"index": .., "value": ..}.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm scan sessions
  netshm scan sessions --prefix user/ --limit 20
  netshm --json scan sessions | jq -r 'select(.value.hits > 100) | .key'")]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) member: Member,
    #[command(flatten)]
    pub(crate) select: Select,
    /// Print the hidden bindings of each key too, the newest first
    #[arg(long, short)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Select {
    /// Only keys whose text begins so
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
}

/// Waits until a key has a value, and prints it
///
/// Without polling where the object can be written to; a wait through a read-only descriptor looks every few milliseconds. The exit
/// status is 1 if the time is over.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm wait jobs 17                          until the key is there
  netshm wait jobs 17 --value '\"Done\"' --timeout 60
  netshm wait jobs 17 --absent                 until it is gone
  netshm wait counters 3 --changed             until an element of an array is another")]
pub(crate) struct Wait {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The key; of an array, an index
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// Wait until it has this value
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true, conflicts_with_all = ["absent", "changed"])]
    pub(crate) value: Option<String>,
    /// Wait until it has no value
    #[arg(long, conflicts_with = "changed")]
    pub(crate) absent: bool,
    /// Wait until the value is another than now
    #[arg(long)]
    pub(crate) changed: bool,
    /// Wait at most for so many seconds
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<f64>,
}

/// Prints changes to a table or an array as they come
///
/// A line for each key that was set or removed: what it did, the key and the new value, with tabulators between; with `--json`,
/// {"change": "set", "key": .., "value": ..} or {"change": "removed", "key": ..}. Changes to the same key in quick succession are told as
/// one, and only newest bindings are compared. It holds the rows of a watched table in memory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm watch sessions
  netshm watch sessions ada grace              these keys only
  netshm watch counters 0..16 --initial        elements of an array, and what they are now
  netshm --json watch jobs | jq -c 'select(.change == \"removed\")'")]
pub(crate) struct Watching {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The keys, or indices and ranges of an array; without them, all
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    pub(crate) keys: Vec<String>,
    /// Print first what there is
    #[arg(long)]
    pub(crate) initial: bool,
    /// End after so many changes
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// End after so many seconds
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<f64>,
}

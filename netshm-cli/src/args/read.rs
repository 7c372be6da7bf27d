//! Reading rows, and waiting for them.

use clap::Args;

use super::{Member, seconds};

/// Prints the value of a key, or elements of an array
///
/// The exit status is 1 if the key is not there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm get sessions ada
  netshm get sessions ada | jq .hits
  netshm get sessions ada --all            hidden bindings too, newest first
  netshm get counters 3                    an element of an array
  netshm get counters 0..16                a range of elements
  netshm get pairs '[1, 2]'                a key that is a tuple")]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The key; for an array, an index or a range: 3..10, ..10, 3.., 3..=9
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// Print all bindings of the key, newest first
    #[arg(long, short)]
    pub(crate) all: bool,
}

/// Prints the keys of a table, in no particular order
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm keys sessions
  netshm keys sessions --prefix user/ --limit 20
  netshm keys sessions | wc -l")]
pub(crate) struct Keys {
    #[command(flatten)]
    pub(crate) member: Member,
    #[command(flatten)]
    pub(crate) select: Select,
}

/// Prints rows: key and value, or index and element, with a tab between
///
/// The rows of a table come in no particular order. Nothing is locked, so rows may be of different moments. With `--json`, each row is a line:
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
    /// Print the hidden bindings of each key too, newest first
    #[arg(long, short)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Select {
    /// Print only keys that begin with this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Stop after this many
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
}

/// Waits until a key has a value, and prints it
///
/// The object is opened read-only, so no writer can be asked to wake the command. It polls, every 10 milliseconds at the longest, which
/// reads a few words and disturbs nobody. The exit status is 1 if the timeout passes first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm wait jobs 17                          until the key has a value
  netshm wait jobs 17 --value '\"Done\"' --timeout 60
  netshm wait jobs 17 --absent                 until it is gone
  netshm wait counters 3 --changed             until an element of an array changes")]
pub(crate) struct Wait {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The key; for an array, an index
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// Wait until the key has this value
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true, conflicts_with_all = ["absent", "changed"])]
    pub(crate) value: Option<String>,
    /// Wait until the key has no value
    #[arg(long, conflicts_with = "changed")]
    pub(crate) absent: bool,
    /// Wait until the value differs from what it is now
    #[arg(long)]
    pub(crate) changed: bool,
    /// Give up after this many seconds
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<f64>,
}

/// Prints changes to a table or an array as they happen
///
/// Each key that is set or removed is a line: `set` or `removed`, the key, and the new value, with tabs between; with `--json`,
/// {"change": "set", "key": .., "value": ..} or {"change": "removed", "key": ..}. Several changes to a key in quick succession are reported
/// as one, and only newest bindings are compared. The rows that are watched are kept in memory.
///
/// The object is opened read-only, so no writer can be asked to wake the command. It polls, every 10 milliseconds at the longest, which
/// reads a few words as long as nothing has changed, and disturbs nobody.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm watch sessions
  netshm watch sessions ada grace              only these keys
  netshm watch counters 0..16 --initial        elements of an array, starting with their values now
  netshm --json watch jobs | jq -c 'select(.change == \"removed\")'")]
pub(crate) struct Watching {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The keys to watch, or the indices and ranges of an array; all if there are none
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    pub(crate) keys: Vec<String>,
    /// Print what is there first
    #[arg(long)]
    pub(crate) initial: bool,
    /// Stop after this many changes
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Stop after this many seconds
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<f64>,
}

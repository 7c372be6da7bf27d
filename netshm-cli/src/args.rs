//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use netshm::ShmName;

use crate::names::{self, Place};
use crate::output::ColorWhen;

const EXAMPLES: &str = "\
Examples:
  netshm ls                                    objects in POSIX shared memory
  netshm stat sessions                         one of them
  netshm get sessions ada                      the value of a key, as JSON
  netshm scan sessions --prefix a --limit 10   rows
  netshm --json ls | jq '.[] | select(.users == 0) | .name'

A NAME is posix:/name (shared memory), file:PATH (a mapped file), or short: a path, or the bare name of an object in shared
memory. Keys and values are JSON; texts are given and printed as they are. Options that stand before the command can stand behind it
as well.

Exit status: 0 if all is well, 1 if something is wrong or was not found, 2 if the command line is wrong.";

/// Looks into objects of netshm, tables and arrays in shared memory or mapped files, without the programs that made them:
/// each object stores the types of its contents.
#[derive(Debug, Parser)]
#[command(name = "netshm", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print JSON: a document, or a line for each row
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub(crate) color: ColorWhen,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(Ls),
    Stat(Stat),
    Schema(Schema),
    Members(Members),
    Get(Get),
    Keys(Keys),
    Scan(Scan),
}

/// An object.
#[derive(Debug, Args)]
pub(crate) struct Object {
    /// The object: posix:/name, file:PATH, a path, or the bare name of one in shared memory
    #[arg(value_name = "NAME", value_parser = names::parser())]
    pub(crate) name: ShmName,
}

/// A member of an object.
#[derive(Debug, Args)]
pub(crate) struct Member {
    #[command(flatten)]
    pub(crate) object: Object,
    /// The table or array in the object; needed if it has several
    #[arg(long, short, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
}

/// Lists objects
///
/// Without a PLACE, those in POSIX shared memory. Files that are no objects are skipped. States: in use; idle (a file that nobody has
/// open); orphaned (shared memory that nobody has open); needs recovery (a writer died in the middle of a change, which the next one
/// undoes); other format; damaged.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm ls
  netshm ls posix: data/ other/file       shared memory, and what is in a directory, and a file
  netshm ls --state orphaned --sort size
  netshm --json ls | jq '.[].name'")]
pub(crate) struct Ls {
    /// Directories, or objects; `posix:` is all of POSIX shared memory
    #[arg(value_name = "PLACE", value_parser = Place::parser())]
    pub(crate) places: Vec<Place>,
    /// Only objects in this state
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<StateName>,
    /// The order
    #[arg(long, value_name = "COLUMN", default_value = "name")]
    pub(crate) sort: LsSort,
    /// Print sizes as numbers of bytes
    #[arg(long)]
    pub(crate) bytes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateName {
    InUse,
    Idle,
    Orphaned,
    NeedsRecovery,
    OtherFormat,
    Damaged,
}

impl StateName {
    pub(crate) fn text(self) -> &'static str {
        match self {
            StateName::InUse => "in use",
            StateName::Idle => "idle",
            StateName::Orphaned => "orphaned",
            StateName::NeedsRecovery => "needs recovery",
            StateName::OtherFormat => "other format",
            StateName::Damaged => "damaged",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LsSort {
    Name,
    /// The largest first
    Size,
    /// The most first
    Rows,
}

/// Shows an object: how it was made, its members, sizes, who uses it
#[derive(Debug, Args)]
pub(crate) struct Stat {
    #[command(flatten)]
    pub(crate) object: Object,
    /// Show each stripe as well
    #[arg(long)]
    pub(crate) stripes: bool,
    /// Print sizes as numbers of bytes
    #[arg(long)]
    pub(crate) bytes: bool,
}

/// Shows the types of an object's contents
///
/// As text, which `netshm create` understands; with `--rust` as source of types that a program can use the object by; with `--json`
/// as a tree.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm schema sessions
  netshm schema sessions --rust > src/sessions.rs
  netshm --json schema sessions | jq .members[0].schema")]
pub(crate) struct Schema {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Print Rust source: structs and enums with their derives, and the object as a struct
    #[arg(long, conflicts_with = "json")]
    pub(crate) rust: bool,
}

/// Lists the tables and arrays in an object
#[derive(Debug, Args)]
pub(crate) struct Members {
    #[command(flatten)]
    pub(crate) object: Object,
    /// Remove this one, with all that is in it; nobody may have it open
    #[arg(long, value_name = "MEMBER")]
    pub(crate) remove: Option<String>,
}

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

//! What there is: objects, their figures, types and members.

use clap::{Args, ValueEnum};

use super::{Member, Object};
use crate::names::Place;

/// Lists objects
///
/// Without a PLACE, lists the objects in POSIX shared memory. Files that are not objects are skipped, and so are objects that you may
/// not read.
///
/// States: in use; idle (a file that nobody has open); orphaned (shared memory that nobody has open); needs recovery (a writer died in
/// the middle of a change, which will be rolled back when the object is next written to); other format (of another version of
/// netshm); damaged.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm ls
  netshm ls posix: data/ other/file       shared memory, a directory and a file
  netshm ls --state orphaned --sort size
  netshm --json ls | jq '.[].name'")]
pub(crate) struct Ls {
    /// Directories or objects; `posix:` stands for all of POSIX shared memory
    #[arg(value_name = "PLACE", value_parser = Place::parser())]
    pub(crate) places: Vec<Place>,
    /// List only objects in this state
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<StateName>,
    /// Sort by this column
    #[arg(long, value_name = "COLUMN", default_value = "name")]
    pub(crate) sort: LsSort,
    /// Print sizes in bytes
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
    /// Largest first
    Size,
    /// Most rows first
    Rows,
}

/// Shows an object: its settings, sizes, members, and who uses it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm stat sessions
  netshm stat sessions --stripes          how evenly its keys are spread
  netshm --json stat sessions | jq .users")]
pub(crate) struct Stat {
    #[command(flatten)]
    pub(crate) object: Object,
    /// Also show each stripe: a part of a member with a lock of its own
    #[arg(long)]
    pub(crate) stripes: bool,
    /// Print sizes in bytes
    #[arg(long)]
    pub(crate) bytes: bool,
}

/// Shows the types of an object's contents
///
/// Prints text that `netshm create` reads; with `--rust`, Rust types that a program can open the object with; with `--json`, a tree.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm schema sessions
  netshm schema sessions --rust > src/sessions.rs
  netshm --json schema sessions | jq .members[0].schema")]
pub(crate) struct Schema {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Print Rust source: structs and enums with their derives, and a struct for the object
    #[arg(long, conflicts_with = "json")]
    pub(crate) rust: bool,
}

/// Lists the tables and arrays in an object
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm members sessions
  netshm members sessions --remove old
  netshm --json members sessions | jq -r '.[].name'")]
pub(crate) struct Members {
    #[command(flatten)]
    pub(crate) object: Object,
    /// Remove this member and all its contents; it must not be open anywhere
    #[arg(long, value_name = "MEMBER")]
    pub(crate) remove: Option<String>,
}

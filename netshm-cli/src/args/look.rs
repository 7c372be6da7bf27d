//! What there is: objects, their figures, types and members.

use clap::{Args, ValueEnum};

use super::{Member, Object};
use crate::names::Place;

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

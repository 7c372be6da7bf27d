//! Care of objects.

use clap::Args;
use netshm::ShmName;

use super::Object;
use crate::names;

/// Checks every word of objects, and reports what is wrong
///
/// Objects are opened read-only and are not locked: if others keep writing, findings prove nothing, and the report says so. The exit
/// status is 1 if something is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm check sessions
  netshm check --lock sessions             makes writers wait meanwhile
  netshm --json check sessions | jq '.[].findings'")]
pub(crate) struct Check {
    /// The objects
    #[arg(value_name = "NAME", required = true, value_parser = names::parser())]
    pub(crate) names: Vec<ShmName>,
    /// Open them for writing and lock them, so that the report is exact
    #[arg(long)]
    pub(crate) lock: bool,
}

/// Replaces a damaged object by a new one with everything that is sound in it
///
/// Nobody else may have it open. Whenever it is interrupted, the name stands for either the damaged object as it was or the repaired
/// one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm check sessions || netshm repair sessions
  netshm repair file:data/sessions --yes")]
pub(crate) struct Repair {
    #[command(flatten)]
    pub(crate) object: Object,
    /// Do not ask for confirmation on a terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Makes a consistent copy of an object while others go on using it
///
/// The copy shows a single moment at which no change was under way. Writers wait for a short time at the end, so the object must be
/// writable for you.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm copy sessions file:backup/sessions
  netshm copy sessions posix:/sessions.old")]
pub(crate) struct Copy {
    #[command(flatten)]
    pub(crate) object: Object,
    /// The name of the copy, which must not exist: posix:/NAME, file:PATH, a path with a slash, or a bare name for shared memory
    #[arg(value_name = "TO", value_parser = names::new_parser())]
    pub(crate) to: ShmName,
}

/// Writes objects to storage, so that they survive a loss of power
///
/// Objects are opened for writing, which also rolls back what dead writers left.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm sync file:data/sessions
  netshm sync data/*")]
pub(crate) struct Sync {
    /// The objects
    #[arg(value_name = "NAME", required = true, value_parser = names::parser())]
    pub(crate) names: Vec<ShmName>,
}

/// Makes an object as small as possible by rebuilding it
///
/// Nobody else may have it open. A damaged object is left as it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm compact file:data/sessions
  netshm --json compact sessions | jq '.allocated_before - .allocated'")]
pub(crate) struct Compact {
    #[command(flatten)]
    pub(crate) object: Object,
}

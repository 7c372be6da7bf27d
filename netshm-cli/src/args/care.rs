//! Care of objects.

use clap::Args;
use netshm::ShmName;

use super::Object;
use crate::names;

/// Looks at every word of objects, and says what is wrong
///
/// Objects are opened read-only and not locked: if others write all the time, findings prove nothing, and it says so. The exit
/// status is 1 if something is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm check sessions
  netshm check --lock sessions             writers wait meanwhile
  netshm --json check sessions | jq '.[].findings'")]
pub(crate) struct Check {
    /// The objects
    #[arg(value_name = "NAME", required = true, value_parser = names::parser())]
    pub(crate) names: Vec<ShmName>,
    /// Open them for writing and lock them, so that the findings are exact
    #[arg(long)]
    pub(crate) lock: bool,
}

/// Replaces a damaged object by a new one with all that is sound in it
///
/// Nobody may have it open. Whatever interrupts it, the name stands for the damaged object as it was, or for the repaired one.
#[derive(Debug, Args)]
pub(crate) struct Repair {
    #[command(flatten)]
    pub(crate) object: Object,
    /// Do not ask at a terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Makes a consistent copy of an object, which others may go on using
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm copy sessions file:backup/sessions
  netshm copy sessions posix:/sessions.old")]
pub(crate) struct Copy {
    #[command(flatten)]
    pub(crate) object: Object,
    /// The name of the copy, which must not be in use: posix:/name, file:PATH or a path
    #[arg(value_name = "TO", value_parser = names::new_parser())]
    pub(crate) to: ShmName,
}

/// Writes objects back to their storage, so that a loss of power does not harm them
///
/// It opens them for writing, which also undoes what dead writers left.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// The objects
    #[arg(value_name = "NAME", required = true, value_parser = names::parser())]
    pub(crate) names: Vec<ShmName>,
}

/// Makes an object as small as it can be, by building it anew
///
/// Nobody may have it open. A damaged object is left as it is.
#[derive(Debug, Args)]
pub(crate) struct Compact {
    #[command(flatten)]
    pub(crate) object: Object,
}

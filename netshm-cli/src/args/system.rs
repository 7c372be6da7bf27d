//! All objects at once, the machine, and the command itself.

use clap::Args;
use netshm::ShmName;

use super::{LockingName, Object, seconds};
use crate::names::{self, Place};

/// Shows who holds which stripe, and who waits for whom
///
/// A stripe is a part of a table or an array with a lock of its own. A deadlock is shown as the ring of processes that wait for each
/// other. Without a NAME, shows all objects in shared memory that are in use.
///
/// A process that has to wait for a lock notes since when, so the change that it waits for has been under way for at least as long.
/// When a lock was taken is not noted, since that would slow every change down: of a lock that nobody waits for, the command says how
/// long it has seen it held. `--during` makes it watch for longer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm locks
  netshm locks sessions --during 5
  netshm --json locks sessions | jq '.[].deadlocks'")]
pub(crate) struct Locks {
    /// The objects
    #[arg(value_name = "NAME", value_parser = names::parser())]
    pub(crate) names: Vec<ShmName>,
    /// How many seconds to watch
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = seconds)]
    pub(crate) during: f64,
}

/// Reads an age as `90s`, `15m`, `12h`, `30d`, or a number of seconds.
fn age(text: &str) -> Result<std::time::Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err("an age is a number and s, m, h, d or w, as in 12h".to_owned()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    seconds
        .map(std::time::Duration::from_secs)
        .ok_or_else(|| "an age is a number and s, m, h, d or w, as in 12h".to_owned())
}

/// Deletes objects that nobody has open
///
/// An object is deleted only if it is certain that no process has it open. On a terminal, the command only shows what it would delete,
/// unless `--delete` is given.
///
/// The age is the time since the file was created, grew, or was written to as far as the system notices; it does not always notice
/// writes through memory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm gc --dry-run                       everything that nobody has open
  netshm gc 'job-*' --older-than 1d --delete
  netshm gc '*' --delete                    really everything
  netshm gc --place /var/tmp/tables '*.shm' --dry-run")]
pub(crate) struct Gc {
    /// Only objects with these names; `*` and `?` are wildcards
    #[arg(value_name = "PATTERN", value_parser = glob::Pattern::new)]
    pub(crate) patterns: Vec<glob::Pattern>,
    /// Only objects of at least this age: 90s, 15m, 12h, 30d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) older_than: Option<std::time::Duration>,
    /// Look in this directory instead of POSIX shared memory
    #[arg(long = "place", value_name = "PLACE", value_parser = Place::parser())]
    pub(crate) places: Vec<Place>,
    /// Only show what would be deleted; the default on a terminal
    #[arg(long, conflicts_with = "delete")]
    pub(crate) dry_run: bool,
    /// Delete; the default if the output is not a terminal
    #[arg(long)]
    pub(crate) delete: bool,
}

/// Measures the most common operations on this machine
///
/// Uses an object of its own, which is deleted at the end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm bench
  netshm bench --entries 1000000 --locking record
  netshm bench --directory /var/tmp         a mapped file, on the disk of that directory
  netshm --json bench | jq '.results[] | select(.nanoseconds > 500)'")]
pub(crate) struct Bench {
    /// The number of entries in each table
    #[arg(
        long,
        short = 'n',
        value_name = "COUNT",
        default_value = "100000",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000)
    )]
    pub(crate) entries: u64,
    /// How long to repeat each operation
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// The locking method
    #[arg(long, value_name = "METHOD", default_value = "futex")]
    pub(crate) locking: LockingName,
    /// The number of threads for what is measured with several
    #[arg(long, value_name = "COUNT", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=128))]
    pub(crate) threads: u32,
    /// Use a file in this directory instead of POSIX shared memory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) directory: Option<std::path::PathBuf>,
}

/// Shows an object live: changes, locks, waits, sizes, processes
///
/// Changes are counted for each member and each stripe. Press q to quit, p to pause, + and - to change the interval. It only reads the
/// object, and costs writers less than 1 % of their speed. With `--json`, prints a line for each interval; with `--once`, a single
/// document.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm top sessions
  netshm top sessions --interval 0.5
  netshm top sessions --once --json | jq .members")]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) object: Object,
    /// Seconds between refreshes
    #[arg(long, short, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: f64,
    /// Print what happens in one interval, then exit
    #[arg(long)]
    pub(crate) once: bool,
}

/// Prints shell completions
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm completions bash > ~/.local/share/bash-completion/completions/netshm
  netshm completions zsh > ~/.zfunc/_netshm
  netshm completions fish > ~/.config/fish/completions/netshm.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Prints a manual page, or writes all of them to a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm man | man -l -
  netshm man ls | man -l -
  netshm man --directory ~/.local/share/man/man1")]
pub(crate) struct Manual {
    /// Print the page of this command
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) directory: Option<std::path::PathBuf>,
}

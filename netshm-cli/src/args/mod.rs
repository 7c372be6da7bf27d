//! The command line.

mod change;
mod create;
mod dump;
mod look;
mod maintenance;
mod read;
mod system;

use clap::{Args, Parser, Subcommand};
use netshm::ShmName;

use crate::names;
use crate::output::ColorWhen;

pub(crate) use change::{Add, Clear, Incr, Remove, Resize, Set};
pub(crate) use create::{Create, LockingName};
pub(crate) use dump::{Dump, Export, Import, Load};
pub(crate) use look::{Ls, LsSort, Members, Schema, Stat, StateName};
pub(crate) use maintenance::{Check, Compact, Copy, Repair, Sync};
pub(crate) use read::{Get, Keys, Scan, Select, Wait, Watching};
pub(crate) use system::{Bench, Completions, Gc, Locks, Manual, Top};

const EXAMPLES: &str = "\
Examples:
  netshm ls                                    objects in POSIX shared memory
  netshm stat sessions                         one of them
  netshm get sessions ada                      the value of a key
  netshm scan sessions --prefix a --limit 10   rows
  netshm top sessions                          what is happening to it, live
  netshm ls --json | jq -r '.[] | select(.users == 0) | .name'

Names: posix:/NAME for shared memory, file:PATH for a mapped file. A path alone stands for a file, a bare name for an object in \
shared memory, unless there is a file of that name here.

Values: keys and values are written as JSON, according to the types that the object stores. Strings need no quotes, and are printed \
without them.

Exit status: 0 on success, 1 if something is wrong or was not found, 2 if the command line is wrong.";

/// Inspects netshm objects, tables and arrays in shared memory or mapped files, without the programs that made them: each object
/// stores the types of its contents.
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
    /// Print JSON: a single document, or one line per row
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// When to use colors: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Output"
    )]
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
    Wait(Wait),
    #[command(name = "watch")]
    Watching(Watching),
    Set(Set),
    Add(Add),
    Remove(Remove),
    Incr(Incr),
    Clear(Clear),
    Resize(Resize),
    Create(Create),
    Dump(Dump),
    Load(Load),
    Export(Export),
    Import(Import),
    Check(Check),
    Repair(Repair),
    Copy(Copy),
    Sync(Sync),
    Compact(Compact),
    Locks(Locks),
    Top(Top),
    Gc(Gc),
    Bench(Bench),
    Completions(Completions),
    #[command(name = "man")]
    Manual(Manual),
}

/// An object.
#[derive(Debug, Args)]
pub(crate) struct Object {
    /// The object: posix:/NAME, file:PATH, a path, or a bare name in shared memory
    #[arg(value_name = "NAME", value_parser = names::parser())]
    pub(crate) name: ShmName,
}

/// A member of an object.
#[derive(Debug, Args)]
pub(crate) struct Member {
    #[command(flatten)]
    pub(crate) object: Object,
    /// The table or array in the object; required if there are several
    #[arg(long, short, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
}

/// Reads permission bits, which are octal.
fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "permission bits are three octal digits, as in 640".to_owned())
}

/// Reads a number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
    number.ok_or_else(|| "a number of seconds from 0.001 to 86400".to_owned())
}

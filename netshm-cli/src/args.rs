//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use netshm::ShmName;

use crate::names::{self, Place};
use crate::output::ColorWhen;

const EXAMPLES: &str = "\
Examples:
  netshm ls                                    objects in POSIX shared memory
  netshm stat sessions                         one of them
  netshm get sessions ada                      the value of a key
  netshm scan sessions --prefix a --limit 10   rows
  netshm top sessions                          what happens to it, live
  netshm ls --json | jq -r '.[] | select(.users == 0) | .name'

Names: posix:/name (shared memory) or file:PATH (a mapped file); in short a path, or the bare name of an object in shared memory.

Keys and values are JSON, by the types that the object stores; texts are given and printed as they are.

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
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// When to use colours: auto, always or never
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

/// Sets the value of a key, or elements of an array
///
/// Of a key with several bindings, the newest is replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm set users ada 7
  netshm set sessions ada '{\"user\": 7, \"name\": \"Ada\", \"hits\": 0}'
  netshm set counters 3 100                 an element
  netshm set counters 0..16 0               all elements of a range, as one step")]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The key; of an array, an index or a range
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// The value
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) value: String,
}

/// Adds a binding for a key, which hides the older ones
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The key
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// The value
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) value: String,
    /// Only if the key has no value; otherwise the exit status is 1
    #[arg(long)]
    pub(crate) if_absent: bool,
}

/// Removes the newest bindings of keys
///
/// The exit status is 1 if one of the keys is not there; the others are removed nevertheless.
#[derive(Debug, Args)]
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

/// Adds to a number, as one step, and prints the sum
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
    /// The key; of an array, an index
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) key: String,
    /// What is added
    #[arg(value_name = "NUMBER", default_value = "1", allow_negative_numbers = true)]
    pub(crate) by: String,
    /// The field of the value that is the number
    #[arg(long, short, value_name = "FIELD")]
    pub(crate) field: Option<String>,
}

/// Removes all rows of a table, as one step
#[derive(Debug, Args)]
pub(crate) struct Clear {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Do not ask at a terminal
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Sets the length of an array
#[derive(Debug, Args)]
pub(crate) struct Resize {
    #[command(flatten)]
    pub(crate) member: Member,
    /// The number of elements
    #[arg(value_name = "LENGTH")]
    pub(crate) length: usize,
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LockingName {
    Futex,
    Record,
    None,
}

impl From<LockingName> for netshm::Locking {
    fn from(name: LockingName) -> netshm::Locking {
        match name {
            LockingName::Futex => netshm::Locking::Futex,
            LockingName::Record => netshm::Locking::Record,
            LockingName::None => netshm::Locking::None,
        }
    }
}

/// Reads permission bits, which are octal.
fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "permission bits are three octal digits, as in 640".to_owned())
}

/// Creates an object, or adds members to one, by the text of a schema
///
/// The text is that of `netshm schema`: HashTable<KEY, VALUE>, Array<ELEMENT> = DEFAULT, len LENGTH, or Table (the primitive one). Several
/// members stand one below the other, each behind its name and a colon. Nothing is left if it fails.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm create users 'HashTable<String, u64>'
  netshm create stats 'Array<f64> = 1.5, len 100'
  netshm create app --member users 'HashTable<String, User { id: u64, name: String }>'
  netshm schema app | netshm create file:data/app --from -")]
pub(crate) struct Create {
    /// The object
    #[arg(value_name = "NAME", value_parser = names::new_parser())]
    pub(crate) name: ShmName,
    /// The types of its contents
    #[arg(value_name = "SCHEMA", conflicts_with = "from", required_unless_present = "from")]
    pub(crate) schema: Option<String>,
    /// Read the schema from a file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<std::path::PathBuf>,
    /// The name of the member
    #[arg(long, short, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// The value that elements of an array have until they are set
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub(crate) default: Option<String>,
    /// The length of an array
    #[arg(long, value_name = "LENGTH")]
    pub(crate) len: Option<u64>,
    /// The permission bits of a new object
    #[arg(long, value_name = "OCTAL", default_value = "600", value_parser = mode)]
    pub(crate) mode: u32,
    /// The locking method of a new object
    #[arg(long, value_name = "METHOD")]
    pub(crate) locking: Option<LockingName>,
    /// The number of keys that are expected
    #[arg(long, value_name = "COUNT")]
    pub(crate) init: Option<u64>,
    /// The number of parts that can be written to at the same time
    #[arg(long, value_name = "COUNT")]
    pub(crate) stripes: Option<u32>,
    /// The number of writers that there can be at the same time, in a new object
    #[arg(long, value_name = "COUNT")]
    pub(crate) slots: Option<u32>,
    /// Bytes of a page of a new object
    #[arg(long, value_name = "BYTES")]
    pub(crate) pagesize: Option<u64>,
    /// The size in bytes that a new object cannot exceed
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_size: Option<u64>,
}

/// Prints an object as lines of JSON, which `netshm load` reads
///
/// The first line says what the object is. Each other line is a row: {"member": .., "key": .., "value": ..}, the older bindings of a key
/// before the newer ones; of arrays, {"member": .., "index": .., "value": ..} for the elements that differ from the default. Nothing is
/// locked: all bindings of a key are as of one moment. For a dump of one moment, `netshm copy` it first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm dump sessions > sessions.jsonl
  netshm dump sessions | zstd > sessions.jsonl.zst
  netshm dump sessions | ssh elsewhere netshm load")]
pub(crate) struct Dump {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Write to a file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<std::path::PathBuf>,
}

/// Makes an object of what `netshm dump` has printed, or fills one
///
/// All is loaded as one step: if it fails, an object that was there is as it was, and a new one is gone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm load < sessions.jsonl
  netshm load sessions.copy < sessions.jsonl
  netshm load sessions --replace --batch 10000 < sessions.jsonl")]
pub(crate) struct Load {
    /// The object; without it, the name in the dump
    #[arg(value_name = "NAME", value_parser = names::new_parser())]
    pub(crate) name: Option<ShmName>,
    /// Load the only member of the dump under this name
    #[arg(long, short, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// Read from a file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<std::path::PathBuf>,
    /// Add to rows that are there
    #[arg(long, conflicts_with = "replace")]
    pub(crate) append: bool,
    /// Remove rows that are there first, in the same step
    #[arg(long)]
    pub(crate) replace: bool,
    /// Load so many rows in a step, so that others need not wait for all
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: Option<u64>,
    /// The permission bits of a new object
    #[arg(long, value_name = "OCTAL", default_value = "600", value_parser = mode)]
    pub(crate) mode: u32,
}

/// A character between columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delimiter(u8);

impl Delimiter {
    pub(crate) fn byte(self) -> u8 {
        self.0
    }
}

fn delimiter(text: &str) -> Result<Delimiter, String> {
    match (text, text.as_bytes()) {
        ("tab" | "\\t", _) => Ok(Delimiter(b'\t')),
        (_, [byte]) => Ok(Delimiter(*byte)),
        _ => Err("one character, or `tab`".to_owned()),
    }
}

/// Prints a table or an array as CSV
///
/// The first line names the columns: `key` and `value`, or one for each field of a struct; `index` for arrays. Values inside are JSON,
/// texts are as they are, `None` is empty. The older bindings of a key come before the newer ones.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm export sessions > sessions.csv
  netshm export sessions --delimiter tab | sort")]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Write to a file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<std::path::PathBuf>,
    /// What stands between columns; `tab` for a tabulator
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    pub(crate) delimiter: Delimiter,
}

/// Adds the rows of a CSV file to a table, or sets elements of an array
///
/// The first line names the columns, in any order: those that `netshm export` prints. All is added as one step. An array grows as it must.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm create prices 'HashTable<String, Price { cents: u64, since: String }>'
  netshm import prices < prices.csv        with the columns key, cents, since")]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Read from a file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<std::path::PathBuf>,
    /// Replace the values of keys that are there, instead of hiding them
    #[arg(long)]
    pub(crate) replace: bool,
    /// Add so many rows in a step, so that others need not wait for all
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: Option<u64>,
    /// What stands between columns; `tab` for a tabulator
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    pub(crate) delimiter: Delimiter,
}

/// Shows who holds which stripe, and who waits for whom
///
/// A stripe is a part of a table or an array with a lock of its own. It looks several times, so that it can say for how long at least a
/// lock has been held or waited for. Deadlocks are shown as the rings that they are. Without a NAME, all objects in shared memory that
/// are in use.
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
    /// Look for so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = seconds)]
    pub(crate) during: f64,
}

/// Reads a number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
    number.ok_or_else(|| "a number of seconds from 0.001 to 86400".to_owned())
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
/// An object is deleted only if it is certain that no process has it open. On a terminal it only shows what would be deleted, unless
/// `--delete` is given. The age is the time since the file was created or grew, or was written to as far as the system notices; writing
/// through memory is not always noticed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm gc                                 what would be deleted
  netshm gc 'job-*' --older-than 1d --delete
  netshm gc '*' --delete                    all that nobody has open
  netshm gc --place /var/tmp/tables '*.shm' --dry-run")]
pub(crate) struct Gc {
    /// Only objects of these names, with `*` and `?`
    #[arg(value_name = "PATTERN", value_parser = glob::Pattern::new)]
    pub(crate) patterns: Vec<glob::Pattern>,
    /// Only objects of at least this age: 90s, 15m, 12h, 30d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) older_than: Option<std::time::Duration>,
    /// Look in this directory, instead of POSIX shared memory
    #[arg(long = "place", value_name = "PLACE", value_parser = Place::parser())]
    pub(crate) places: Vec<Place>,
    /// Show what would be deleted; the default on a terminal
    #[arg(long, conflicts_with = "delete")]
    pub(crate) dry_run: bool,
    /// Delete; the default where the output is no terminal
    #[arg(long)]
    pub(crate) delete: bool,
}

/// Measures the usual operations on this machine
///
/// In an object of its own, which is deleted at the end.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Entries of each table
    #[arg(long, short = 'n', value_name = "COUNT", default_value = "100000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) entries: u64,
    /// For how long each operation is repeated
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// The locking method
    #[arg(long, value_name = "METHOD", default_value = "futex")]
    pub(crate) locking: LockingName,
    /// Threads for what is measured with several
    #[arg(long, value_name = "COUNT", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=128))]
    pub(crate) threads: u32,
    /// Measure a file in this directory, instead of POSIX shared memory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) directory: Option<std::path::PathBuf>,
}

/// Shows an object live: changes by member and stripe, locks and waits, sizes, processes
///
/// Keys: q quits, p pauses, + and - change the interval. It only reads; writers do not notice it. With `--json` and without `--once`, a
/// line for each interval.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm top sessions
  netshm top sessions --interval 0.5
  netshm top sessions --once --json | jq .members")]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) object: Object,
    /// Seconds between two looks
    #[arg(long, short, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: f64,
    /// Print what happened in one interval, and end
    #[arg(long)]
    pub(crate) once: bool,
}

/// Prints completions for a shell
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

/// Prints the manual page, or writes all of them to a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm man | man -l -
  netshm man ls | man -l -
  netshm man --directory ~/.local/share/man/man1")]
pub(crate) struct Manual {
    /// The page of this command
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) directory: Option<std::path::PathBuf>,
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

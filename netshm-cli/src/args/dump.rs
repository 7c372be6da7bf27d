//! Rows in files, out and in.

use clap::Args;
use netshm::ShmName;

use super::{Member, mode};
use crate::names;

/// Prints an object as lines of JSON, which `netshm load` reads
///
/// The first line describes the object. Every other line is a row: {"member": .., "key": .., "value": ..}, older bindings of a key before
/// newer ones; for arrays, {"member": .., "index": .., "value": ..} for each element that differs from the default.
///
/// Nothing is locked: the bindings of one key are consistent with each other, but keys may be of different moments. For a dump of a
/// single moment, dump a copy made by `netshm copy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm dump sessions > sessions.jsonl
  netshm dump sessions | zstd > sessions.jsonl.zst
  netshm dump sessions | ssh elsewhere netshm load")]
pub(crate) struct Dump {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<std::path::PathBuf>,
}

/// Creates or fills an object from what `netshm dump` has printed
///
/// Everything is loaded atomically, or each batch with `--batch`: if it fails, an existing object is left as it was, and a new one is
/// removed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm load < sessions.jsonl
  netshm load sessions.copy < sessions.jsonl
  netshm load sessions --replace --batch 10000 < sessions.jsonl")]
pub(crate) struct Load {
    /// The object; by default, the name in the dump
    #[arg(value_name = "NAME", value_parser = names::new_parser())]
    pub(crate) name: Option<ShmName>,
    /// Load the only member of the dump under this name instead
    #[arg(long, short, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// Read from this file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<std::path::PathBuf>,
    /// Add to the rows that are there
    #[arg(long, conflicts_with = "replace")]
    pub(crate) append: bool,
    /// Remove the rows that are there first, in the same step
    #[arg(long)]
    pub(crate) replace: bool,
    /// Load this many rows at a time, so that other writers need not wait for all of them
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
/// The first line names the columns: `key` and `value`, or one column for each field of a struct; `index` for arrays. Cells are JSON,
/// except that strings have no quotes and `None` is empty. Older bindings of a key come before newer ones. Of an array, all elements are
/// printed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm export sessions > sessions.csv
  netshm export sessions --delimiter tab | sort")]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<std::path::PathBuf>,
    /// The character between columns; `tab` for a tab
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    pub(crate) delimiter: Delimiter,
}

/// Adds the rows of a CSV file to a table, or sets elements of an array
///
/// The first line names the columns, in any order: those that `netshm export` prints. All rows are added atomically, or each
/// batch with `--batch`. An array grows as needed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netshm create prices 'HashTable<String, Price { cents: u64, since: String }>'
  netshm import prices < prices.csv        with the columns key, cents, since")]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) member: Member,
    /// Read from this file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<std::path::PathBuf>,
    /// Replace the values of existing keys, instead of hiding them
    #[arg(long)]
    pub(crate) replace: bool,
    /// Add this many rows at a time, so that other writers need not wait for all of them
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: Option<u64>,
    /// The character between columns; `tab` for a tab
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = delimiter)]
    pub(crate) delimiter: Delimiter,
}

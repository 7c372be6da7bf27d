//! Rows in files, out and in.

use clap::Args;
use netshm::ShmName;

use super::{Member, mode};
use crate::names;

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

//! The command line.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use lexopt::prelude::*;

const HELP: &str = "\
Turns a CSV file into a lookup table in a file, which many processes read at the same time.

usage: lookup [--csv FILE] [--table FILE] [--workers N] [--lookups N]   build the table and measure lookups
       lookup --table FILE KEY..                                        look keys up in a table built before

The first column of the CSV file is the key; of several rows with one key the last counts.

  --csv FILE    with a line of headings (default: 100,000 rows made up by this program)
  --table FILE  where to keep the table (default: a temporary file, removed at the end)
  --workers N   processes that look up (default: 4)
  --lookups N   by each process (default: 100,000)";

/// The task of this process.
pub(crate) enum Role {
    Build(Options),
    /// Show what a table says about these keys.
    Ask {
        table: PathBuf,
        keys: Vec<String>,
    },
    /// Look keys up, and compare with the CSV file; the main process started us.
    Worker {
        number: u64,
        table: PathBuf,
        csv: PathBuf,
        lookups: usize,
    },
}

/// The options of the user.
pub(crate) struct Options {
    pub(crate) csv: Option<PathBuf>,
    pub(crate) table: Option<PathBuf>,
    pub(crate) workers: u64,
    pub(crate) lookups: usize,
}

pub(crate) fn parse() -> Result<Role> {
    let mut options = Options { csv: None, table: None, workers: 4, lookups: 100_000 };
    let (mut worker, mut keys) = (None, Vec::new());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("csv") => options.csv = Some(arguments.value()?.into()),
            Long("table") => options.table = Some(arguments.value()?.into()),
            Long("workers") => options.workers = arguments.value()?.parse()?,
            Long("lookups") => options.lookups = arguments.value()?.parse()?,
            Long("worker") => worker = Some(arguments.value()?.parse()?),
            Long("help") | Short('h') => {
                println!("{HELP}");
                std::process::exit(0);
            }
            Value(key) => keys.push(key.string()?),
            other => bail!("{} (see --help)", other.unexpected()),
        }
    }
    ensure!(options.workers > 0 && options.lookups > 0, "--workers and --lookups must be at least 1");
    match (worker, options) {
        (Some(number), Options { csv: Some(csv), table: Some(table), lookups, .. }) => {
            Ok(Role::Worker { number, table, csv, lookups })
        }
        (None, options) if keys.is_empty() => Ok(Role::Build(options)),
        (None, Options { csv: None, table: Some(table), .. }) => Ok(Role::Ask { table, keys }),
        _ => bail!("keys are looked up with --table FILE KEY.. (see --help)"),
    }
}

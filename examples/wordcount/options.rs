//! The command line.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, bail, ensure};
use lexopt::prelude::*;
use netshm::Locking;

const HELP: &str = "\
Counts words with several processes that share one table.

usage: wordcount [OPTIONS] [FILE | DIRECTORY]..

Without files, the text files of this repository are counted, several times over.

  --workers N       processes (default: one for each CPU, at least 2)
  --passes N        count the files N times (default: 1; without files, until 32 MiB are counted)
  --locking METHOD  futex (default), record, or none, which allows one worker only
  --top N           words to show (default: 10)";

/// The task of this process.
pub(crate) enum Role {
    Main(Options),
    /// Count with others; the main process started us.
    Worker {
        index: usize,
        base: String,
        locking: Locking,
    },
}

/// The options of the user.
pub(crate) struct Options {
    pub(crate) workers: usize,
    pub(crate) locking: Locking,
    pub(crate) top: usize,
    pub(crate) paths: Vec<PathBuf>,
    /// `None`: enough to make the input worth several processes.
    pub(crate) passes: Option<u64>,
}

pub(crate) fn parse() -> Result<Role> {
    let (mut workers, mut locking, mut top, mut paths) = (None, Locking::Futex, 10, Vec::new());
    let (mut worker, mut base, mut passes) = (None, String::new(), None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("workers") => workers = Some(arguments.value()?.parse()?),
            Long("locking") => locking = arguments.value()?.parse_with(method)?,
            Long("top") => top = arguments.value()?.parse()?,
            Long("passes") => passes = Some(arguments.value()?.parse()?),
            Long("worker") => worker = Some(arguments.value()?.parse()?),
            Long("base") => base = arguments.value()?.string()?,
            Long("help") | Short('h') => {
                println!("{HELP}");
                std::process::exit(0);
            }
            Value(path) => paths.push(path.into()),
            other => bail!("{} (see --help)", other.unexpected()),
        }
    }
    if let Some(index) = worker {
        return Ok(Role::Worker { index, base, locking });
    }
    let workers = match (workers, locking) {
        (Some(workers), _) => workers,
        (None, Locking::None) => 1,
        (None, _) => thread::available_parallelism().map_or(2, |cpus| cpus.get().max(2)),
    };
    ensure!(workers > 0, "--workers must be at least 1");
    ensure!(
        locking != Locking::None || workers == 1,
        "nothing protects several writers from each other with --locking none: use --workers 1"
    );
    ensure!(passes != Some(0), "--passes must be at least 1");
    if !paths.is_empty() {
        passes = passes.or(Some(1));
    } else {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        paths.push(if repository.is_dir() { repository } else { ".".into() });
    }
    Ok(Role::Main(Options { workers, locking, top, paths, passes }))
}

fn method(text: &str) -> Result<Locking, String> {
    [Locking::None, Locking::Record, Locking::Futex]
        .into_iter()
        .find(|method| method.to_string().eq_ignore_ascii_case(text))
        .ok_or_else(|| "known are none, record and futex".to_owned())
}

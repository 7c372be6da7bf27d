//! The command line.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use anyhow::{Result, bail, ensure};
use lexopt::prelude::*;
use netshm::Locking;
use netshm::declare::Place;

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
        place: Place,
    },
}

/// The options of the user.
pub(crate) struct Options {
    pub(crate) workers: usize,
    pub(crate) top: usize,
    pub(crate) paths: Vec<PathBuf>,
    /// `None`: enough to make the input worth several processes.
    pub(crate) passes: Option<u64>,
}

static LOCKING: OnceLock<Locking> = OnceLock::new();

/// Returns the locking method that the user has chosen.
pub(crate) fn locking() -> Locking {
    LOCKING.get().copied().unwrap_or_default()
}

pub(crate) fn parse() -> Result<Role> {
    let (mut workers, mut locking, mut top, mut paths) = (None, Locking::Futex, 10, Vec::new());
    let (mut worker, mut place, mut passes) = (None, None, None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("workers") => workers = Some(arguments.value()?.parse()?),
            Long("locking") => locking = arguments.value()?.parse_with(method)?,
            Long("top") => top = arguments.value()?.parse()?,
            Long("passes") => passes = Some(arguments.value()?.parse()?),
            Long("worker") => worker = Some(arguments.value()?.parse()?),
            Long("place") => place = Some(arguments.value()?.string()?.into()),
            Long("help") | Short('h') => {
                println!("{HELP}");
                std::process::exit(0);
            }
            Value(path) => paths.push(path.into()),
            other => bail!("{} (see --help)", other.unexpected()),
        }
    }
    LOCKING.get_or_init(|| locking);
    if let Some(index) = worker {
        let Some(place) = place else { bail!("a worker needs --place") };
        return Ok(Role::Worker { index, place });
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
    Ok(Role::Main(Options { workers, top, paths, passes }))
}

fn method(text: &str) -> Result<Locking, String> {
    [Locking::None, Locking::Record, Locking::Futex]
        .into_iter()
        .find(|method| method.to_string().eq_ignore_ascii_case(text))
        .ok_or_else(|| "known are none, record and futex".to_owned())
}

//! The command line.

use std::thread;

use anyhow::{Result, bail, ensure};
use lexopt::prelude::*;

const HELP: &str = "\
Estimates pi and draws the normal distribution with several processes that share their results.

usage: histogram [OPTIONS]

  --workers N  processes (default: one for each CPU, at least 2)
  --points N   random points, rounded up to whole batches of 20,000 (default: 20,000,000)";

/// The task of this process.
pub(crate) enum Role {
    Main {
        workers: u32,
        points: u64,
    },
    /// Compute with others; the main process started us.
    Worker {
        number: u32,
        base: String,
        batches: u64,
    },
}

pub(crate) fn parse() -> Result<Role> {
    let (mut workers, mut points) = (None, 20_000_000);
    let (mut worker, mut base, mut batches) = (None, String::new(), 0);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("workers") => workers = Some(arguments.value()?.parse()?),
            Long("points") => points = arguments.value()?.parse()?,
            Long("worker") => worker = Some(arguments.value()?.parse()?),
            Long("base") => base = arguments.value()?.string()?,
            Long("batches") => batches = arguments.value()?.parse()?,
            Long("help") | Short('h') => {
                println!("{HELP}");
                std::process::exit(0);
            }
            other => bail!("{} (see --help)", other.unexpected()),
        }
    }
    if let Some(number) = worker {
        return Ok(Role::Worker { number, base, batches });
    }
    let workers = workers.unwrap_or_else(|| thread::available_parallelism().map_or(2, |cpus| cpus.get().max(2) as u32));
    ensure!(workers > 0, "--workers must be at least 1");
    ensure!(points > 0, "--points must be at least 1");
    Ok(Role::Main { workers, points })
}

//! The command line.

use std::fmt::Display;
use std::str::FromStr;
use std::thread;

use anyhow::{Result, anyhow, bail, ensure};
use lexopt::prelude::*;
use netshm::declare::Place;

const HELP: &str = "\
A queue of jobs that producers fill and workers empty, and which loses none, whoever is killed.

usage: jobs [OPTIONS]

  --jobs N        jobs to be done (default: 20000)
  --size N        numbers that a job looks at (default: 1000)
  --producers N   processes that add jobs (default: 2)
  --workers N     processes that do them (default: one for each CPU, at least 2)
  --capacity N    jobs that wait at most; producers wait for room (default: 100)
  --kills N       kill processes N times on the way (default: 0); the results are compared at the end
  --store PLACE   keep the queue here, so that the work can be stopped (Ctrl-C) and gone on with: posix:/NAME for
                  shared memory, file:PATH for a file (default: in shared memory, removed at the end)
  --self-test     2000 jobs and 20 kills";

/// The task of this process.
pub(crate) enum Role {
    Main(Options),
    Producer(Child),
    Worker(Child),
}

/// Instructions to a process that the main one has started.
pub(crate) struct Child {
    pub(crate) parent: u32,
    pub(crate) queue: Place,
    pub(crate) capacity: u64,
    pub(crate) size: u64,
}

/// The options of the user.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) jobs: u64,
    pub(crate) size: u64,
    pub(crate) producers: usize,
    pub(crate) workers: usize,
    pub(crate) capacity: u64,
    pub(crate) kills: u64,
    pub(crate) store: Option<Place>,
}

fn number<N: FromStr<Err: Display>>(arguments: &mut lexopt::Parser, option: &str) -> Result<N> {
    let value = arguments.value()?.string()?;
    value.parse().map_err(|error| anyhow!("{option} {value}: {error} (see --help)"))
}

pub(crate) fn parse() -> Result<Role> {
    let workers = thread::available_parallelism().map_or(2, |cpus| cpus.get().max(2));
    let mut options = Options { jobs: 20_000, size: 1000, producers: 2, workers, capacity: 100, kills: 0, store: None };
    let (mut role, mut parent) = (None, 0);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("jobs") => options.jobs = number(&mut arguments, "--jobs")?,
            Long("size") => options.size = number(&mut arguments, "--size")?,
            Long("producers") => options.producers = number(&mut arguments, "--producers")?,
            Long("workers") => options.workers = number(&mut arguments, "--workers")?,
            Long("capacity") => options.capacity = number(&mut arguments, "--capacity")?,
            Long("kills") => options.kills = number(&mut arguments, "--kills")?,
            Long("store") => options.store = Some(arguments.value()?.string()?.into()),
            Long("self-test") => (options.jobs, options.kills) = (2000, 20),
            Long("role") => role = Some(arguments.value()?.string()?),
            Long("parent") => parent = number(&mut arguments, "--parent")?,
            Long("help") | Short('h') => {
                println!("{HELP}");
                std::process::exit(0);
            }
            other => bail!("{} (see --help)", other.unexpected()),
        }
    }
    let at_least_one = options.jobs.min(options.size).min(options.capacity);
    ensure!(
        at_least_one > 0 && options.producers > 0 && options.workers > 0,
        "all numbers but --kills must be at least 1"
    );
    ensure!(options.producers.max(options.workers) <= 200, "--producers and --workers must be at most 200");
    let Some(role) = role else {
        let end = options.jobs.checked_mul(options.size);
        ensure!(end.is_some_and(|end| end < 1 << 40), "--jobs times --size is too much");
        return Ok(Role::Main(options));
    };
    let Options { capacity, size, store, .. } = options;
    let Some(queue) = store else { bail!("a child process needs --store") };
    let child = Child { parent, queue, capacity, size };
    match role.as_str() {
        "producer" => Ok(Role::Producer(child)),
        "worker" => Ok(Role::Worker(child)),
        other => bail!("no such role: {other}"),
    }
}

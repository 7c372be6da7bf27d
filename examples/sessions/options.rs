//! The command line.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use lexopt::prelude::*;
use netshm::declare::Place;

const HELP: &str = "\
A web server of several processes that share their sessions.

usage: sessions [OPTIONS]

  --port N        of 127.0.0.1 (default: 8080; 0: any that is free)
  --workers N     processes (default: one for each CPU, at least 2)
  --idle SECONDS  how long a session lives without a visit (default: 1800)
  --store PLACE   keep the sessions here, so that they outlive the server: posix:/NAME for shared memory, file:PATH
                  for a file (default: in shared memory, removed at the end)
  --self-test     serve on any free port, make a few requests, kill a worker, check the answers, and end";

/// The task of this process.
pub(crate) enum Role {
    Supervisor(Options),
    /// Answer requests; the supervisor, whose process id is given, started us.
    Worker {
        supervisor: u32,
        store: Place,
    },
}

/// The options of the user.
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) workers: usize,
    pub(crate) idle: Duration,
    /// Place that keeps the sessions beyond the end of the server.
    pub(crate) store: Option<Place>,
    pub(crate) self_test: bool,
}

pub(crate) fn parse() -> Result<Role> {
    let workers = thread::available_parallelism().map_or(2, |cpus| cpus.get().max(2));
    let mut options = Options { port: 8080, workers, idle: Duration::from_secs(1800), store: None, self_test: false };
    let mut supervisor = None;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("port") => options.port = arguments.value()?.parse()?,
            Long("workers") => options.workers = arguments.value()?.parse()?,
            Long("idle") => options.idle = Duration::from_secs(arguments.value()?.parse()?),
            Long("store") => options.store = Some(arguments.value()?.string()?.into()),
            Long("self-test") => options.self_test = true,
            Long("worker") => supervisor = Some(arguments.value()?.parse()?),
            Long("help") | Short('h') => {
                println!("{HELP}");
                std::process::exit(0);
            }
            other => bail!("{} (see --help)", other.unexpected()),
        }
    }
    ensure!(options.workers > 0, "--workers must be at least 1");
    match (supervisor, options) {
        (None, options) => Ok(Role::Supervisor(options)),
        (Some(supervisor), Options { store: Some(store), .. }) => Ok(Role::Worker { supervisor, store }),
        (Some(_), _) => bail!("a worker needs --store"),
    }
}

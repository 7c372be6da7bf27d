//! The processes that do the work. When one is killed, another takes its place.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use netshm::declare::Place;
use rustix::process::Signal;

use crate::options::Options;
use crate::queue::Queue;

/// A place in the crew.
pub(crate) struct Post {
    role: &'static str,
    arguments: Vec<String>,
    process: Mutex<Option<Child>>,
}

/// Returns the posts of all producers and workers.
pub(crate) fn posts(options: &Options, queue: &Place) -> Vec<Post> {
    let post = |role| {
        let numbers = [("--capacity", options.capacity), ("--size", options.size)];
        let numbers = numbers.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_string()]);
        let arguments = numbers.chain(["--store".to_owned(), queue.to_string()]).collect();
        Post { role, arguments, process: Mutex::default() }
    };
    let producers = (0..options.producers).map(|_| post("producer"));
    producers.chain((0..options.workers).map(|_| post("worker"))).collect()
}

impl Post {
    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a process at work, until one ends by itself.
    pub(crate) fn keep(&self, queue: &Queue) -> Result<()> {
        while !queue.state()?.is_stopped {
            let status = self.run()?;
            // Its jobs are given to others, wherever it was.
            queue.take_back()?;
            if status.success() {
                break;
            }
            let is_killed = status.signal().is_some_and(|signal| {
                [Signal::KILL.as_raw(), Signal::TERM.as_raw(), Signal::INT.as_raw()].contains(&signal)
            });
            ensure!(is_killed, "a {} failed: {status}", self.role);
        }
        Ok(())
    }

    /// Starts a process, and waits for its end.
    fn run(&self) -> Result<ExitStatus> {
        let mut output = {
            let mut process = self.process();
            let child = process.insert(self.start()?);
            BufReader::new(child.stdout.take().context("a process without output")?)
        };
        // The end of the output is that of the process.
        output.read_line(&mut String::new())?;
        output.read_to_end(&mut Vec::new())?;
        let mut process = self.process();
        let status = process.as_mut().context("nobody else takes it")?.wait()?;
        *process = None;
        Ok(status)
    }

    fn start(&self) -> Result<Child> {
        Command::new(std::env::current_exe()?)
            .args(["--role", self.role, "--parent", &std::process::id().to_string()])
            .args(&self.arguments)
            // Ctrl-C is for the main process alone, which then lets the others end.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting a {}", self.role))
    }

    /// Kills the process, if there is one; returns whether there is.
    pub(crate) fn kill(&self) -> Result<bool> {
        let mut process = self.process();
        let Some(child) = process.as_mut() else { return Ok(false) };
        // One that has ended by itself was not killed.
        let runs = child.try_wait()?.is_none();
        child.kill()?;
        Ok(runs)
    }
}

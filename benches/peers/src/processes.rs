//! Worker processes: this program again, or a driver, spoken to through pipes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::peers::Kind;
use crate::workload::{Request, Result};

/// The first argument that makes this program a worker.
pub(crate) const WORKER: &str = "--worker";

/// What a worker answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) nanoseconds: u64,
    pub(crate) check: u64,
    /// The 50th, 99th and 99.9th percentile, if latencies were asked for.
    pub(crate) latencies: Vec<u64>,
}

/// A process that holds a peer's store open.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    /// Taken when the worker is to end.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a worker: the driver if there is one, otherwise this program.
    pub(crate) fn start(kind: &Kind, driver: Option<&PathBuf>, directory: &Path, entries: u64) -> Result<Worker> {
        let mut command = match driver {
            Some(program) => {
                let mut command = Command::new(program);
                command.arg(directory).arg(kind.method);
                command
            }
            None => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args([WORKER, kind.name]).arg(directory);
                command
            }
        };
        let mut child = command.arg(entries.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("the worker has no output")?);
        Ok(Worker { child, requests, answers })
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let requests = self.requests.as_mut().ok_or("the worker has ended")?;
        Ok(writeln!(requests, "{line}")?)
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("the worker ended before it answered".into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn answer(&mut self) -> Result<Answer> {
        let line = self.hear()?;
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        let [nanoseconds, check, ref latencies @ ..] = numbers[..] else {
            return Err(format!("an answer has two numbers at least, not {line:?}").into());
        };
        Ok(Answer { nanoseconds, check, latencies: latencies.to_vec() })
    }
}

impl Drop for Worker {
    /// A worker ends when there are no more requests; one that does not answer any more is ended.
    fn drop(&mut self) {
        self.requests = None;
        if std::thread::panicking() {
            // Nothing is lost if it has ended already.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Hands one request to each worker, starts all at once when all are prepared, and collects the answers. The time is that
/// from the start to the last answer: with fewer processors than workers, none of these sees it all.
pub(crate) fn ask(workers: &mut [Worker], requests: &[Request]) -> Result<(Duration, Vec<Answer>)> {
    for (worker, request) in workers.iter_mut().zip(requests) {
        worker.say(&request.to_string())?;
    }
    let used = requests.len();
    for worker in &mut workers[..used] {
        match worker.hear()?.as_str() {
            "ready" => {}
            other => return Err(format!("the worker says {other:?} instead of ready").into()),
        }
    }
    let clock = Instant::now();
    for worker in &mut workers[..used] {
        worker.say("go")?;
    }
    let answers = workers[..used].iter_mut().map(Worker::answer).collect::<Result<_>>()?;
    Ok((clock.elapsed(), answers))
}

//! Worker processes: this program again, or a driver, spoken to through pipes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::peers::Kind;
use crate::workload::{Request, Result};

/// The first argument that makes this program a worker.
pub(crate) const WORKER: &str = "--worker";

/// The longest time that a worker may take for one request. Only a peer whose processes block each other needs more.
const LONGEST: Duration = Duration::from_secs(150);

/// Answer of a worker.
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
    answers: Receiver<std::io::Result<String>>,
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
        let output = BufReader::new(child.stdout.take().ok_or("the worker has no output")?);
        let (sender, answers) = mpsc::channel();
        // Ends with the worker's output.
        thread::spawn(move || output.lines().try_for_each(|line| sender.send(line)));
        Ok(Worker { child, requests, answers })
    }

    /// Ends a worker that may not answer any more.
    fn end(&mut self) {
        // Nothing is lost if it has ended already.
        let _ = self.child.kill();
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let requests = self.requests.as_mut().ok_or("the worker has ended")?;
        Ok(writeln!(requests, "{line}")?)
    }

    fn hear(&mut self) -> Result<String> {
        match self.answers.recv_timeout(LONGEST) {
            Ok(line) => Ok(line?),
            Err(RecvTimeoutError::Disconnected) => Err("the worker ended before it answered".into()),
            Err(RecvTimeoutError::Timeout) => Err(format!("no answer within {LONGEST:?}").into()),
        }
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
    /// Closes the requests, which ends the worker.
    fn drop(&mut self) {
        self.requests = None;
        if thread::panicking() {
            self.end();
        }
        let _ = self.child.wait();
    }
}

/// Hands one request to each worker, starts all at once when all are prepared, and collects the answers. The time is that
/// from the start to the last answer: with fewer processors than workers, none of these sees it all.
pub(crate) fn ask(workers: &mut [Worker], requests: &[Request]) -> Result<(Duration, Vec<Answer>)> {
    let outcome = try_ask(workers, requests);
    if outcome.is_err() {
        workers.iter_mut().for_each(Worker::end);
    }
    outcome
}

fn try_ask(workers: &mut [Worker], requests: &[Request]) -> Result<(Duration, Vec<Answer>)> {
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

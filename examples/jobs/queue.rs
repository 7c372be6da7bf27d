//! The queue: a table of jobs, and the order in which they wait.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use netshm::{Array, HashTable, Locking, ShmData, ShmSchema, Watch, group};

use crate::work::{Numbers, Start};

/// The longest time that a process waits before it looks whether its parent is still there.
const LOOK_UP: Duration = Duration::from_secs(1);

/// A piece of work and its outcome.
#[derive(ShmData, Debug, Clone, Copy, PartialEq)]
pub(crate) struct Job {
    pub(crate) numbers: Numbers,
    /// Number of times that a worker has begun it: more than once if one was killed at it.
    pub(crate) begun: u32,
    /// Number of times that it was finished.
    pub(crate) finished: u32,
    pub(crate) result: Option<Start>,
}

/// A process. Process ids are used again, but not by a process that started at the same time.
#[derive(ShmData, Debug, Clone, Copy, PartialEq)]
pub(crate) struct Holder {
    process: u32,
    /// In clock ticks since the machine was started.
    started: u64,
}

impl Holder {
    pub(crate) fn this_process() -> Result<Holder> {
        let process = std::process::id();
        Ok(Holder { process, started: start_of(process).context("this process is not in /proc")? })
    }

    fn is_alive(self) -> bool {
        start_of(self.process) == Some(self.started)
    }
}

/// Returns when a process started, unless there is none or it has ended already.
fn start_of(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the program's name, which is in parentheses and may contain any characters: the state, and 19 fields later the start.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X");
    fields.nth(18)?.parse().ok().filter(|_| !has_ended)
}

/// Progress of the work. Whoever waits for something watches this.
#[derive(ShmData, Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct State {
    /// The place in the queue of the next job to be taken, and that of the next to be added.
    head: u64,
    tail: u64,
    /// Jobs that there will be, that were added, and that are done.
    pub(crate) all: u64,
    pub(crate) added: u64,
    pub(crate) done: u64,
    /// Jobs that had to be begun again.
    pub(crate) given_back: u64,
    /// True if all are to end at the next opportunity.
    pub(crate) is_stopped: bool,
    /// The main process, which keeps the others at work.
    keeper: Option<Holder>,
}

impl State {
    pub(crate) fn waiting(&self) -> u64 {
        self.tail - self.head
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.done == self.all
    }
}

/// State that all processes share: four members of one object, which a group changes together.
#[derive(ShmSchema)]
#[shm(object = "/jobs", locking = Locking::Futex)]
pub(crate) struct Queue {
    /// By number.
    jobs: HashTable<u64, Job>,
    /// The numbers of the jobs that wait, by their place in the queue.
    waiting: HashTable<u64, u64>,
    /// Jobs that are being worked at, and by whom.
    taken: HashTable<u64, Holder>,
    /// One element.
    #[shm(len = 1, default = State::default())]
    state: Array<State>,
}

/// Answer to a process that asks for work.
pub(crate) enum Next<T> {
    Do(T),
    /// There is nothing to do now.
    Later,
    /// There will be nothing to do.
    Never,
}

impl Queue {
    /// Begins, or goes on with what an earlier program has left; returns the state.
    pub(crate) fn begin(&self, all: u64) -> Result<State> {
        let this = Holder::this_process()?;
        let state = self.state.update(0, |state| match state.keeper {
            Some(other) if other.is_alive() => state,
            _ => State {
                all: if state.all == 0 { all } else { state.all },
                is_stopped: false,
                keeper: Some(this),
                ..state
            },
        })?;
        match state.keeper {
            // They would stop each other's.
            Some(other) if other != this => {
                bail!(
                    "process {} is at this work already: wait for it, or choose another place (--store)",
                    other.process
                )
            }
            _ => Ok(state),
        }
    }

    pub(crate) fn state(&self) -> netshm::Result<State> {
        self.state.get(0)
    }

    /// Returns a watch that reports changes of the state.
    pub(crate) fn changes(&self) -> netshm::Result<Watch> {
        self.state.watch()
    }

    /// Lets all processes end.
    pub(crate) fn stop(&self) -> netshm::Result<()> {
        self.state.update(0, |state| State { is_stopped: true, ..state }).map(drop)
    }

    /// Adds the next job, if there is room in the queue.
    pub(crate) fn add(&self, capacity: u64, make: impl Fn(u64) -> Numbers) -> netshm::Result<Next<()>> {
        group!(retry self => {
            let state = self.state.get(0)?;
            if state.is_stopped || state.added == state.all {
                return Ok(Next::Never);
            }
            if state.waiting() >= capacity {
                return Ok(Next::Later);
            }
            let number = state.added;
            self.jobs.add(&number, &Job { numbers: make(number), begun: 0, finished: 0, result: None })?;
            self.waiting.add(&state.tail, &number)?;
            self.state.set(0, &State { tail: state.tail + 1, added: number + 1, ..state })?;
            Next::Do(())
        })
    }

    /// Takes the job that has waited longest. It leaves the queue, and is this process's: both, or neither.
    pub(crate) fn take(&self, holder: &Holder) -> netshm::Result<Next<(u64, Job)>> {
        group!(retry self => {
            let state = self.state.get(0)?;
            if state.is_stopped || state.is_finished() {
                return Ok(Next::Never);
            }
            let Some(number) = self.waiting.pop(&state.head)? else { return Ok(Next::Later) };
            let begin = |job: Option<Job>| job.map(|job| Job { begun: job.begun + 1, ..job });
            let Some(job) = self.jobs.update(&number, begin)? else { return Ok(Next::Later) };
            self.taken.add(&number, holder)?;
            self.state.set(0, &State { head: state.head + 1, ..state })?;
            Next::Do((number, job))
        })
    }

    /// Notes the result of a job. It is no longer this process's, and is done: both, or neither.
    pub(crate) fn finish(&self, number: u64, result: Start) -> netshm::Result<()> {
        group!(retry self => {
            let state = self.state.get(0)?;
            self.taken.remove(&number)?;
            self.jobs.update(&number, |job| {
                job.map(|job| Job { finished: job.finished + 1, result: Some(result), ..job })
            })?;
            self.state.set(0, &State { done: state.done + 1, ..state })?;
        })
    }

    /// Puts the jobs of processes that have died back into the queue.
    pub(crate) fn take_back(&self) -> Result<()> {
        for item in self.taken.scan() {
            let (number, holder) = item?;
            if holder.is_alive() {
                continue;
            }
            group!(retry self => {
                let state = self.state.get(0)?;
                // Somebody else may have been first, and another process may be at it already.
                if self.taken.find(&number)? == Some(holder) {
                    self.taken.remove(&number)?;
                    self.waiting.add(&state.tail, &number)?;
                    self.state.set(0, &State { tail: state.tail + 1, given_back: state.given_back + 1, ..state })?;
                }
            })?;
        }
        Ok(())
    }

    /// Checks that nothing is lost and nothing was done twice. With `anew`, all work is done once more, to compare the results.
    pub(crate) fn audit(&self, anew: bool) -> Result<Audit> {
        for (member, report) in self.check()? {
            ensure!(report.is_clean(), "{member}: {report}");
        }
        // Workers whose main process was killed may still be at a job each.
        let (state, jobs, waiting, taken) = group!(retry self => {
            let jobs = self.jobs.scan().collect::<netshm::Result<Vec<_>>>()?;
            let taken = self.taken.values().collect::<netshm::Result<Vec<_>>>()?;
            (self.state.get(0)?, jobs, self.waiting.len()? as u64, taken)
        })?;
        let lost = taken.iter().filter(|holder| !holder.is_alive()).count();
        ensure!(lost == 0, "{lost} jobs are nobody's");
        let (added, mut done, mut best) = (jobs.len() as u64, 0, None);
        for (number, job) in jobs {
            ensure!(
                job.finished == u32::from(job.result.is_some()),
                "job {number} was finished {} times",
                job.finished
            );
            if let Some(result) = job.result {
                done += 1;
                ensure!(!anew || result == job.numbers.longest(), "job {number} has a wrong result: {result:?}");
                best = best.max(Some(result));
            }
        }
        let taken = taken.len() as u64;
        ensure!(
            (added, done, waiting) == (state.added, state.done, state.waiting()) && added == done + waiting + taken,
            "{added} jobs of {}, {done} done, {waiting} waiting, {taken} being done; but {state:?}",
            state.all
        );
        Ok(Audit { state, taken, best })
    }
}

/// What an audit has found.
pub(crate) struct Audit {
    pub(crate) state: State,
    /// Jobs at which somebody still is.
    pub(crate) taken: u64,
    /// The best result.
    pub(crate) best: Option<Start>,
}

/// Does the work that `next` returns, until there will be nothing to do, or the parent process has ended. Where there is nothing to do now, sleeps
/// until the queue changes.
pub(crate) fn work_through<T>(
    queue: &Queue,
    parent: u32,
    next: impl Fn() -> netshm::Result<Next<T>>,
    work: impl Fn(T) -> Result<()>,
) -> Result<()> {
    // Before the first look: what changes after that ends the sleep.
    let mut changes = queue.changes()?;
    while std::os::unix::process::parent_id() == parent {
        match next()? {
            Next::Do(job) => work(job)?,
            Next::Never => break,
            Next::Later => {
                changes.changed(Some(LOOK_UP))?;
            }
        }
    }
    Ok(())
}

//! A queue of jobs that producers fill and workers empty, and which loses none, whoever is killed.
//!
//! ```text
//! cargo run --release --example jobs                                which number below 20 million is the longest from 1?
//! cargo run --release --example jobs -- --kills 200                 the same, while producers and workers are killed
//! cargo run --release --example jobs -- --store posix:/collatz      Ctrl-C stops it, the same command goes on with it
//! cargo run --release --example jobs -- --self-test                 2000 jobs and 20 kills, for a first look
//! ```
//!
//! Producers and workers are processes. A table of jobs, the order in which they wait, and who works at which are members of one
//! object (see `queue.rs`). A worker takes a job in one group: it is popped from the queue, and its row changed. So a job
//! is either waiting, or somebody's, or done, whatever becomes of the process. When one dies, its job goes back into the queue.
//! Whoever has nothing to do sleeps until the queue changes, by a watch: workers while it is empty, producers while it is full.

mod crew;
mod options;
mod queue;
mod work;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use crew::Post;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use netshm::declare::{At, Place};
use options::{Child, Options, Role};
use queue::{Audit, Holder, Queue, State, work_through};
use signal_hook::consts::TERM_SIGNALS;
use work::Numbers;

/// The progress is shown no more often than this.
const SHOW_EACH: Duration = Duration::from_millis(50);

fn main() -> Result<()> {
    match options::parse()? {
        Role::Producer(child) => produce(&child),
        Role::Worker(child) => work(&child),
        Role::Main(options) => run(&options),
    }
}

/// Adds jobs, until all are there.
fn produce(child: &Child) -> Result<()> {
    let queue = Queue::at(child.queue.clone()).open()?;
    let make = |number| Numbers { from: 1 + number * child.size, count: child.size };
    work_through(&queue, child.parent, || queue.add(child.capacity, make), |()| Ok(()))
}

/// Does jobs, until all are done.
fn work(child: &Child) -> Result<()> {
    let queue = Queue::at(child.queue.clone()).open()?;
    let holder = Holder::this_process()?;
    work_through(
        &queue,
        child.parent,
        || queue.take(&holder),
        |(number, job)| Ok(queue.finish(number, job.numbers.longest())?),
    )
}

/// Place of the queue. If the user did not choose the place, it goes away with the program.
struct QueuePlace {
    at: At<Queue>,
    keep: bool,
}

impl QueuePlace {
    fn new(options: &Options) -> QueuePlace {
        let keep = options.store.is_some();
        let own = || Place::posix(format!("/jobs.{}", std::process::id()));
        QueuePlace { at: Queue::at(options.store.clone().unwrap_or_else(own)), keep }
    }

    fn open(&self) -> netshm::Result<Queue> {
        if self.keep { self.at.open_or_create() } else { self.at.create() }
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        if !self.keep {
            let _ = self.at.unlink();
        }
    }
}

/// Runs the main process: keeps the others at work, and shows how far they are.
fn run(options: &Options) -> Result<()> {
    // Before there is anything that a signal could leave behind.
    let signals = signals()?;
    let place = QueuePlace::new(options);
    let queue = Arc::new(place.open()?);
    let first = queue.begin(options.jobs)?;
    queue.take_back()?;
    let posts = Arc::new(crew::posts(options, place.at.place()));
    stop_at(signals, &queue, &posts)?;
    println!(
        "{} jobs, {} done; {} producers, {} workers",
        HumanCount(first.all),
        HumanCount(first.done),
        options.producers,
        options.workers
    );

    let start = Instant::now();
    let kills = thread::scope(|scope| {
        let keep = |post| {
            let outcome = Post::keep(post, &queue);
            if outcome.is_err() {
                // The others would wait for it.
                queue.stop()?;
            }
            outcome
        };
        let keepers: Vec<_> = posts.iter().map(|post| scope.spawn(move || keep(post))).collect();
        let killer = scope.spawn(|| kill(&queue, &posts, options.kills));
        show(&queue)?;
        keepers.into_iter().try_for_each(|keeper| keeper.join().expect("keeping does not panic"))?;
        killer.join().expect("killing does not panic")
    })?;
    let took = start.elapsed();

    queue.take_back()?;
    let Audit { state, taken, best } = queue.audit(options.kills > 0)?;
    let given_back = state.given_back - first.given_back;
    if kills + given_back > 0 {
        println!("{kills} processes killed here, {given_back} jobs of dead ones begun again");
    }
    let rate = (state.done - first.done) as f64 / took.as_secs_f64();
    println!("{} jobs in {took:.2?}, {} a second", HumanCount(state.done - first.done), HumanCount(rate as u64));
    if let Some(best) = best {
        println!("the longest way to 1 so far has {} steps, from {}", best.steps, HumanCount(best.number));
    }
    if state.is_finished() {
        println!("checked: each of {} jobs was done once", HumanCount(state.done));
    } else {
        let left = HumanCount(state.all - state.done);
        let how =
            if place.keep { "the same command goes on with them" } else { "with --store they could be gone on with" };
        println!("stopped: {} jobs were done once each, none is lost, {left} are left; {how}", HumanCount(state.done));
        if taken > 0 {
            println!("{taken} of those that are left are being done, by processes of an earlier program");
        }
    }
    Ok(())
}

/// Returns where a byte arrives for each Ctrl-C and SIGTERM. They end this process no more.
fn signals() -> Result<UnixStream> {
    let (signals, sender) = UnixStream::pair()?;
    for signal in TERM_SIGNALS {
        signal_hook::low_level::pipe::register(*signal, sender.try_clone()?)?;
    }
    Ok(signals)
}

/// Lets all processes end at the first signal, once they have done the jobs that they are at; kills them at the second.
fn stop_at(mut signals: UnixStream, queue: &Arc<Queue>, posts: &Arc<Vec<Post>>) -> Result<()> {
    let (queue, posts) = (Arc::clone(queue), Arc::clone(posts));
    thread::Builder::new().spawn(move || -> Result<()> {
        signals.read_exact(&mut [0])?;
        queue.stop()?;
        signals.read_exact(&mut [0])?;
        posts.iter().try_for_each(|post| post.kill().map(drop))
    })?;
    Ok(())
}

/// Shows how far the work is, until it ends.
fn show(queue: &Queue) -> Result<()> {
    let style = ProgressStyle::with_template("[{bar:40}] {human_pos} of {human_len} jobs, {msg} waiting")?;
    let bar = ProgressBar::new(queue.state()?.all).with_style(style).with_message("0");
    wait_for(queue, |state| {
        bar.set_position(state.done);
        bar.set_message(state.waiting().to_string());
        thread::sleep(SHOW_EACH);
        state.is_finished()
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// Kills processes while the work goes on, evenly spread over it; returns how many.
fn kill(queue: &Queue, posts: &[Post], wanted: u64) -> Result<u64> {
    let mut kills = 0;
    while kills < wanted {
        let is_time = |state: &State| state.done >= state.all / (wanted + 1) * (kills + 1) || state.is_finished();
        let state = wait_for(queue, is_time)?;
        if state.is_stopped || state.is_finished() {
            break;
        }
        thread::sleep(Duration::from_micros(fastrand::u64(..1000)));
        kills += u64::from(posts[fastrand::usize(..posts.len())].kill()?);
    }
    Ok(kills)
}

/// Waits until the state is as wanted, or the work is stopped.
fn wait_for(queue: &Queue, is_it: impl Fn(&State) -> bool) -> Result<State> {
    let mut changes = queue.changes()?;
    loop {
        let state = queue.state()?;
        if is_it(&state) || state.is_stopped {
            return Ok(state);
        }
        ensure!(changes.changed(None)?, "a watch without a limit ends with a change");
    }
}

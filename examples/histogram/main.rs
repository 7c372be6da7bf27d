//! Estimates pi and draws the normal distribution with several processes that share their results.
//!
//! ```text
//! cargo run --release --example histogram
//! cargo run --release --example histogram -- --workers 8 --points 500000000
//! ```
//!
//! The program runs itself again as worker processes. They take numbers of batches from a shared array, add what they
//! count to a second one, and note down their own results in a shared table, which the progress bar sums up. The random
//! numbers depend on the batch alone, so the result must be exactly that of one process.

mod options;
mod sample;

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use netshm::{Array, HashTable, Locking, Shm, ShmName, group};
use options::Role;
use sample::{BATCH, BINS, Tally};

/// The state that all processes share.
struct Shared {
    /// One element: the number of the next batch.
    next: Array<u64>,
    /// The number of values in each bin.
    bins: Array<u64>,
    /// The result of each worker.
    workers: HashTable<u32, Tally>,
}

impl Shared {
    fn names(base: &str) -> netshm::Result<[ShmName; 3]> {
        let name = |part| ShmName::posix(format!("/{base}.{part}"));
        Ok([name("next")?, name("bins")?, name("workers")?])
    }

    /// Creates the three objects, or opens those that the main process has created.
    fn open(base: &str, create: bool) -> netshm::Result<Shared> {
        let [next, bins, workers] = Shared::names(base)?;
        let open = |name| Shm::options().create_new(create).open(name);
        Ok(Shared {
            next: Array::manage(open(&next)?, 0, Locking::Futex)?,
            bins: Array::manage(open(&bins)?, 0, Locking::Futex)?,
            workers: HashTable::manage(open(&workers)?, Locking::Futex)?,
        })
    }

    fn unlink(base: &str) -> netshm::Result<()> {
        Shared::names(base)?.iter().try_for_each(ShmName::unlink)
    }

    /// Returns the sum of the workers' results.
    fn total(&self) -> netshm::Result<Tally> {
        let mut total = Tally::default();
        for tally in self.workers.values() {
            total.add(&tally?);
        }
        Ok(total)
    }
}

fn main() -> Result<()> {
    match options::parse()? {
        Role::Worker { number, base, batches } => work(&Shared::open(&base, false)?, number, batches),
        Role::Main { workers, points } => compute(workers, points.div_ceil(BATCH)),
    }
}

/// Runs a worker process, which draws batches until none is left.
fn work(shared: &Shared, number: u32, batches: u64) -> Result<()> {
    println!("ready");
    io::stdout().flush()?;
    let bins = &shared.bins;
    let mut done = Tally::default();
    loop {
        // `update` is one step: no two workers get the same batch.
        let batch = shared.next.update(0, |next| next + 1)? - 1;
        if batch >= batches {
            return Ok(());
        }
        let mut counts = [0; BINS];
        done.add(&sample::draw(batch, &mut counts));
        // All bins change together: readers see whole batches.
        group!(retry bins => {
            let mut sums = [0; BINS];
            bins.read_range(.., &mut sums)?;
            sums.iter_mut().zip(&counts).for_each(|(sum, count)| *sum += count);
            bins.set_range(.., &sums)?;
        })?;
        shared.workers.replace(&number, &done)?;
    }
}

/// Runs the main process: starts the workers, waits, and shows and checks the result.
fn compute(workers: u32, batches: u64) -> Result<()> {
    println!("drawing {} points with {workers} processes", HumanCount(batches * BATCH));
    let start = Instant::now();
    let base = format!("histogram.{}", std::process::id());
    let shared = Shared::open(&base, true)?;
    shared.next.resize(1)?;
    shared.bins.resize(BINS)?;
    let children = (0..workers).map(|number| spawn(&base, number, batches)).collect::<Result<Vec<_>>>();
    // All have opened the objects, which live on without names until the last process ends, whatever way it does.
    Shared::unlink(&base)?;
    wait(children?, &shared, batches * BATCH)?;
    let elapsed = start.elapsed();

    let mut bins = [0; BINS];
    shared.bins.read_range(.., &mut bins)?;
    show(&shared, &bins)?;
    check(&shared, &bins, batches, elapsed)
}

/// Starts a worker and waits until it has opened the shared objects.
fn spawn(base: &str, number: u32, batches: u64) -> Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--worker", &number.to_string(), "--base", base, "--batches", &batches.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a worker")?;
    let output = child.stdout.take().context("a worker without output")?;
    BufReader::new(output).read_line(&mut String::new())?;
    Ok(child)
}

/// Shows how far the workers are, until all have ended well.
fn wait(mut workers: Vec<Child>, shared: &Shared, points: u64) -> Result<()> {
    let style = ProgressStyle::with_template("[{bar:40}] {human_pos} of {human_len} points, {per_sec}")?;
    let bar = ProgressBar::new(points).with_style(style);
    while !workers.is_empty() {
        thread::sleep(Duration::from_millis(20));
        bar.set_position(shared.total()?.points);
        let mut running = Vec::new();
        for mut worker in workers {
            match worker.try_wait()? {
                None => running.push(worker),
                Some(status) => ensure!(status.success(), "worker {} failed: {status}", worker.id()),
            }
        }
        workers = running;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Draws the histogram, and says what each worker has contributed.
fn show(shared: &Shared, bins: &[u64]) -> Result<()> {
    let highest = bins.iter().max().copied().unwrap_or(0).max(1);
    for (bin, count) in bins.iter().enumerate() {
        let (low, high) = sample::bounds(bin);
        let bar = "█".repeat((count * 50).div_ceil(highest) as usize);
        println!("{low:>6.2} to {high:>5.2} {:>12} {bar}", HumanCount(*count).to_string());
    }
    let mut workers: Vec<(u32, Tally)> = shared.workers.scan().collect::<netshm::Result<_>>()?;
    workers.sort_by_key(|(number, _)| *number);
    for (number, tally) in workers {
        println!("worker {number}: pi is about {:.6} after {} points", tally.pi(), HumanCount(tally.points));
    }
    Ok(())
}

/// Compares the shared result with what this process computes alone.
fn check(shared: &Shared, bins: &[u64], batches: u64, elapsed: Duration) -> Result<()> {
    let start = Instant::now();
    let (mut alone, mut bins_alone) = (Tally::default(), [0; BINS]);
    for batch in 0..batches {
        alone.add(&sample::draw(batch, &mut bins_alone));
    }
    let elapsed_alone = start.elapsed();
    let total = shared.total()?;
    println!("together: pi is about {:.6}, in {elapsed:.2?} (one process: {elapsed_alone:.2?})", total.pi());
    ensure!(total == alone, "the workers' sum {total:?} differs from that of a single process, {alone:?}");
    ensure!(bins == bins_alone, "the shared bins differ from those of a single process");
    println!("checked: the sums and all bins equal those of a single process");
    Ok(())
}

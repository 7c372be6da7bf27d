//! Counts words with several processes that share one table.
//!
//! ```text
//! cargo run --release --example wordcount                                  the text files of this repository
//! cargo run --release --example wordcount -- --workers 8 --top 20 FILE..   other files and directories
//! ```
//!
//! The program starts itself anew as worker processes. They take pieces of text from one shared table, add what they
//! count to a second one, and note down in a shared array how far they are, which the progress bar shows.

mod options;
mod text;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use netshm::{Array, HashTable, Locking, Shm, ShmName, group};
use options::{Options, Role};
use text::Piece;

/// The key whose bindings are the pieces of text that are still to be counted.
const QUEUE: u32 = 0;

/// What all processes share.
struct Shared {
    /// How often each word has been seen.
    counts: HashTable<String, u64>,
    /// A stack of work: each process pops a piece, no two get the same.
    pieces: HashTable<u32, Piece>,
    /// Bytes and words that each worker has read.
    progress: Array<(u64, u64)>,
}

impl Shared {
    fn names(base: &str) -> netshm::Result<[ShmName; 3]> {
        let name = |part| ShmName::posix(format!("/{base}.{part}"));
        Ok([name("counts")?, name("pieces")?, name("progress")?])
    }

    /// Creates the three objects, or opens those that the main process has created.
    fn open(base: &str, create: bool, locking: Locking) -> netshm::Result<Shared> {
        let [counts, pieces, progress] = Shared::names(base)?;
        let open = |name| Shm::options().create_new(create).open(name);
        Ok(Shared {
            counts: HashTable::manage(open(&counts)?, locking)?,
            pieces: HashTable::manage(open(&pieces)?, locking)?,
            progress: Array::manage(open(&progress)?, (0, 0), locking)?,
        })
    }

    fn unlink(base: &str) -> netshm::Result<()> {
        Shared::names(base)?.iter().try_for_each(ShmName::unlink)
    }

    /// The sums of what the workers have read: bytes and words.
    fn read_so_far(&self) -> netshm::Result<(u64, u64)> {
        let mut sum = (0, 0);
        for worker in 0..self.progress.len()? {
            let (bytes, words) = self.progress.get(worker)?;
            sum = (sum.0 + bytes, sum.1 + words);
        }
        Ok(sum)
    }
}

fn main() -> Result<()> {
    match options::parse()? {
        Role::Worker { index, base, locking } => work(&Shared::open(&base, false, locking)?, index),
        Role::Main(options) => count(&options),
    }
}

/// A worker process: counts pieces until none is left.
fn work(shared: &Shared, index: usize) -> Result<()> {
    println!("ready");
    io::stdout().flush()?;
    let counts = &shared.counts;
    let (mut bytes, mut words) = (0, 0);
    while let Some(piece) = shared.pieces.pop(&QUEUE)? {
        // Counting the piece privately first saves most of the visits to the shared table.
        let text = text::read(&piece)?;
        let mut seen: HashMap<String, u64> = HashMap::new();
        for word in text::words(&text) {
            *seen.entry(word).or_default() += 1;
            words += 1;
        }
        for (word, times) in &seen {
            // Nobody else can change the count between the two calls.
            group!(retry counts => {
                let before = counts.find(word)?.unwrap_or(0);
                counts.replace(word, &(before + times))?;
            })?;
        }
        bytes += text::length(&piece);
        shared.progress.set(index, &(bytes, words))?;
    }
    Ok(())
}

/// The main process: hands out the work, waits, and shows and checks the result.
fn count(options: &Options) -> Result<()> {
    let pieces = text::pieces(&options.paths)?;
    let total: u64 = pieces.iter().map(text::length).sum();
    println!("counting {} with {} processes, {:?} locking", HumanBytes(total), options.workers, options.locking);

    let start = Instant::now();
    let base = format!("wordcount.{}", std::process::id());
    let shared = Shared::open(&base, true, options.locking)?;
    shared.progress.resize(options.workers)?;
    for piece in pieces.iter().rev() {
        shared.pieces.add(&QUEUE, piece)?;
    }
    let workers = (0..options.workers).map(|index| spawn(&base, index, options.locking)).collect::<Result<Vec<_>>>();
    // All have opened the objects, which live on without names until the last process ends, whatever way it does.
    Shared::unlink(&base)?;
    wait(&mut workers?, &shared, total)?;
    let elapsed = start.elapsed();

    let mut counts: Vec<(String, u64)> = shared.counts.scan().collect::<netshm::Result<_>>()?;
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (word, times) in counts.iter().take(options.top) {
        println!("{:>12}  {word}", HumanCount(*times).to_string());
    }
    check(&shared, &pieces, &counts, elapsed)
}

/// Starts a worker and waits until it has opened the shared objects.
fn spawn(base: &str, index: usize, locking: Locking) -> Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--worker", &index.to_string(), "--base", base, "--locking", &locking.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a worker")?;
    let output = child.stdout.take().context("a worker without output")?;
    BufReader::new(output).read_line(&mut String::new())?;
    Ok(child)
}

/// Shows how far the workers are, until all have ended well.
fn wait(workers: &mut Vec<Child>, shared: &Shared, total: u64) -> Result<()> {
    let style = ProgressStyle::with_template("[{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}")?;
    let bar = ProgressBar::new(total).with_style(style);
    while !workers.is_empty() {
        thread::sleep(Duration::from_millis(20));
        bar.set_position(shared.read_so_far()?.0);
        let mut running = Vec::new();
        for mut worker in workers.drain(..) {
            match worker.try_wait()? {
                None => running.push(worker),
                Some(status) => ensure!(status.success(), "worker {} failed: {status}", worker.id()),
            }
        }
        *workers = running;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Compares the shared result with what this process counts alone.
fn check(shared: &Shared, pieces: &[Piece], counts: &[(String, u64)], elapsed: Duration) -> Result<()> {
    let start = Instant::now();
    let mut alone: HashMap<String, u64> = HashMap::new();
    for piece in pieces {
        for word in text::words(&text::read(piece)?) {
            *alone.entry(word).or_default() += 1;
        }
    }
    let elapsed_alone = start.elapsed();
    let (_, read) = shared.read_so_far()?;
    let sum: u64 = counts.iter().map(|(_, times)| times).sum();
    println!(
        "{} words, {} different ones, in {elapsed:.2?} (one process with a private map: {elapsed_alone:.2?})",
        HumanCount(sum),
        HumanCount(counts.len() as u64),
    );
    ensure!(sum == read, "the counts sum up to {sum}, but {read} words were read");
    let equal = counts.len() == alone.len() && counts.iter().all(|(word, times)| alone.get(word) == Some(times));
    ensure!(equal, "the shared counts differ from those of a single process");
    println!("checked: the counts sum up to the words read, and equal those of a single process");
    Ok(())
}

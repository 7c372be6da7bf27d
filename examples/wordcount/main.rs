//! Counts words with several processes that share one table.
//!
//! ```text
//! cargo run --release --example wordcount                                  the text files of this repository
//! cargo run --release --example wordcount -- --workers 8 --top 20 FILE..   other files and directories
//! ```
//!
//! The program runs itself again as worker processes. They take pieces of text from one shared table, add what they
//! count to a second one, and note down in a shared array how far they are, which the progress bar shows; all three are in one object. The summary
//! compares one worker, several workers, and a single process with a map of its own.

mod options;
mod text;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use netshm::declare::Place;
use netshm::{Array, HashTable, ShmSchema, group};
use options::{Options, Role};
use text::Piece;

/// The key whose bindings are the pieces of text that are still to be counted.
const QUEUE: u32 = 0;

/// The state that all processes share: two tables and an array, in one object.
#[derive(ShmSchema)]
#[shm(object = "/wordcount", locking = options::locking())]
struct Shared {
    /// The number of times that each word has been seen.
    counts: HashTable<String, u64>,
    /// A stack of work: each process pops a piece, no two get the same.
    pieces: HashTable<u32, Piece>,
    /// Bytes and words that each worker has read.
    #[shm(default = (0, 0))]
    progress: Array<(u64, u64)>,
}

impl Shared {
    /// Returns how much the workers have read: bytes and words.
    fn read_so_far(&self) -> netshm::Result<(u64, u64)> {
        let mut sum = (0, 0);
        for worker in &self.progress {
            let (bytes, words) = worker?;
            sum = (sum.0 + bytes, sum.1 + words);
        }
        Ok(sum)
    }
}

fn main() -> Result<()> {
    match options::parse()? {
        Role::Worker { index, place } => work(&Shared::at(place).open()?, index),
        Role::Main(options) => count(&options),
    }
}

/// Runs a worker process, which counts pieces until none is left.
fn work(shared: &Shared, index: usize) -> Result<()> {
    println!("ready");
    io::stdout().flush()?;
    let counts = &shared.counts;
    let (mut bytes, mut words) = (0, 0);
    while let Some(piece) = shared.pieces.pop(&QUEUE)? {
        // Counting the piece privately first saves most of the visits to the shared table.
        let mut seen: HashMap<String, u64> = HashMap::new();
        for text in text::read(&piece) {
            for word in text::words(&text?) {
                *seen.entry(word).or_default() += 1;
                words += 1;
            }
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

/// Bytes to be counted if no files are named.
const ENOUGH: u64 = 32 << 20;

/// Runs the main process: counts with one worker and with all of them, and shows, compares and checks the results.
fn count(options: &Options) -> Result<()> {
    let files = text::pieces(&options.paths)?;
    let size: u64 = files.iter().map(text::length).sum();
    let passes = options.passes.unwrap_or_else(|| ENOUGH.div_ceil(size.max(1)));
    let pieces: Vec<Piece> = (0..passes).flat_map(|_| files.iter().cloned()).collect();
    let (total, times) = (HumanBytes(size * passes), if passes == 1 { "time" } else { "times" });
    println!("counting {total} ({} {passes} {times}), {:?} locking", HumanBytes(size), options::locking());

    let single = if options.workers > 1 { Some(round(1, &pieces)?) } else { None };
    let shared = round(options.workers, &pieces)?;
    let start = Instant::now();
    let alone = count_alone(&pieces)?;
    let elapsed_alone = start.elapsed();

    for (word, times) in shared.counts.iter().take(options.top) {
        println!("{:>12}  {word}", HumanCount(*times).to_string());
    }
    let different = HumanCount(shared.counts.len() as u64);
    println!("{} words, {different} different ones", HumanCount(shared.words));
    if let Some(single) = &single {
        println!("  1 worker process    {:>8.2?}", single.elapsed);
    }
    let gain = single.as_ref().map(|single| single.elapsed.as_secs_f64() / shared.elapsed.as_secs_f64());
    let gain = gain.map_or(String::new(), |gain| format!("   {gain:.2} times as fast as one"));
    let noun = if options.workers == 1 { "process  " } else { "processes" };
    println!("{:>3} worker {noun}  {:>8.2?}{gain}", options.workers, shared.elapsed);
    println!("  a private map       {elapsed_alone:>8.2?}   one process that shares nothing");
    for round in single.iter().chain([&shared]) {
        check(round, &alone)?;
    }
    println!("checked: the counts sum up to the words read, and equal those of the private map");
    Ok(())
}

/// The counts of some workers.
struct Round {
    elapsed: Duration,
    /// The most frequent ones first.
    counts: Vec<(String, u64)>,
    /// Words that the workers say they have read.
    words: u64,
}

/// Lets some workers count all pieces.
fn round(workers: usize, pieces: &[Piece]) -> Result<Round> {
    let at = Shared::at(format!("/wordcount.{}", std::process::id()));
    let shared = at.create()?;
    shared.progress.resize(workers)?;
    for piece in pieces.iter().rev() {
        shared.pieces.add(&QUEUE, piece)?;
    }
    let start = Instant::now();
    let workers = (0..workers).map(|index| spawn(at.place(), index)).collect::<Result<Vec<_>>>();
    // All have opened the object, which lives on without a name until the last process ends, whatever way it does.
    at.unlink()?;
    wait(&mut workers?, &shared, pieces.iter().map(text::length).sum())?;
    let elapsed = start.elapsed();
    let mut counts: Vec<(String, u64)> = shared.counts.scan().collect::<netshm::Result<_>>()?;
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(Round { elapsed, counts, words: shared.read_so_far()?.1 })
}

/// Counts all pieces in this process, with a map of its own.
fn count_alone(pieces: &[Piece]) -> Result<HashMap<String, u64>> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for piece in pieces {
        for text in text::read(piece) {
            for word in text::words(&text?) {
                *counts.entry(word).or_default() += 1;
            }
        }
    }
    Ok(counts)
}

/// Starts a worker and waits until it has opened the shared object.
fn spawn(place: &Place, index: usize) -> Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--worker", &index.to_string(), "--place", &place.to_string()])
        .args(["--locking", &options::locking().to_string()])
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

/// Compares shared counts with those of a single process.
fn check(round: &Round, alone: &HashMap<String, u64>) -> Result<()> {
    let sum: u64 = round.counts.iter().map(|(_, times)| times).sum();
    ensure!(sum == round.words, "the counts sum up to {sum}, but {} words were read", round.words);
    let is_equal = |(word, times): &(String, u64)| alone.get(word) == Some(times);
    let equal = round.counts.len() == alone.len() && round.counts.iter().all(is_equal);
    ensure!(equal, "the shared counts differ from those of a single process");
    Ok(())
}

//! Turns a CSV file into a lookup table in a file, which many processes read at the same time.
//!
//! ```text
//! cargo run --release --example lookup                                        rows made up, table thrown away
//! cargo run --release --example lookup -- --csv places.csv --table places     build a table and keep it
//! cargo run --release --example lookup -- --table places P9E3779B1            look a key up in it
//! ```
//!
//! The table is built by one process under a name of its own, written back, and only then gets the name that readers
//! know. It never changes afterwards, so it needs no locks. Readers map it read-only: they share one copy in memory,
//! find it there at once when they start, and a lookup is no system call.

mod options;
mod rows;

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Lines, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::{HumanBytes, HumanCount};
use netshm::{HashTable, Locking, Shm, ShmName};
use options::{Options, Role};

/// From the first column to the others.
type Rows = HashTable<String, Vec<String>>;

fn main() -> Result<()> {
    match options::parse()? {
        Role::Build(options) => build_and_measure(options),
        Role::Ask { table, keys } => ask(&table, &keys),
        Role::Worker { number, table, csv, lookups } => work(number, &table, &csv, lookups),
    }
}

fn build_and_measure(options: Options) -> Result<()> {
    // Removed at the end, with what is in it.
    let scratch = tempfile::tempdir()?;
    let csv = match options.csv {
        Some(csv) => csv,
        None => {
            let csv = scratch.path().join("places.csv");
            rows::make_up(&csv, 100_000)?;
            csv
        }
    };
    let table = options.table.unwrap_or_else(|| scratch.path().join("places"));
    build(&csv, &table)?;
    measure(&csv, &table, options.workers, options.lookups)
}

/// Builds the table, and puts it in the place of an older one, which its readers keep until they open the new one.
fn build(csv: &Path, table: &Path) -> Result<()> {
    let start = Instant::now();
    let mut unfinished = table.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let shm = Shm::options().create(true).truncate(true).mode(0o644).open(&ShmName::file(&unfinished)?)?;
    let rows: Rows = HashTable::manage(shm, Locking::None)?;
    for row in rows::read(csv)? {
        let (key, columns) = row?;
        rows.replace(&key, &columns)?;
    }
    let elapsed = start.elapsed();
    rows.sync()?;
    let elapsed_to_disk = start.elapsed();
    fs::rename(&unfinished, table)?;

    let (keys, size) = (rows.len()? as u64, rows.shm().size()?);
    println!("built {} rows in {elapsed:.2?}, on disk after {elapsed_to_disk:.2?}", HumanCount(keys));
    let from = fs::metadata(csv)?.len();
    println!(
        "size: {}, {} bytes a row (the CSV file: {}, {} bytes a row)",
        HumanBytes(size),
        size / keys.max(1),
        HumanBytes(from),
        from / keys.max(1)
    );
    Ok(())
}

fn open(table: &Path) -> Result<Rows> {
    let shm = Shm::options().read_only(true).open(&ShmName::file(table)?)?;
    Ok(HashTable::manage(shm, Locking::None)?)
}

fn ask(table: &Path, keys: &[String]) -> Result<()> {
    let rows = open(table)?;
    for key in keys {
        let columns = rows.find(key)?.with_context(|| format!("there is no row {key:?} in {}", table.display()))?;
        println!("{key}: {}", columns.join(", "));
    }
    Ok(())
}

/// Lets several processes look keys up at the same time.
fn measure(csv: &Path, table: &Path, workers: u64, lookups: usize) -> Result<()> {
    let mut children = (0..workers).map(|number| spawn(number, table, csv, lookups)).collect::<Result<Vec<_>>>()?;
    let outputs = children.iter_mut().filter_map(|child| child.stdout.take());
    let mut outputs: Vec<_> = outputs.map(|output| BufReader::new(output).lines()).collect();
    // The workers say when they are prepared, start when their input ends, and say when they are done.
    await_lines(&mut outputs)?;
    let start = Instant::now();
    children.iter_mut().for_each(|child| drop(child.stdin.take()));
    await_lines(&mut outputs)?;
    let elapsed = start.elapsed();
    for mut child in children {
        let status = child.wait()?;
        ensure!(status.success(), "worker {} failed: {status}", child.id());
    }
    let all = workers * lookups as u64;
    let rate = (all as f64 / elapsed.as_secs_f64()) as u64;
    println!(
        "{workers} processes read it: {} lookups in {elapsed:.2?}, {} a second",
        HumanCount(all),
        HumanCount(rate)
    );
    println!("checked: all answers are those of the CSV file");
    Ok(())
}

fn spawn(number: u64, table: &Path, csv: &Path, lookups: usize) -> Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--worker", &number.to_string(), "--lookups", &lookups.to_string()])
        .arg("--table")
        .arg(table)
        .arg("--csv")
        .arg(csv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a worker")
}

/// Waits until each worker has said something.
fn await_lines(outputs: &mut [Lines<BufReader<ChildStdout>>]) -> Result<()> {
    for output in outputs {
        output.next().context("a worker has failed")??;
    }
    Ok(())
}

/// Runs a worker process, which looks up keys in random order, one in eight of them unknown, and compares the answers.
fn work(number: u64, table: &Path, csv: &Path, lookups: usize) -> Result<()> {
    let expected: HashMap<String, Vec<String>> = rows::read(csv)?.collect::<Result<_>>()?;
    ensure!(!expected.is_empty(), "{} has no rows", csv.display());
    let unknown = (0..).map(|n| format!("unknown {n}")).find(|key| !expected.contains_key(key)).unwrap_or_default();
    let expected: Vec<(String, Vec<String>)> = expected.into_iter().collect();
    let mut random = fastrand::Rng::with_seed(number);
    let chosen: Vec<_> = (0..lookups)
        .map(|_| match random.u8(0..8) {
            0 => (&unknown, None),
            _ => {
                let (key, columns) = &expected[random.usize(0..expected.len())];
                (key, Some(columns))
            }
        })
        .collect();

    let rows = open(table)?;
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    for (key, columns) in chosen {
        let found = rows.find(key)?;
        ensure!(found.as_ref() == columns, "{key:?} should give {columns:?}, but gives {found:?}");
    }
    println!("done");
    Ok(())
}

//! How long `sync` takes, and how long it holds a writer up: `cargo run --release -p netshm-benches --bin sync [-- FILE]`.
//!
//! The file, which must not exist, should lie on a disk; by default it is one in the directory for temporary files.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netshm::{HashTable, Locking, Shm, ShmName};
use netshm_benches::Order;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ENTRIES: u64 = 1_000_000;
const ROUNDS: usize = 5;

/// Replaces values until it is told to end; returns the longest time that one took.
fn write(table: &HashTable<u64, u64>, end: &AtomicBool) -> netshm::Result<Duration> {
    let mut order = Order::below(ENTRIES);
    let mut longest = Duration::ZERO;
    while !end.load(Ordering::Relaxed) {
        let clock = Instant::now();
        table.replace(&order.draw(), &1)?;
        longest = longest.max(clock.elapsed());
    }
    Ok(longest)
}

/// Returns the time that a `sync` took, and the longest time that a replacement took meanwhile.
fn round(table: &HashTable<u64, u64>) -> Outcome<(Duration, Duration)> {
    for key in 0..ENTRIES {
        table.replace(&key, &0)?;
    }
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write(table, &end));
        thread::sleep(Duration::from_millis(20));
        let clock = Instant::now();
        table.sync()?;
        let took = clock.elapsed();
        end.store(true, Ordering::Relaxed);
        let waited = writer.join().map_err(|_| "the writer has panicked")??;
        Ok((took, waited))
    })
}

fn run(file: &PathBuf) -> Outcome<()> {
    let shm = Shm::options().create_new(true).open(&ShmName::file(file)?)?;
    let table: HashTable<u64, u64> = HashTable::manage(shm, Locking::Futex)?;
    println!("| sync, ms | longest wait of a writer, ms |");
    println!("|---:|---:|");
    for _ in 0..ROUNDS {
        let (took, waited) = round(&table)?;
        println!("| {:.1} | {:.1} |", took.as_secs_f64() * 1000.0, waited.as_secs_f64() * 1000.0);
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let file = env::args_os()
        .nth(1)
        .map_or_else(|| env::temp_dir().join(format!("netshm-bench-sync-{}", std::process::id())), PathBuf::from);
    let outcome = run(&file);
    let _ = fs::remove_file(&file);
    outcome
}

//! What it costs two writing processes that somebody looks at their object as `netshm top` does:
//! `cargo run --release -p netshm-benches --bin observed`.
//!
//! Stretches without an observer alternate with stretches in which one looks once a second, as `top` does by default, and with such
//! in which it looks a hundred times as often: on a busy machine only those show a difference, and a hundredth of it is the cost of `top`.

use std::env;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netshm::inspect::Inspector;
use netshm::{Array, HashTable, Locking, Shm};
use netshm_benches::{Managed, Order};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ENTRIES: u64 = 10_000;
const WRITERS: usize = 2;
const ROUNDS: usize = 15;
const STRETCH: Duration = Duration::from_secs(1);
/// Replacements between two notes of their number.
const NOTED: u64 = 1024;
/// Looks in a second.
const LOOKS: [u32; 3] = [0, 1, 100];

/// Replaces values until it is killed.
fn write(table: &str, counts: &str, writer: usize) -> Outcome<()> {
    let table: HashTable<u64, u64> = HashTable::manage(Shm::open(table)?, Locking::Futex)?;
    let counts: Array<u64> = Array::manage(Shm::open(counts)?, 0, Locking::Futex)?;
    let mut order = Order::below(ENTRIES);
    for done in 1u64.. {
        table.replace(&order.draw(), &done)?;
        if done.is_multiple_of(NOTED) {
            counts.set(writer, &done)?;
        }
    }
    Ok(())
}

/// The writers, which are killed when this is dropped.
struct Writers(Vec<Child>);

impl Drop for Writers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the replacements so far.
fn done(counts: &Array<u64>) -> netshm::Result<u64> {
    (0..WRITERS).map(|writer| counts.get(writer)).sum()
}

/// Returns the replacements in a stretch with that many looks a second, and the time of the slowest look.
fn stretch(inspector: &Inspector, counts: &Array<u64>, looks: u32) -> Outcome<(f64, Duration)> {
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let observer = scope.spawn(|| -> netshm::Result<_> {
            let mut longest = Duration::ZERO;
            while looks > 0 && !end.load(Ordering::Relaxed) {
                let clock = Instant::now();
                inspector.look()?;
                longest = longest.max(clock.elapsed());
                thread::sleep(Duration::from_secs(1) / looks);
            }
            Ok(longest)
        });
        let before = done(counts)?;
        let clock = Instant::now();
        thread::sleep(STRETCH);
        let elapsed = clock.elapsed();
        let after = done(counts)?;
        end.store(true, Ordering::Relaxed);
        let longest = observer.join().map_err(|_| "the observer has panicked")??;
        Ok(((after - before) as f64 / elapsed.as_secs_f64(), longest))
    })
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() -> Outcome<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [table, counts, writer] = &arguments[..] {
        return write(table, counts, writer.parse()?);
    }
    let managed = Managed::<HashTable<u64, u64>>::table(Locking::Futex)?;
    let table = &managed.object;
    let counts = Managed::array(Locking::Futex, WRITERS)?;
    for key in 0..ENTRIES {
        table.replace(&key, &0)?;
    }
    let names = [table.shm().name().to_string(), counts.object.shm().name().to_string()];
    let start = |writer: usize| Command::new(env::current_exe()?).args(&names).arg(writer.to_string()).spawn();
    let _writers = Writers((0..WRITERS).map(start).collect::<Result<_, _>>()?);
    let inspector = Inspector::open(table.shm().name())?;
    stretch(&inspector, &counts.object, 0)?;
    let mut rates = LOOKS.map(|_| Vec::new());
    let mut longest = Duration::ZERO;
    for _ in 0..ROUNDS {
        for (looks, rates) in LOOKS.iter().zip(&mut rates) {
            let (rate, look) = stretch(&inspector, &counts.object, *looks)?;
            rates.push(rate);
            longest = longest.max(look);
        }
    }
    let rates = rates.map(median);
    println!("| looks a second | replacements a second | part |");
    println!("|---:|---:|---:|");
    for (looks, rate) in LOOKS.iter().zip(&rates) {
        println!("| {looks} | {rate:.0} | {:.4} |", rate / rates[0]);
    }
    println!("the slowest look took {:.2} ms", longest.as_secs_f64() * 1000.0);
    Ok(())
}

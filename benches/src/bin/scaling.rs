//! What lookups and additions cost as a table grows: `cargo run --release -p netshm-benches --bin scaling [-- ENTRIES ..]`.
//!
//! Each lookup needs the value that the one before has found, so that the time of one shows and not how many the processor
//! has under way at once. Beside it stands the floor: a chase through as many cache lines as the table has, in private memory.

use std::env;
use std::hint::black_box;
use std::time::Instant;

use netshm::{HashTable, Locking};
use netshm_benches::{Managed, Order};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Entries of the tables, unless others are given.
const ENTRIES: [u64; 3] = [100_000, 1_000_000, 10_000_000];
/// Steps in a round, and rounds of which the median is shown.
const STEPS: u32 = 1_000_000;
const ROUNDS: usize = 7;
const LINE: u64 = 64;

/// Returns a random order in which all numbers below a bound follow each other in one circle (S. Sattolo, 1986).
fn circle(bound: u64) -> Vec<u32> {
    let mut order = Order::below(1 << 31);
    let mut next: Vec<u32> = (0..bound as u32).collect();
    for last in (1..next.len()).rev() {
        next.swap(last, order.draw() as usize % last);
    }
    next
}

/// Returns the number of nanoseconds of a step.
fn chase(mut step: impl FnMut(u64) -> Outcome<u64>) -> Outcome<f64> {
    let clock = Instant::now();
    let mut place = 0;
    for _ in 0..STEPS {
        place = step(black_box(place))?;
    }
    Ok(clock.elapsed().as_nanos() as f64 / f64::from(STEPS))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Returns the row of a table with that number of entries.
fn row(entries: u64) -> Outcome<String> {
    let scratch = Managed::table(Locking::Futex)?;
    let table: &HashTable<u64, u64> = &scratch.object;
    let next = circle(entries);
    let mut additions = Vec::with_capacity(next.len());
    for (key, value) in (0..).zip(&next) {
        let clock = Instant::now();
        table.add(&key, &u64::from(*value))?;
        additions.push(clock.elapsed().as_nanos() as u64);
    }
    additions.sort_unstable();
    let one_in = |count: usize| additions[additions.len() - additions.len().div_ceil(count)] as f64 / 1000.0;
    let size = table.shm().stats()?.allocated;
    let mut lines = vec![[0; LINE as usize / 8]; (size / LINE) as usize];
    lines.iter_mut().zip(circle(size / LINE)).for_each(|(line, next)| line[0] = u64::from(next));
    let (mut hits, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        hits.push(chase(|key| Ok(table.find(&key)?.ok_or("a key is missing")?))?);
        floors.push(chase(|line| Ok(lines[line as usize][0]))?);
    }
    let (hit, floor) = (median(hits), median(floors));
    Ok(format!(
        "| {entries} | {:.1} | {hit:.0} | {floor:.0} | {:.1} | {:.1} | {:.1} |",
        size as f64 / entries as f64,
        one_in(10_000),
        one_in(1_000_000),
        one_in(usize::MAX),
    ))
}

fn main() -> Outcome<()> {
    let mut sizes = env::args().skip(1).map(|size| size.parse()).collect::<Result<Vec<u64>, _>>()?;
    if sizes.is_empty() {
        sizes = ENTRIES.to_vec();
    }
    if sizes.iter().any(|size| !(2..1 << 31).contains(size)) {
        return Err("a table has two entries at least, and fewer than 2147483648".into());
    }
    println!(
        "| entries | bytes an entry | hit, ns | floor, ns | addition, slowest of 10,000, µs | of 1,000,000 | of all |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for size in sizes {
        println!("{}", row(size)?);
    }
    Ok(())
}

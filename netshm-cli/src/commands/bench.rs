//! `netshm bench`.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use netshm::{Array, HashTable, Locking, Shm, ShmName};
use serde_json::json;

use crate::args::Bench;
use crate::failure::Failure;
use crate::output::{Columns, Output, count};

/// The object of the measurement, which goes away at the end.
struct Scratch(Shm);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.0.name().unlink();
    }
}

/// Returns a number that looks random: splitmix64.
fn scrambled(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Makes the compiler believe that a value is used.
fn seen<T>(value: T) {
    black_box(value);
}

/// Operations between two looks at the clock.
const STRETCH: u64 = 256;

/// Repeats an operation for a while; returns nanoseconds for each.
fn measure(during: Duration, mut operation: impl FnMut(u64) -> netshm::Result<()>) -> Result<f64, Failure> {
    let start = Instant::now();
    let mut done = 0u64;
    loop {
        for number in done..done + STRETCH {
            operation(number)?;
        }
        done += STRETCH;
        let elapsed = start.elapsed();
        if elapsed >= during {
            return Ok(elapsed.as_nanos() as f64 / done as f64);
        }
    }
}

pub(crate) fn run(args: &Bench, out: &mut Output) -> Result<(), Failure> {
    let pattern: ShmName = match &args.directory {
        Some(directory) => ShmName::file(directory.join("netshm-bench.XXXXXXXX"))?,
        None => "posix:/netshm-bench.XXXXXXXX".parse()?,
    };
    let shm = Scratch(Shm::create_unique(&pattern, 0o600)?);
    let locking: Locking = args.locking.into();
    let entries = args.entries;
    let during = Duration::from_secs_f64(args.seconds);
    let numbers: HashTable<u64, u64> =
        HashTable::options().init(entries).locking(locking).named("numbers").manage(shm.0.clone())?;
    let texts: HashTable<String, String> = HashTable::options().init(entries).named("texts").manage(shm.0.clone())?;
    let array: Array<u64> = Array::options().named("array").manage(shm.0.clone(), 0)?;
    array.resize(usize::try_from(entries).unwrap_or(usize::MAX))?;
    let text = |number: u64| format!("key {number:012}");
    let any = |number: u64| scrambled(number) % entries;

    let mut results: Vec<(&str, f64)> = Vec::new();
    let start = Instant::now();
    (0..entries).try_for_each(|key| numbers.add(&key, &key))?;
    results.push(("add a number", start.elapsed().as_nanos() as f64 / entries as f64));
    results.push(("look a number up", measure(during, |n| numbers.find(&any(n)).map(seen))?));
    let absent = |n| numbers.find(&(entries + any(n))).map(seen);
    results.push(("look an absent number up", measure(during, absent)?));
    results.push(("replace a number", measure(during, |n| numbers.replace(&any(n), &n))?));
    let increase = |n| numbers.update(&any(n), |old| Some(old.unwrap_or(0).wrapping_add(1))).map(drop);
    results.push(("increase a number", measure(during, increase)?));
    let transfer = |n: u64| {
        numbers.group_retry(|| {
            let (from, to) = (any(2 * n), any(2 * n + 1));
            let amount = numbers.find(&from)?.unwrap_or(0) / 2;
            numbers.replace(&to, &amount)?;
            numbers.replace(&from, &amount)
        })
    };
    results.push(("a group of three", measure(during, transfer)?));
    let start = Instant::now();
    (0..entries).try_for_each(|key| texts.add(&text(key), &text(key)))?;
    results.push(("add a text", start.elapsed().as_nanos() as f64 / entries as f64));
    results.push(("look a text up", measure(during, |n| texts.find(&text(any(n))).map(seen))?));
    results.push(("replace a text", measure(during, |n| texts.replace(&text(any(n)), &text(n)))?));
    results.push(("get an element", measure(during, |n| array.get(any(n) as usize).map(seen))?));
    results.push(("set an element", measure(during, |n| array.set(any(n) as usize, &n))?));
    let start = Instant::now();
    let mut visited = 0u64;
    numbers.for_each(|_, _| visited += 1)?;
    results.push(("visit a number", start.elapsed().as_nanos() as f64 / visited.max(1) as f64));
    if args.threads > 1 {
        results.push((
            "look up, all threads",
            together(args.threads, &|seed| measure(during, |n| numbers.find(&any(n ^ seed)).map(seen)))?,
        ));
        results.push((
            "replace, all threads",
            together(args.threads, &|seed| measure(during, |n| numbers.replace(&any(n ^ seed), &n)))?,
        ));
    }
    report(args, locking, &results, out)
}

/// Returns the nanoseconds for each operation of several threads, taken together.
fn together(threads: u32, work: &(dyn Fn(u64) -> Result<f64, Failure> + Sync)) -> Result<f64, Failure> {
    let each = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|id| scope.spawn(move || work(u64::from(id) << 40))).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::message("a thread panicked"))))
            .collect::<Result<Vec<_>, _>>()
    })?;
    Ok(1.0 / each.iter().map(|nanoseconds| 1.0 / nanoseconds).sum::<f64>())
}

fn report(args: &Bench, locking: Locking, results: &[(&str, f64)], out: &mut Output) -> Result<(), Failure> {
    if out.json() {
        let results: Vec<_> = results
            .iter()
            .map(|(operation, nanoseconds)| json!({"operation": operation, "nanoseconds": nanoseconds}))
            .collect();
        return out.json_document(&json!({
            "entries": args.entries,
            "locking": locking.to_string(),
            "threads": args.threads,
            "results": results,
        }));
    }
    out.line(format_args!("{} entries, Locking::{locking}, {} threads", count(args.entries), args.threads))?;
    if cfg!(debug_assertions) {
        out.line("this is a debug build, which is many times slower")?;
    }
    out.line("")?;
    let mut columns = Columns::new(&["OPERATION", ">NANOSECONDS", ">A SECOND"]);
    for (operation, nanoseconds) in results {
        columns.row([
            ((*operation).to_owned(), None),
            (format!("{nanoseconds:.0}"), None),
            (count((1e9 / nanoseconds) as u64), None),
        ]);
    }
    out.table(&columns)
}

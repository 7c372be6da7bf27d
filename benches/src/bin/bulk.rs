//! Single operations beside each other in the caches; what is done to many elements at once, beside plain memory, and to many entries,
//! one way beside the other:
//! `cargo run --release -p netshm-benches --bin bulk`.
//!
//! Each task takes turns with what it is compared with, so that both have the same machine; medians are shown, and the median of
//! the ratios of turns. For what one process does, the time is that of the processor.

use std::env;
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memmap2::MmapRaw;
use netshm::{Array, HashTable, Locking, Shm, ShmData, ShmName, group};
use netshm_benches::pieces::{Bins, PIECES};
use netshm_benches::{Managed, Order};
use netshm_tests::{Directory, Scratch};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const TURNS: usize = 31;
/// Lengths of the arrays: one that the caches hold, and one that they do not.
const LENGTHS: [usize; 2] = [16 << 10, 1 << 20];
/// Elements that one turn touches.
const VOLUME: usize = 1 << 20;
/// Entries of the tables.
const ENTRIES: u64 = 200_000;
/// Bins of the histogram, and what each process adds in a turn.
const BINS: usize = 1000;
const ADDITIONS: u64 = 100_000;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the time that a task takes the processor.
fn worked(task: &mut dyn FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let start = now();
    task()?;
    Ok(now() - start)
}

/// Returns how long a task takes.
fn passed(task: &mut dyn FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let clock = Instant::now();
    task()?;
    Ok(clock.elapsed())
}

type Clock = fn(&mut dyn FnMut() -> Outcome<()>) -> Outcome<Duration>;

/// Compares two tasks of `parts` parts, in turns, and prints a line of the table.
fn compare(
    name: &str,
    parts: u64,
    clock: Clock,
    mut ours: impl FnMut() -> Outcome<()>,
    mut theirs: impl FnMut() -> Outcome<()>,
) -> Outcome<()> {
    let mut times = Vec::new();
    for _ in 0..=TURNS {
        times.push([clock(&mut ours)?, clock(&mut theirs)?].map(|time| time.as_nanos() as f64 / parts as f64));
    }
    // The first turn warms up.
    let times = &times[1..];
    let column = |number: usize| median(times.iter().map(|pair| pair[number]).collect());
    let ratio = median(times.iter().map(|[ours, theirs]| ours / theirs).collect());
    println!("| {name} | {:.2} | {:.2} | {ratio:.2} |", column(0), column(1));
    Ok(())
}

fn repeated(turns: usize, mut task: impl FnMut(usize) -> Outcome<()>) -> impl FnMut() -> Outcome<()> {
    move || (0..turns).try_for_each(&mut task)
}

/// Compares what is done to many elements at once.
fn bulk(length: usize) -> Outcome<()> {
    let scratch = Managed::array(Locking::Futex, length)?;
    let array = &scratch.object;
    let sources = [0, 1].map(|first| (first..).take(length).collect::<Vec<u64>>());
    let [mut ours, mut theirs] = [const { Vec::new() }; 2].map(|mut copy: Vec<u64>| {
        copy.extend_from_slice(&sources[0]);
        copy
    });
    let turns = VOLUME / length;
    compare(
        &format!("`set_range` of {length}, memcpy"),
        VOLUME as u64,
        worked,
        repeated(turns, |turn| Ok(array.set_range(.., black_box(&sources[turn % 2]))?)),
        repeated(turns, |turn| {
            black_box(&mut theirs).copy_from_slice(black_box(&sources[turn % 2]));
            Ok(())
        }),
    )?;
    compare(
        &format!("`read_range` of {length}, memcpy"),
        VOLUME as u64,
        worked,
        repeated(turns, |_| Ok(array.read_range(.., black_box(&mut ours))?)),
        repeated(turns, |_| {
            black_box(&mut theirs).copy_from_slice(black_box(&sources[0]));
            Ok(())
        }),
    )?;
    let sum = |_| {
        black_box(black_box(&sources[0]).iter().fold(0_u64, |sum, element| sum.wrapping_add(*element)));
        Ok(())
    };
    let scan = |_| {
        let mut sum = 0_u64;
        for element in array {
            sum = sum.wrapping_add(element?);
        }
        black_box(sum);
        Ok(())
    };
    compare(
        &format!("`scan` of {length}, a slice"),
        VOLUME as u64,
        worked,
        repeated(turns, scan),
        repeated(turns, sum),
    )?;
    let visit = |_| {
        let mut sum = 0_u64;
        array.for_each(|_, element| sum = sum.wrapping_add(element))?;
        black_box(sum);
        Ok(())
    };
    compare(
        &format!("`for_each` of {length}, a slice"),
        VOLUME as u64,
        worked,
        repeated(turns, visit),
        repeated(turns, sum),
    )
}

/// Keys and elements that the caches hold, and operations of a turn on them.
const FEW: u64 = 1024;
const OPERATIONS: u64 = 50_000;

/// Compares single operations with each other where the caches hold everything.
fn in_the_caches() -> Outcome<()> {
    fn each(mut operation: impl FnMut(u64) -> netshm::Result<()>) -> impl FnMut() -> Outcome<()> {
        move || Ok((0..OPERATIONS).try_for_each(|number| operation(black_box(number % FEW)))?)
    }
    let line = |name, ours: &mut dyn FnMut() -> Outcome<()>, theirs: &mut dyn FnMut() -> Outcome<()>| {
        compare(name, OPERATIONS, worked, ours, theirs)
    };
    let numbers = Managed::<HashTable<u64, u64>>::table(Locking::Futex)?;
    let table = &numbers.object;
    table.add_many((0..FEW).map(|key| (key, key)))?;
    let find = |key| table.find(&key).map(|value| _ = black_box(value));
    let replace = |key| table.replace(&key, &black_box(7));
    line("`replace`, `find`", &mut each(replace), &mut each(find))?;
    let update = |key| table.update(&key, |value| value.map(|value| value + 1)).map(drop);
    line("`update`, `replace`", &mut each(update), &mut each(replace))?;
    let fetch_add = |key| table.fetch_add(&key, 1).map(|value| _ = black_box(value));
    line("`fetch_add`, `replace`", &mut each(fetch_add), &mut each(replace))?;
    let in_a_group = |key| {
        group!(table => {
            let value = table.find(&key)?.unwrap_or_default();
            table.replace(&key, &(value + 1))?;
        })
    };
    line("group of find and replace, `replace`", &mut each(in_a_group), &mut each(replace))?;
    let texts = Managed::<HashTable<u64, String>>::table(Locking::Futex)?;
    let (table, text) = (&texts.object, "t".repeat(100));
    table.add_many((0..FEW).map(|key| (key, &text)))?;
    let replace = |key| table.replace(&key, black_box(text.as_str()));
    let find = |key| table.find(&key).map(|value| _ = black_box(value));
    line("`replace` of a text, `find`", &mut each(replace), &mut each(find))?;
    let elements = Managed::array(Locking::Futex, FEW as usize)?;
    let array = &elements.object;
    array.fill(.., &1)?;
    let set = |index| array.set(index as usize, &black_box(7));
    let update = |index| array.update(index as usize, |element| element + 1).map(drop);
    line("`Array::update`, `set`", &mut each(update), &mut each(set))?;
    let fetch_add = |index| array.fetch_add(index as usize, 1).map(|element| _ = black_box(element));
    line("`Array::fetch_add`, `set`", &mut each(fetch_add), &mut each(set))
}

/// Compares ways to visit the entries of a table, and to fill one.
fn entries<V: ShmData + Eq>(what: &str, value: &V) -> Outcome<()> {
    let scratch = Managed::<HashTable<u64, V>>::table(Locking::Futex)?;
    let table = &scratch.object;
    table.add_many((0..ENTRIES).map(|key| (key, value)))?;
    let scan = || {
        for entry in table.scan() {
            black_box(entry?);
        }
        Ok(())
    };
    let visit = || Ok(table.for_each(|key, value| drop(black_box((key, value))))?);
    compare(&format!("`scan` of {ENTRIES} {what}, `for_each`"), ENTRIES, worked, scan, visit)?;
    let fresh = || Managed::<HashTable<u64, V>>::table(Locking::Futex);
    let together = || Ok(fresh()?.object.add_many((0..ENTRIES).map(|key| (key, value)))?);
    let one_by_one = || {
        let table = &fresh()?.object;
        Ok((0..ENTRIES).try_for_each(|key| table.add(&key, value))?)
    };
    compare(&format!("`add_many` of {ENTRIES} {what}, `add`"), ENTRIES, worked, together, one_by_one)
}

/// Bins in a bare mapping of a file.
struct Plain(MmapRaw);

impl Plain {
    fn open(path: &str) -> Outcome<Plain> {
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(BINS as u64 * 8)?;
        Ok(Plain(MmapRaw::map_raw(&file)?))
    }

    #[expect(unsafe_code, reason = "what is compared with is a bare mapping")]
    fn bins(&self) -> &[AtomicU64] {
        // SAFETY: the map is aligned to pages, has `BINS` words as the file has, and lives as long as `self`; all processes that map
        // the file use it as atomic words.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<AtomicU64>(), BINS) }
    }
}

/// Returns bins that are entries of a table.
fn table_of_bins(shm: Shm) -> netshm::Result<HashTable<u64, u64>> {
    HashTable::options().named("bins").locking(Locking::Futex).manage(shm)
}

/// Adds to bins in random order whenever a line of standard input says where, and answers with a line.
fn serve(name: &str, path: &str, seed: u64) -> Outcome<()> {
    let shm = Shm::open(&name.parse::<ShmName>()?)?;
    let array: Array<u64> = Array::manage(shm.clone(), 0, Locking::Futex)?;
    let table = table_of_bins(shm)?;
    let plain = Plain::open(path)?;
    let mut order = Order::below(BINS as u64);
    for line in io::stdin().lock().lines() {
        let bins: Vec<u64> = (0..ADDITIONS).map(|_| (order.draw() + seed) % BINS as u64).collect();
        match line?.as_str() {
            "array" => bins.iter().try_for_each(|bin| array.fetch_add(*bin as usize, 1).map(drop))?,
            "table" => bins.iter().try_for_each(|bin| table.fetch_add(bin, 1).map(drop))?,
            "groups" => bins.iter().try_for_each(|bin| {
                group!(table => {
                    let value = table.find(bin)?.unwrap_or_default();
                    table.replace(bin, &(value + 1))?;
                })
            })?,
            _ => bins.iter().for_each(|bin| {
                plain.bins()[*bin as usize].fetch_add(1, Ordering::Relaxed);
            }),
        }
        println!("done");
    }
    Ok(())
}

/// A process that adds.
struct Adder(Child, ChildStdin, BufReader<ChildStdout>);

impl Adder {
    fn start(name: &str, path: &str, seed: u64) -> Outcome<Adder> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--add", name, path, &seed.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(requests), Some(answers)) = (requests, answers) else { return Err("a child without pipes".into()) };
        Ok(Adder(child, requests, BufReader::new(answers)))
    }
}

/// Compares an addition with the first pieces of what protects it with an addition to an atomic word.
fn pieces<const FIRST: usize>() -> Outcome<()> {
    let (all, mut order) = (Bins::new(BINS), Order::below(BINS as u64));
    let bins: Vec<usize> = (0..ADDITIONS).map(|_| order.draw() as usize).collect();
    let protected = || {
        bins.iter().for_each(|bin| all.add::<FIRST>(*bin));
        Ok(())
    };
    let plain = || {
        bins.iter().for_each(|bin| all.add_plainly(*bin));
        Ok(())
    };
    let name = if FIRST == 1 { "addition with " } else { ".. and " };
    compare(&format!("{name}{}, an atomic one", PIECES[FIRST - 1]), ADDITIONS, worked, protected, plain)
}

/// Compares a histogram that several processes make at once.
fn histogram(processes: u64) -> Outcome<()> {
    let (scratch, directory) = (Scratch::posix("bench"), Directory::new("bench"));
    let array: Array<u64> = Array::manage(scratch.open(), 0, Locking::Futex)?;
    array.resize(BINS)?;
    array.fill(.., &1)?;
    let table = table_of_bins(array.shm().clone())?;
    table.add_many((0..BINS as u64).map(|bin| (bin, 0)))?;
    let name = scratch.name().to_string();
    let path = directory.path().join("plain").display().to_string();
    let mut adders = (0..processes).map(|seed| Adder::start(&name, &path, seed * 500)).collect::<Outcome<Vec<_>>>()?;
    let adders = std::cell::RefCell::new(&mut adders);
    let all = |what: &'static str| {
        let adders = &adders;
        move || {
            let mut adders = adders.borrow_mut();
            adders.iter_mut().try_for_each(|adder| writeln!(adder.1, "{what}"))?;
            Ok(adders.iter_mut().try_for_each(|adder| adder.2.read_line(&mut String::new()).map(drop))?)
        }
    };
    compare(&format!("histogram by {processes}, mapped atomics"), ADDITIONS, passed, all("array"), all("plain"))?;
    let name = format!("group of find and replace by {processes}, `fetch_add`");
    compare(&name, ADDITIONS, passed, all("groups"), all("table"))?;
    let sum = table.fold(0, |sum, _, value| sum + value)?;
    assert_eq!(sum, 2 * processes * ADDITIONS * (TURNS as u64 + 1), "nothing is lost");
    let sum = array.scan().sum::<netshm::Result<u64>>()?;
    assert_eq!(sum, BINS as u64 + processes * ADDITIONS * (TURNS as u64 + 1), "nothing is lost");
    for Adder(child, requests, _) in adders.into_inner().drain(..) {
        drop(requests);
        { child }.wait()?;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    if let [_, name, path, seed] = &env::args().skip(1).collect::<Vec<_>>()[..] {
        return serve(name, path, seed.parse()?);
    }
    println!("| ns an element | netshm | beside it | ratio |\n|---|---:|---:|---:|");
    in_the_caches()?;
    LENGTHS.into_iter().try_for_each(bulk)?;
    entries("numbers", &7_u64)?;
    entries("texts", &"t".repeat(100))?;
    pieces::<1>()?;
    pieces::<2>()?;
    pieces::<3>()?;
    pieces::<4>()?;
    [1, 2].into_iter().try_for_each(histogram)
}

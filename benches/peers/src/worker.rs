//! The worker: holds one store open, does what standard input asks, and reports times and check sums.

use std::io::{BufRead, Write};
use std::time::Instant;

use crate::workload::{
    Data, Failure, HOT_KEYS, INCREMENT, MIX_WRITE_EACH, Numbers, Request, Result, Rows, Texts, Workload, key_numbers,
};
use crate::ycsb::{self, OfRows};

/// A table of one kind of keys and values, as every peer has one.
pub(crate) trait Table<D: Data> {
    fn add(&self, key: &D::Key, value: &D::Value) -> Result<()>;

    /// Calls `seen` with the value if there is one.
    fn find<R>(&self, key: &D::Key, seen: impl FnOnce(Option<&D::Value>) -> R) -> Result<R>;

    /// Replaces the value of a key that exists.
    fn replace(&self, key: &D::Key, value: &D::Value) -> Result<()>;

    /// Returns the sum of `part` over all values. The keys must be visited too.
    fn sum(&self, part: fn(&D::Value) -> u64) -> Result<u64>;

    /// Adds all keys; for peers that can do better than one at a time.
    fn fill(&self, keys: &D::Keys, count: usize) -> Result<()> {
        (0..count).try_for_each(|place| {
            let key = D::key(keys, place);
            D::with_value(key, false, |value| self.add(key, value))
        })
    }

    /// Returns the sum of `part` over the values of these keys; for peers that can do better than one at a time.
    fn find_each(&self, keys: &D::Keys, count: usize, part: fn(Option<&D::Value>) -> u64) -> Result<u64> {
        (0..count).try_fold(0, |sum, place| Ok(sum + self.find(D::key(keys, place), part)?))
    }
}

/// A peer that is measured.
pub(crate) trait Peer: Table<Numbers> + Table<Texts> + Sync {
    /// Adds to the value of a number, as one step as others see it.
    fn increment(&self, key: u64, by: u64) -> Result<()>;

    /// Returns the bytes of memory in use: by default, of this process.
    fn bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon in the status")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }
}

/// An array of numbers that is measured.
pub(crate) trait Cells {
    fn get(&self, place: u64) -> Result<u64>;
    fn set(&self, place: u64, value: u64) -> Result<()>;
}

/// Result of one request: the time of all operations, the check sum, and latencies if they were asked for.
type Outcome = (u64, u64, Option<[u64; 3]>);

/// Serves requests for tables until standard input ends.
pub(crate) fn serve_tables(peer: &impl Peer, entries: u64) -> Result<()> {
    serve(|request, start| {
        if ycsb::MIXES.contains(&request.workload) {
            if request.texts {
                in_threads(request, start, |request| {
                    let part = ycsb::Part::<Rows>::new(request, entries);
                    Ok(move || part.perform(&OfRows(peer)))
                })
            } else {
                in_threads(request, start, |request| {
                    let part = ycsb::Part::<Numbers>::new(request, entries);
                    Ok(move || part.perform(peer))
                })
            }
        } else if request.texts && request.workload == Workload::Load {
            table::<Rows, _>(&OfRows(peer), entries, request, start)
        } else if request.texts {
            table::<Texts, _>(peer, entries, request, start)
        } else {
            numbers(peer, entries, request, start)
        }
    })
}

/// Serves requests for an array until standard input ends.
pub(crate) fn serve_cells(cells: &impl Cells, entries: u64) -> Result<()> {
    serve(|request, start| {
        let places: Vec<u64> = key_numbers(request, entries).collect();
        timed(start, || match request.workload {
            Workload::Get => places.iter().try_fold(0, |sum, place| Ok(sum + cells.get(*place)?)),
            Workload::Set | Workload::Fill => {
                places.iter().try_for_each(|place| cells.set(*place, *place))?;
                Ok(request.operations)
            }
            other => Err(format!("arrays know no workload {other}").into()),
        })
    })
}

/// Reads requests and answers them. `perform` calls the function that it is given when all is prepared.
fn serve(perform: impl Fn(Request, &dyn Fn() -> Result<()>) -> Result<Outcome>) -> Result<()> {
    let mut line = String::new();
    while std::io::stdin().lock().read_line(&mut line)? > 0 {
        let request: Request = line.parse()?;
        let start = || {
            say("ready")?;
            let mut go = String::new();
            std::io::stdin().lock().read_line(&mut go)?;
            Ok(())
        };
        let (nanoseconds, check, latencies) = perform(request, &start)?;
        let mut answer = format!("{nanoseconds} {check}");
        for latency in latencies.into_iter().flatten() {
            answer.push_str(&format!(" {latency}"));
        }
        say(&answer)?;
        line.clear();
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn timed(start: &dyn Fn() -> Result<()>, body: impl FnOnce() -> Result<u64>) -> Result<Outcome> {
    start()?;
    let clock = Instant::now();
    let check = body()?;
    Ok((clock.elapsed().as_nanos() as u64, check, None))
}

/// Returns the workloads that only numbers have, and the others.
fn numbers(peer: &impl Peer, entries: u64, request: Request, start: &dyn Fn() -> Result<()>) -> Result<Outcome> {
    match request.workload {
        Workload::Increment => in_threads(request, start, |request| {
            let keys = Numbers::keys(key_numbers(request, entries));
            Ok(move || {
                keys.iter().try_for_each(|key| peer.increment(*key, INCREMENT))?;
                Ok((request.operations, Vec::new()))
            })
        }),
        Workload::Increments => timed(start, || {
            let made = |value: Option<&u64>| value.map_or(0, |value| (value >> 32) & 0xff_ffff);
            (0..HOT_KEYS.min(entries)).try_fold(0, |sum, key| Ok(sum + Table::<Numbers>::find(peer, &key, made)?))
        }),
        Workload::Bytes => timed(start, || peer.bytes()),
        _ => table::<Numbers, _>(peer, entries, request, start),
    }
}

fn table<D: Data, T: Table<D> + Sync>(
    table: &T,
    entries: u64,
    request: Request,
    start: &dyn Fn() -> Result<()>,
) -> Result<Outcome> {
    let count = request.operations as usize;
    let keys = || D::keys(key_numbers(request, entries));
    match request.workload {
        Workload::Fill | Workload::Load => {
            let keys = keys();
            timed(start, || table.fill(&keys, count).map(|()| request.operations))
        }
        Workload::Hit => {
            let keys = keys();
            timed(start, || table.find_each(&keys, count, |value| value.map_or(0, D::fold)))
        }
        Workload::Miss => {
            let keys = keys();
            timed(start, || table.find_each(&keys, count, |value| u64::from(value.is_none())))
        }
        Workload::Replace => {
            let keys = keys();
            timed(start, || {
                for place in 0..count {
                    let key = D::key(&keys, place);
                    D::with_value(key, true, |value| table.replace(key, value))?;
                }
                Ok(request.operations)
            })
        }
        Workload::Iterate => timed(start, || table.sum(D::fold)),
        Workload::Mix | Workload::Latency => in_threads(request, start, |request| {
            let keys = D::keys(key_numbers(request, entries));
            Ok(move || mix::<D, T>(table, &keys, request))
        }),
        other => Err(format!("{} know no workload {other}", D::NAME).into()),
    }
}

/// Runs one thread's part of the mix; returns the latencies of its operations if they are wanted.
fn mix<D: Data, T: Table<D>>(table: &T, keys: &D::Keys, request: Request) -> Result<(u64, Vec<u64>)> {
    let with_clock = request.workload == Workload::Latency;
    let mut latencies = Vec::with_capacity(if with_clock { request.operations as usize } else { 0 });
    let mut done = 0;
    for place in 0..request.operations {
        let key = D::key(keys, place as usize);
        let clock = with_clock.then(Instant::now);
        if place % MIX_WRITE_EACH == MIX_WRITE_EACH - 1 {
            D::with_value(key, true, |value| table.replace(key, value))?;
            done += 1;
        } else {
            done += table.find(key, |value| u64::from(value.is_some_and(|value| D::belongs(key, value))))?;
        }
        latencies.extend(clock.map(|clock| clock.elapsed().as_nanos() as u64));
    }
    Ok((done, latencies))
}

/// Runs one body in as many threads as are asked for, each with a seed of its own, all started together.
fn in_threads<B>(
    request: Request,
    start: &dyn Fn() -> Result<()>,
    prepare: impl Fn(Request) -> Result<B>,
) -> Result<Outcome>
where
    B: FnOnce() -> Result<(u64, Vec<u64>)> + Send,
{
    let mut bodies = Vec::new();
    for thread in 0..request.threads {
        bodies.push(prepare(Request { seed: request.seed + thread, ..request })?);
    }
    start()?;
    let clock = Instant::now();
    let outcomes: Result<Vec<(u64, Vec<u64>)>> = if bodies.len() == 1 {
        bodies.into_iter().map(|body| body()).collect()
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = bodies.into_iter().map(|body| scope.spawn(body)).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| Failure::from("a thread panicked"))?).collect()
        })
    };
    let nanoseconds = clock.elapsed().as_nanos() as u64;
    let outcomes = outcomes?;
    let check = outcomes.iter().map(|(check, _)| check).sum();
    let mut latencies: Vec<u64> = outcomes.into_iter().flat_map(|(_, latencies)| latencies).collect();
    latencies.sort_unstable();
    let at = |rank: f64| latencies[((latencies.len() - 1) as f64 * rank) as usize];
    let percentiles = (!latencies.is_empty()).then(|| [at(0.5), at(0.99), at(0.999)]);
    Ok((nanoseconds, check, percentiles))
}

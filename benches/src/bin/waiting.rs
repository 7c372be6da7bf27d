//! How long readers take beside writers that do not end, and those who wait for a change until they know of it:
//! `cargo run --release -p netshm-benches --bin waiting`.

use std::env;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use netshm::{HashTable, Locking, Shm, ShmName, group};
use netshm_benches::Order;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Numbers = HashTable<u64, u64>;

const ENTRIES: u64 = 200_000;
const READINGS: usize = 100_000;
const TURNS: u64 = 3_000;

/// Why a group was undone: on purpose, or by an error.
struct Undone(Option<netshm::Error>);

impl From<netshm::Error> for Undone {
    fn from(error: netshm::Error) -> Self {
        Undone(Some(error))
    }
}

fn open(name: &ShmName) -> netshm::Result<Numbers> {
    HashTable::manage(Shm::options().create(true).open(name)?, Locking::Futex)
}

/// Prints the median, the 99th percentile and the longest of some times, in microseconds.
fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let at = |part: f64| micros(times[((times.len() - 1) as f64 * part) as usize]);
    println!("| {what} | {:.1} | {:.1} | {:.1} |", at(0.5), at(0.99), at(1.0));
}

/// Times lookups of keys from `keys`. The first one is printed by itself: it reads the log.
fn readings(table: &Numbers, keys: u64, go_on: impl Fn() -> bool) -> netshm::Result<Vec<Duration>> {
    let mut order = Order::below(keys);
    let clock = Instant::now();
    table.find(&order.draw())?;
    println!("| first of the following | | | {:.1} |", clock.elapsed().as_secs_f64() * 1e6);
    let mut times = Vec::with_capacity(READINGS);
    while times.len() < READINGS && go_on() {
        let key = order.draw();
        let clock = Instant::now();
        let found = table.find(&key)?;
        times.push(clock.elapsed());
        assert_eq!(found, Some(0), "what is committed");
    }
    Ok(times)
}

/// Times reads of what a group changes that sleeps after a number of changes.
fn behind_a_sleeper(name: &ShmName, changes: u64) -> Outcome<Vec<Duration>> {
    let writer = open(name)?;
    thread::scope(|scope| {
        let (wake, sleep) = channel::<()>();
        let (fell_asleep, asleep) = channel();
        let group = scope.spawn(move || {
            let outcome: Result<(), Undone> = group!(writer: Undone => {
                for key in 0..changes {
                    writer.replace(&key, &1)?;
                }
                let _ = fell_asleep.send(());
                let _ = sleep.recv();
                return Err(Undone(None));
            });
            matches!(outcome, Err(Undone(None)))
        });
        asleep.recv()?;
        let times = readings(&open(name)?, changes, || true)?;
        drop(wake);
        assert!(group.join().map_err(|_| "the writer has panicked")?);
        Ok(times)
    })
}

/// Reads beside a group that goes on changing things.
fn behind_a_worker(name: &ShmName, changes: u64) -> Outcome<Vec<Duration>> {
    let writer = open(name)?;
    let works = AtomicBool::new(true);
    thread::scope(|scope| {
        let works = &works;
        let (begin, begun) = channel();
        let group = scope.spawn(move || {
            let outcome: Result<(), Undone> = group!(writer: Undone => {
                for key in 0..changes {
                    writer.replace(&key, &1)?;
                    if key == 1000 {
                        let _ = begin.send(());
                    }
                }
                works.store(false, Ordering::Relaxed);
                return Err(Undone(None));
            });
            matches!(outcome, Err(Undone(None)))
        });
        begun.recv()?;
        let times = readings(&open(name)?, changes, || works.load(Ordering::Relaxed))?;
        assert!(group.join().map_err(|_| "the writer has panicked")?);
        Ok(times)
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// Answers each turn of the other process with the time that it learned of it.
fn answer(name: &ShmName) -> netshm::Result<()> {
    let table = open(name)?;
    for turn in 1..=TURNS {
        table.wait_until(&1, None, |found| found.is_some_and(|found| *found >= turn))?;
        let learned = now();
        table.replace(&2, &learned)?;
    }
    Ok(())
}

/// Changes what another process waits for; the times from before the change until that one knows.
fn hand_overs(name: &ShmName, pause: Duration) -> Outcome<Vec<Duration>> {
    let table = open(name)?;
    table.replace(&1, &0)?;
    table.replace(&2, &0)?;
    let mut other =
        Command::new(env::current_exe()?).args(["answer", &name.to_string()]).stdin(Stdio::null()).spawn()?;
    thread::sleep(Duration::from_millis(100));
    let mut times = Vec::new();
    let mut last = 0;
    for turn in 1..=TURNS {
        thread::sleep(pause);
        let before = now();
        table.replace(&1, &turn)?;
        let learned = table.wait_until(&2, None, |found| found.is_some_and(|found| *found > last))?.unwrap_or(0);
        last = learned;
        times.push(Duration::from_nanos(learned.saturating_sub(before)));
    }
    other.wait()?;
    Ok(times)
}

fn run(name: &ShmName) -> Outcome<()> {
    let table = open(name)?;
    for key in 0..ENTRIES {
        table.replace(&key, &0)?;
    }
    println!("| | p50, us | p99, us | longest, us |");
    println!("|---|---:|---:|---:|");
    report("lookup, nobody writes", readings(&table, ENTRIES, || true)?);
    report("lookup beside a group that sleeps after 100 changes", behind_a_sleeper(name, 100)?);
    report("lookup beside a group that sleeps after 100,000 changes", behind_a_sleeper(name, 100_000)?);
    report("lookup beside a group that makes 100,000 changes", behind_a_worker(name, 100_000)?);
    report("change until another process knows, 1 ms between two", hand_overs(name, Duration::from_millis(1))?);
    report("change until another process knows, at once", hand_overs(name, Duration::ZERO)?);
    Ok(())
}

fn main() -> Outcome<()> {
    let mut args = env::args().skip(1);
    if let (Some("answer"), Some(name)) = (args.next().as_deref(), args.next()) {
        return Ok(answer(&name.parse()?)?);
    }
    let name = ShmName::posix(format!("/netshm-bench-waiting-{}", std::process::id()))?;
    let outcome = run(&name);
    name.unlink()?;
    outcome
}

//! Counts the instructions of each operation, which unlike its time are the same on a noisy machine.
//!
//! `cargo run --release -p netshm-benches --bin instructions` runs itself under `valgrind --tool=callgrind`, twice for each
//! operation, and prints what the additional calls of the second run took, the calling loop included. With `--check` it compares
//! that with the table of DESIGN.md, and fails where an operation takes over 2 % more; where there is no valgrind, it says so.
//!
//! All of that is with one seed of hashes, by which keys meet in buckets. With `--seeds N` it prints means over that many seeds, and
//! the range, for the operations that look up keys (hit, miss, replace, add).

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::{env, process};

use netshm::damage::with_seed;
use netshm::{Array, DataManager, HashTable, Locking, Shm, ShmKey, group};
use netshm_benches::Managed;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
type Run = fn(u64) -> netshm::Result<()>;

/// Entries in the table and the array: few, since only instructions count.
const ENTRIES: u64 = 1000;
/// Bytes of a text.
const TEXT: usize = 100;
/// The variable that tells a run its seed, and the seed of the table in DESIGN.md.
const SEED: &str = "NETSHM_SEED";
const FIRST_SEED: u64 = 1;
/// Operations for which `--seeds` counts: hit, miss, replace, add.
const SEEDED: usize = 4;
/// Calls in the two runs.
const CALLS: [u64; 2] = [10_000, 60_000];

const OPERATIONS: [(&str, Run); 14] = [
    ("hit", |calls| {
        on_table(calls, |table, call| {
            black_box(table.find(black_box(&(call % ENTRIES)))?);
            Ok(())
        })
    }),
    ("miss", |calls| {
        on_table(calls, |table, call| {
            black_box(table.find(black_box(&(ENTRIES + call % ENTRIES)))?);
            Ok(())
        })
    }),
    ("replace, same size", |calls| on_table(calls, |table, call| table.replace(black_box(&(call % ENTRIES)), &call))),
    ("add", |calls| on_table(calls, |table, call| table.add(black_box(&(ENTRIES + call)), &call))),
    ("find and replace as a group", |calls| {
        on_table(calls, |table, call| {
            let key = call % ENTRIES;
            group!(table => {
                let value = table.find(black_box(&key))?.unwrap_or_default();
                table.replace(&key, &(value + 1))?;
            })
        })
    }),
    ("update", |calls| {
        on_table(calls, |table, call| {
            table.update(black_box(&(call % ENTRIES)), |value| value.map(|value| value + 1)).map(drop)
        })
    }),
    ("fetch_add", |calls| {
        on_table(calls, |table, call| {
            black_box(table.fetch_add(black_box(&(call % ENTRIES)), 1)?);
            Ok(())
        })
    }),
    ("find a text", |calls| {
        on_texts(calls, |table, call| {
            black_box(table.find(black_box(&(call % ENTRIES)))?);
            Ok(())
        })
    }),
    ("replace a text", |calls| {
        let text = "t".repeat(TEXT);
        on_texts(calls, |table, call| table.replace(black_box(&(call % ENTRIES)), black_box(text.as_str())))
    }),
    ("iterate, an entry", |calls| {
        // Only whole iterations can be counted.
        on_table(calls / ENTRIES, |table, _| {
            table.for_each(|key, value| {
                black_box((key, value));
            })
        })
    }),
    ("array get", |calls| {
        on_array(calls, |array, call| {
            black_box(array.get(black_box(call % ENTRIES) as usize)?);
            Ok(())
        })
    }),
    ("array update", |calls| {
        on_array(calls, |array, call| array.update(black_box(call % ENTRIES) as usize, |value| value + 1).map(drop))
    }),
    ("array fetch_add", |calls| {
        on_array(calls, |array, call| {
            black_box(array.fetch_add(black_box(call % ENTRIES) as usize, 1)?);
            Ok(())
        })
    }),
    ("array set", |calls| on_array(calls, |array, call| array.set(black_box(call % ENTRIES) as usize, &call))),
];

/// Further changes, to compare builds with.
const FURTHER: [(&str, Run); 18] = [
    ("add and remove", |calls| {
        on_table(calls, |table, call| {
            table.add(black_box(&(ENTRIES + call)), &call)?;
            table.remove(black_box(&(ENTRIES + call))).map(drop)
        })
    }),
    ("add a text and remove it", |calls| {
        on_texts(calls, |table, call| {
            table.add(black_box(&(ENTRIES + call)), "a short text")?;
            table.remove(black_box(&(ENTRIES + call))).map(drop)
        })
    }),
    ("compare_exchange", |calls| {
        on_table(calls, |table, call| {
            let key = call % ENTRIES;
            table.compare_exchange(black_box(&key), &key, &key).map(|exchanged| assert!(exchanged.is_ok()))
        })
    }),
    ("pop and add", |calls| {
        on_table(calls, |table, call| {
            black_box(table.pop(black_box(&(call % ENTRIES)))?);
            table.add(black_box(&(call % ENTRIES)), &call)
        })
    }),
    ("add_many of 16 and removal, a key", |calls| {
        on_table(calls / 16, |table, call| {
            table.add_many((0..16).map(|key| (ENTRIES + call * 16 + key, key)))?;
            (0..16).try_for_each(|key| table.remove(&(ENTRIES + call * 16 + key)).map(drop))
        })
    }),
    ("array set_range of 16, an element", |calls| {
        on_array(calls / 16, |array, call| array.set_range(black_box(100..116), &[call; 16]))
    }),
    ("array fill of 16, an element", |calls| {
        on_array(calls / 16, |array, call| array.fill(black_box(100..116), &call))
    }),
    ("group that changes one member", |calls| {
        on_members(
            Locking::Futex,
            calls,
            |[one, _, _], call| group!(one => one.replace(black_box(&(call % ENTRIES)), &call)?),
        )
    }),
    ("group that changes three members", |calls| on_members(Locking::Futex, calls, change_three)),
    ("the same under Record", |calls| on_members(Locking::Record, calls, change_three)),
    ("the same under None", |calls| on_members(Locking::None, calls, change_three)),
    ("replace under Record", |calls| replace_under(Locking::Record, calls)),
    ("replace under None", |calls| replace_under(Locking::None, calls)),
    ("hit, read with care", |calls| with_care("hit", calls)),
    ("miss, read with care", |calls| with_care("miss", calls)),
    ("find a text, read with care", |calls| with_care("find a text", calls)),
    ("array get, read with care", |calls| with_care("array get", calls)),
    ("replace, beside holes", |calls| with_care("replace, same size", calls)),
];

/// Asks for objects whose readers must be careful.
static HOLES: AtomicBool = AtomicBool::new(false);

/// Runs the operation of that name on an object whose free memory is a hole.
fn with_care(name: &str, calls: u64) -> netshm::Result<()> {
    HOLES.store(true, Relaxed);
    // The same code as without holes: a second copy would change what the compiler inlines into the first.
    OPERATIONS.iter().find(|(known, _)| *known == name).map_or(Ok(()), |(_, run)| run(calls))
}

/// Gives memory back in the middle of the object, if that is asked for.
fn make_holes(shm: &Shm) -> netshm::Result<()> {
    if HOLES.load(Relaxed) {
        let large: HashTable<u64, Vec<u8>> = HashTable::options().named("large").manage(shm.clone())?;
        large.add(&0, &vec![1; 1_000_000])?;
        large.remove(&0)?;
        assert!(shm.trim()? > 0, "no hole has been made");
    }
    Ok(())
}

/// Returns a table whose keys meet in the same buckets in each run with the same seed.
fn table<K: ShmKey, V: DataManager>(locking: Locking) -> netshm::Result<Managed<HashTable<K, V>>> {
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(FIRST_SEED);
    with_seed(seed, || Managed::table(locking))
}

fn replace_under(locking: Locking, calls: u64) -> netshm::Result<()> {
    let scratch: Managed<HashTable<u64, u64>> = table(locking)?;
    (0..ENTRIES).try_for_each(|key| scratch.object.add(&key, &key))?;
    (0..calls).try_for_each(|call| scratch.object.replace(black_box(&(call % ENTRIES)), &call))
}

fn change_three([one, two, three]: &[HashTable<u64, u64>; 3], call: u64) -> netshm::Result<()> {
    group!(one => {
        one.replace(black_box(&(call % ENTRIES)), &call)?;
        two.replace(black_box(&(call % ENTRIES)), &call)?;
        three.replace(black_box(&(call % ENTRIES)), &call)?;
    })
}

fn on_members(
    locking: Locking,
    calls: u64,
    operation: impl Fn(&[HashTable<u64, u64>; 3], u64) -> netshm::Result<()>,
) -> netshm::Result<()> {
    let scratch: Managed<HashTable<u64, u64>> = table(locking)?;
    let member = |name: &str| HashTable::<u64, u64>::options().named(name).manage(scratch.object.shm().clone());
    let members = [member("one")?, member("two")?, member("three")?];
    for member in &members {
        (0..ENTRIES).try_for_each(|key| member.add(&key, &key))?;
    }
    (0..calls).try_for_each(|call| operation(&members, call))
}

fn on_table(calls: u64, operation: impl Fn(&HashTable<u64, u64>, u64) -> netshm::Result<()>) -> netshm::Result<()> {
    let scratch = table(Locking::Futex)?;
    (0..ENTRIES).try_for_each(|key| scratch.object.add(&key, &key))?;
    make_holes(scratch.object.shm())?;
    (0..calls).try_for_each(|call| operation(&scratch.object, call))
}

fn on_texts(calls: u64, operation: impl Fn(&HashTable<u64, String>, u64) -> netshm::Result<()>) -> netshm::Result<()> {
    let scratch = table(Locking::Futex)?;
    (0..ENTRIES).try_for_each(|key| scratch.object.add(&key, &"t".repeat(TEXT)))?;
    make_holes(scratch.object.shm())?;
    (0..calls).try_for_each(|call| operation(&scratch.object, call))
}

fn on_array(calls: u64, operation: impl Fn(&Array<u64>, u64) -> netshm::Result<()>) -> netshm::Result<()> {
    let scratch = Managed::array(Locking::Futex, ENTRIES as usize)?;
    (0..ENTRIES).try_for_each(|index| scratch.object.set(index as usize, &index))?;
    make_holes(scratch.object.shm())?;
    (0..calls).try_for_each(|call| operation(&scratch.object, call))
}

/// The figures that are expected: the cells of the table in DESIGN.md, by the names in its head.
const DESIGN: &str = include_str!("../../../DESIGN.md");
/// Tolerance, in percent.
const TOLERANCE: u64 = 2;

/// Returns the instructions that DESIGN.md states for each operation.
fn expected() -> Outcome<Vec<u64>> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let first = format!("| {} |", OPERATIONS[0].0);
    let mut lines = DESIGN.lines().skip_while(|line| !line.starts_with(&first));
    let (names, _, figures) = (lines.next(), lines.next(), lines.next());
    let (Some(names), Some(figures)) = (names, figures) else { return Err("DESIGN.md has no table of them".into()) };
    let figures: Vec<(&str, &str)> = cells(names).into_iter().zip(cells(figures)).collect();
    let figure = |(name, _): &(&str, Run)| match figures.iter().find(|(known, _)| known == name) {
        Some((_, figure)) => Ok(figure.parse()?),
        None => Err(format!("DESIGN.md does not tell about \"{name}\"").into()),
    };
    OPERATIONS.iter().map(figure).collect()
}

/// Compares with the figures in DESIGN.md; returns whether no operation takes more.
fn check() -> Outcome<bool> {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        eprintln!("instructions are not counted, since valgrind cannot be run: {error}");
        return Ok(true);
    }
    let mut is_good = true;
    for (number, (expected, (name, _))) in expected()?.into_iter().zip(OPERATIONS).enumerate() {
        let is_more = |found: u64| found * 100 > expected * (100 + TOLERANCE);
        let found = per_call(number, FIRST_SEED)?;
        if is_more(found) {
            eprintln!("{name}: {found} instructions, {expected} were expected");
            is_good = false;
        } else if found * (100 + TOLERANCE) < expected * 100 {
            eprintln!("{name}: {found} instructions, fewer than the {expected} of DESIGN.md, which may be lowered");
        }
    }
    Ok(is_good)
}

/// Prints the instructions with each of that number of seeds: their mean, and the range.
fn print_means(seeds: u64) -> Outcome<()> {
    println!("| operation | mean of {seeds} seeds | least | most |\n|---|---:|---:|---:|");
    for (number, (name, _)) in OPERATIONS.iter().enumerate().take(SEEDED) {
        let counts =
            (FIRST_SEED..FIRST_SEED + seeds).map(|seed| per_call(number, seed)).collect::<Outcome<Vec<_>>>()?;
        let (Some(least), Some(most)) = (counts.iter().min(), counts.iter().max()) else { break };
        let mean = counts.iter().sum::<u64>() as f64 / seeds as f64;
        println!("| {name} | {mean:.1} | {least} | {most} |");
    }
    Ok(())
}

/// Returns the number of instructions of one call.
fn per_call(operation: usize, seed: u64) -> Outcome<u64> {
    let [few, many] = CALLS;
    Ok(count(operation, many, seed)?.saturating_sub(count(operation, few, seed)?) / (many - few))
}

/// Returns the instructions of a run with that number of calls.
fn count(operation: usize, calls: u64, seed: u64) -> Outcome<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args([operation.to_string(), calls.to_string()])
        .env(SEED, seed.to_string())
        .output()
        .map_err(|error| format!("cannot run valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("a run under valgrind failed:\n{text}").into());
    }
    let collected = text.lines().find_map(|line| line.split_once("Collected :")).ok_or("valgrind tells no count")?;
    Ok(collected.1.trim().parse()?)
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [option, seeds] = &arguments[..]
        && option == "--seeds"
    {
        return print_means(seeds.parse()?);
    }
    if let [operation, calls] = &arguments[..] {
        let all = OPERATIONS.iter().chain(&FURTHER);
        all.clone().nth(operation.parse()?).ok_or("no such operation")?.1(calls.parse()?)?;
        return Ok(());
    }
    if cfg!(debug_assertions) {
        eprintln!("instructions of a debug build mean nothing; use `cargo run --release`");
        process::exit(2);
    }
    if arguments.first().is_some_and(|argument| argument == "--check") {
        process::exit(if check()? { 0 } else { 1 });
    }
    println!("| operation | instructions |\n|---|---:|");
    for (number, (name, _)) in OPERATIONS.iter().chain(&FURTHER).enumerate() {
        println!("| {name} | {} |", per_call(number, FIRST_SEED)?);
    }
    Ok(())
}

//! Counts the instructions of each operation, which unlike its time are the same on a noisy machine.
//!
//! `cargo run --release -p netshm-benches --bin instructions` runs itself under `valgrind --tool=callgrind`, twice for each
//! operation, and prints what the additional calls of the second run took, the calling loop included.

use std::hint::black_box;
use std::process::Command;
use std::{env, process};

use netshm::{Array, HashTable, Locking, group};
use netshm_benches::Scratch;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
type Run = fn(u64) -> netshm::Result<()>;

/// Entries in the table and the array: few, since only instructions count.
const ENTRIES: u64 = 1000;
/// Calls in the two runs.
const CALLS: [u64; 2] = [20_000, 120_000];

const OPERATIONS: [(&str, Run); 9] = [
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
    ("array set", |calls| on_array(calls, |array, call| array.set(black_box(call % ENTRIES) as usize, &call))),
];

fn on_table(calls: u64, operation: impl Fn(&HashTable<u64, u64>, u64) -> netshm::Result<()>) -> netshm::Result<()> {
    let scratch = Scratch::table(Locking::Futex)?;
    (0..ENTRIES).try_for_each(|key| scratch.object.add(&key, &key))?;
    (0..calls).try_for_each(|call| operation(&scratch.object, call))
}

fn on_array(calls: u64, operation: impl Fn(&Array<u64>, u64) -> netshm::Result<()>) -> netshm::Result<()> {
    let scratch = Scratch::array(Locking::Futex, ENTRIES as usize)?;
    (0..ENTRIES).try_for_each(|index| scratch.object.set(index as usize, &index))?;
    (0..calls).try_for_each(|call| operation(&scratch.object, call))
}

/// Returns the instructions of a run with that number of calls.
fn count(operation: usize, calls: u64) -> Outcome<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args([operation.to_string(), calls.to_string()])
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
    if let [operation, calls] = &env::args().skip(1).collect::<Vec<_>>()[..] {
        OPERATIONS[operation.parse::<usize>()?].1(calls.parse()?)?;
        return Ok(());
    }
    if cfg!(debug_assertions) {
        eprintln!("instructions of a debug build mean nothing; use `cargo run --release`");
        process::exit(2);
    }
    println!("| operation | instructions |\n|---|---:|");
    let [few, many] = CALLS;
    for (number, (name, _)) in OPERATIONS.iter().enumerate() {
        let instructions = count(number, many)?.saturating_sub(count(number, few)?) / (many - few);
        println!("| {name} | {instructions} |");
    }
    Ok(())
}

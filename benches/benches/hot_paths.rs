//! Each operation that programs do often, with each locking method.
#![expect(missing_docs, reason = "the function that criterion_group makes has none")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use netshm::{HashTable, Result, group};
use netshm_benches::{METHODS, Managed, Order};

/// Entries in tables and arrays: more than the caches of most processors hold.
const ENTRIES: u64 = 100_000;
const MEBIBYTE: usize = 1 << 20;

type Numbers = HashTable<u64, u64>;
type Texts = HashTable<String, String>;

fn text_key(number: u64) -> String {
    format!("key-{number:09}")
}

/// Reports an operation that fails: a benchmark of errors is worth nothing.
#[track_caller]
fn done<T>(outcome: Result<T>) -> T {
    outcome.expect("the operation succeeds")
}

fn numbers(criterion: &mut Criterion) {
    for (method, locking) in METHODS {
        let scratch: Managed<Numbers> = done(Managed::table(locking));
        let table = &scratch.object;
        for key in 0..ENTRIES {
            done(table.add(&key, &key));
        }
        let mut group = criterion.benchmark_group(format!("u64/{method}"));
        let mut order = Order::below(ENTRIES);
        group.bench_function("find, hit", |bench| bench.iter(|| done(table.find(&order.draw()))));
        group.bench_function("find, miss", |bench| bench.iter(|| done(table.find(&(ENTRIES + order.draw())))));
        group.bench_function("contains", |bench| bench.iter(|| done(table.contains(&order.draw()))));
        group.bench_function("replace", |bench| bench.iter(|| done(table.replace(&order.draw(), &7))));
        group.bench_function("update", |bench| {
            bench.iter(|| done(table.update(&order.draw(), |value| value.map(|value| value.wrapping_add(1)))));
        });
        group.bench_function("add and remove", |bench| {
            bench.iter(|| {
                let key = ENTRIES + order.draw();
                done(table.add(&key, &key));
                done(table.remove(&key))
            });
        });
        group.bench_function("group of find and replace", |bench| {
            bench.iter(|| {
                let key = order.draw();
                done(group!(retry table => {
                    let value = table.find(&key)?.unwrap_or_default();
                    table.replace(&key, &value.wrapping_add(1))?;
                }));
            });
        });
        group.throughput(Throughput::Elements(ENTRIES));
        group.bench_function("iterate", |bench| {
            bench.iter(|| done(table.fold(0, |sum: u64, _, value| sum.wrapping_add(value))));
        });
        group.finish();
    }
}

fn texts(criterion: &mut Criterion) {
    let value = "x".repeat(100);
    let keys: Vec<String> = (0..2 * ENTRIES).map(text_key).collect();
    for (method, locking) in METHODS {
        let scratch: Managed<Texts> = done(Managed::table(locking));
        let table = &scratch.object;
        for key in &keys[..ENTRIES as usize] {
            done(table.add(key, &value));
        }
        let mut group = criterion.benchmark_group(format!("String/{method}"));
        let mut order = Order::below(ENTRIES);
        let mut present = || keys[order.draw() as usize].as_str();
        group.bench_function("find, hit", |bench| bench.iter(|| done(table.find(present()))));
        group.bench_function("contains", |bench| bench.iter(|| done(table.contains(present()))));
        group.bench_function("replace", |bench| bench.iter(|| done(table.replace(present(), &value))));
        group.bench_function("update", |bench| bench.iter(|| done(table.update(present(), |value| value))));
        let mut order = Order::below(ENTRIES);
        let mut absent = || keys[(ENTRIES + order.draw()) as usize].as_str();
        group.bench_function("find, miss", |bench| bench.iter(|| done(table.find(absent()))));
        group.bench_function("add and remove", |bench| {
            bench.iter(|| {
                let key = absent();
                done(table.add(key, &value));
                done(table.remove(key))
            });
        });
        group.throughput(Throughput::Elements(ENTRIES));
        group.bench_function("iterate", |bench| {
            bench.iter(|| done(table.fold(0, |sum, key, value| sum + key.len() + value.len())));
        });
        group.finish();
    }
}

fn arrays(criterion: &mut Criterion) {
    for (method, locking) in METHODS {
        let scratch = done(Managed::array(locking, ENTRIES as usize));
        let array = &scratch.object;
        for place in 0..ENTRIES {
            done(array.set(place as usize, &place));
        }
        let mut group = criterion.benchmark_group(format!("array/{method}"));
        let mut order = Order::below(ENTRIES);
        group.bench_function("get", |bench| bench.iter(|| done(array.get(order.draw() as usize))));
        group.bench_function("set", |bench| bench.iter(|| done(array.set(order.draw() as usize, &7))));
        group.finish();
    }
}

/// Stores and reads a mebibyte, compared with a copy of it.
fn big_values(criterion: &mut Criterion) {
    let bytes: Vec<u8> = (0..MEBIBYTE).map(|place| place as u8).collect();
    let mut group = criterion.benchmark_group("1 MiB");
    group.throughput(Throughput::Bytes(MEBIBYTE as u64));
    group.bench_function("copy to fresh memory", |bench| bench.iter(|| black_box(&bytes).clone()));
    let mut place = vec![0; MEBIBYTE];
    group.bench_function("copy in place", |bench| bench.iter(|| place.copy_from_slice(black_box(&bytes))));
    for (method, locking) in METHODS {
        let scratch: Managed<HashTable<u64, Vec<u8>>> = done(Managed::table(locking));
        let table = &scratch.object;
        done(table.replace(&1, &bytes));
        group.bench_function(format!("find, {method}"), |bench| bench.iter(|| done(table.find(&1))));
        group.bench_function(format!("replace, {method}"), |bench| bench.iter(|| done(table.replace(&1, &bytes))));
    }
    group.finish();
}

/// Measures filling from empty, growth included.
fn filling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fill 10,000");
    group.throughput(Throughput::Elements(10_000));
    for (method, locking) in METHODS {
        group.bench_function(method, |bench| {
            let fill = |scratch: Managed<Numbers>| {
                (0..10_000).for_each(|key| done(scratch.object.add(&key, &key)));
                scratch
            };
            bench.iter_batched(|| done(Managed::table(locking)), fill, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(hot_paths, numbers, texts, arrays, big_values, filling);
criterion_main!(hot_paths);

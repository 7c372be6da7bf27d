//! Directories, chunks and records of arrays.

use std::fmt::Debug;

use super::Subject;
use crate::array::Array;
use crate::data::ShmData;
use crate::error::Result;
use crate::layout::method::Locking;
use crate::shm::Shm;

/// Runs the group on an array with that default, whose writers are stopped at each such step.
fn run<T: ShmData + Clone, D: PartialEq + Debug>(
    name: &str,
    default: T,
    stride: u64,
    prepare: &dyn Fn(&Array<T>) -> Result<()>,
    act: &dyn Fn(&Array<T>) -> Result<()>,
    dump: &dyn Fn(&Array<T>) -> Result<D>,
) {
    let open = |shm: Shm, locking: Locking| {
        Array::options().locking(locking).stripes(2).slots(2).max_size(1 << 26).manage(shm, default.clone())
    };
    let group = |array: &Array<T>, body: &dyn Fn() -> Result<()>| array.group(body);
    Subject { name, open: &open, prepare, act, group: &group, dump, check: &Array::check, stride }.run();
}

fn all<T: ShmData>(array: &Array<T>) -> Result<Vec<T>> {
    array.scan().collect()
}

/// Chunks and nodes of an array's directory, and its height.
#[test]
fn directories() {
    const SPOTS: [usize; 6] = [0, 300, 900, 40_000, 3_000_000, 200_000_000];
    let spots = |array: &Array<u64>| -> Result<Vec<u64>> {
        let length = array.len()?;
        SPOTS.iter().filter(|spot| **spot < length).map(|spot| array.get(*spot)).collect()
    };
    let prepare = |array: &Array<u64>| {
        array.resize(1_000_000_000)?;
        SPOTS[..5].iter().try_for_each(|spot| array.set(*spot, &1))
    };
    let act = |array: &Array<u64>| {
        array.resize(500)?;
        array.resize(1_000_000_000)?;
        SPOTS.iter().try_for_each(|spot| array.set(*spot, &2))?;
        array.resize(0)?;
        array.resize(4_000_000)?;
        SPOTS[..5].iter().try_for_each(|spot| array.set(*spot, &3))?;
        array.resize(50_000)
    };
    run("directories", 5, 11, &prepare, &act, &|array| Ok((array.len()?, spots(array)?)));
}

/// Elements in records of their own.
#[test]
fn arrays_of_texts() {
    let prepare = |array: &Array<String>| {
        array.resize(600)?;
        (0..600).step_by(30).try_for_each(|index| array.set(index, &"t".repeat(index)))
    };
    let act = |array: &Array<String>| {
        array.resize(100)?;
        array.resize(2000)?;
        (0..2000).step_by(190).try_for_each(|index| array.set(index, &"u".repeat(index * 5)))?;
        array.resize(31)?;
        array.resize(700)?;
        (0..700).step_by(60).try_for_each(|index| array.set(index, &"w".repeat(index)))
    };
    run("arrays of texts", "-".to_owned(), 11, &prepare, &act, &all);
}

/// Chunks that are rewritten elsewhere, as their elements are set all at once: some several times in one group, also after the array
/// was made shorter and longer.
#[test]
fn exchanged_chunks() {
    const LENGTH: usize = 1024;
    let numbers = |turn: u64| (0..LENGTH as u64).map(|index| index << 8 | turn).collect::<Vec<_>>();
    let prepare = |array: &Array<u64>| {
        array.resize(LENGTH)?;
        array.set_range(0..LENGTH, &numbers(1))
    };
    let act = |array: &Array<u64>| {
        array.resize(LENGTH)?;
        array.set_range(0..LENGTH, &numbers(2))?;
        array.resize(300)?;
        array.resize(LENGTH)?;
        (3..5).try_for_each(|turn| array.set_range(0..LENGTH, &numbers(turn)))?;
        array.fill(0..700, &7)?;
        array.resize(0)?;
        array.resize(800)?;
        array.set_range(0..800, &numbers(5)[..800])?;
        array.fill(100..600, &8)
    };
    run("exchanged chunks", 5, 131, &prepare, &act, &all);
}

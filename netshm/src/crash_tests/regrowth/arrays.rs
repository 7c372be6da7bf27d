//! Directories, chunks and records of arrays.

use super::Subject;
use crate::array::Array;
use crate::error::Result;

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
    Subject {
        name: "directories",
        open: &|shm, locking| {
            Array::<u64>::options().locking(locking).stripes(2).slots(2).max_size(1 << 26).manage(shm, 5)
        },
        prepare: &prepare,
        act: &act,
        group: &|array, body| array.group(body),
        dump: &|array| Ok((array.len()?, spots(array)?)),
        check: &Array::<u64>::check,
        stride: 11,
    }
    .run();
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
    Subject {
        name: "arrays of texts",
        open: &|shm, locking| {
            Array::<String>::options()
                .locking(locking)
                .stripes(2)
                .slots(2)
                .max_size(1 << 26)
                .manage(shm, "-".to_owned())
        },
        prepare: &prepare,
        act: &act,
        group: &|array, body| array.group(body),
        dump: &|array| array.scan().collect::<Result<Vec<_>>>(),
        check: &Array::<String>::check,
        stride: 11,
    }
    .run();
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
    Subject {
        name: "exchanged chunks",
        open: &|shm, locking| {
            Array::<u64>::options().locking(locking).stripes(2).slots(2).max_size(1 << 26).manage(shm, 5)
        },
        prepare: &prepare,
        act: &act,
        group: &|array, body| array.group(body),
        dump: &|array| array.scan().collect::<Result<Vec<_>>>(),
        check: &Array::<u64>::check,
        stride: 131,
    }
    .run();
}

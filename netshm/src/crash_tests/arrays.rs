//! Operations on arrays.

use std::ops::Range;

use super::{Case, METHODS};
use crate::array::Array;
use crate::error::Result;
use crate::group;
use crate::shm::Shm;

type Numbers = Array<u64>;
type Texts = Array<String>;

fn dump<T: crate::data::DataManager>(array: &Array<T>) -> Result<(Vec<T>, Vec<Range<usize>>)> {
    let length = array.len()?;
    // All in one go, and some one by one; of a long one, some.
    let each = if length > 2000 { 997 } else { 25 };
    let mut all: Vec<T> =
        (0..length).step_by(each).chain(length.checked_sub(1)).map(|index| array.get(index)).collect::<Result<_>>()?;
    for element in array.scan().take(1100) {
        all.push(element?);
    }
    Ok((all, array.written()?))
}

fn run_numbers(name: &str, act: &dyn Fn(&Numbers) -> Result<()>) {
    for locking in METHODS {
        let open =
            move |shm: Shm| Numbers::options().locking(locking).stripes(2).slots(2).max_size(1 << 26).manage(shm, 5);
        let prepare = |array: &Numbers| {
            array.resize(1000)?;
            (0..600).step_by(50).try_for_each(|index| array.set(index, &(index as u64)))
        };
        let name = format!("{name}, {locking}");
        Case { name, open: &open, prepare: &prepare, act, dump: &dump, check: &Numbers::check }.run_under(locking);
    }
}

fn run_texts(name: &str, act: &dyn Fn(&Texts) -> Result<()>) {
    for locking in METHODS {
        let open = move |shm: Shm| {
            Texts::options().locking(locking).stripes(1).slots(2).max_size(1 << 26).manage(shm, "-".to_owned())
        };
        let prepare = |array: &Texts| {
            array.resize(300)?;
            (0..300).step_by(30).try_for_each(|index| array.set(index, &"t".repeat(index)))
        };
        let name = format!("{name}, {locking}");
        Case { name, open: &open, prepare: &prepare, act, dump: &dump, check: &Texts::check }.run_under(locking);
    }
}

#[test]
fn set() {
    run_numbers("set a number", &|array| array.set(50, &1));
    run_numbers("set a number in a new chunk", &|array| array.set(999, &1));
    run_texts("set a text", &|array| array.set(30, "other"));
    run_texts("set a long text", &|array| array.set(299, &"l".repeat(4000)));
}

#[test]
fn arithmetic() {
    run_numbers("add to a number", &|array| array.fetch_add(50, 1).map(drop));
    run_numbers("add to a number in a new chunk", &|array| array.fetch_add(999, 1).map(drop));
    run_numbers("exchange a number", &|array| array.compare_exchange(50, &50, &1).map(drop));
    run_numbers("exchange a number in a new chunk", &|array| array.compare_exchange(999, &5, &1).map(drop));
    run_texts("exchange a text", &|array| array.compare_exchange(30, &"t".repeat(30), &"longer".repeat(9)).map(drop));
}

/// A process that has changed something before makes these changes in small transactions.
#[test]
fn small_transactions() {
    // A chunk that shows the default is no place for one.
    let warmed = |array: &Numbers| array.fetch_min(999, 5).map(drop);
    run_numbers("set a number", &|array| {
        warmed(array)?;
        array.set(50, &1)
    });
    run_numbers("add to a number", &|array| {
        warmed(array)?;
        array.fetch_add(50, 1).map(drop)
    });
    run_numbers("update a number", &|array| {
        warmed(array)?;
        array.update(50, |old| old + 1).map(drop)
    });
    run_numbers("set a number in a new chunk", &|array| {
        warmed(array)?;
        array.set(999, &1)
    });
}

#[test]
fn ranges() {
    run_numbers("set a range", &|array| array.set_range(250..262, &[7; 12]));
    run_numbers("set a whole chunk to others", &|array| array.set_range(250..530, &(1000..1280).collect::<Vec<_>>()));
    run_numbers("set a whole chunk to others in a group that is undone", &|array| {
        let outcome: Result<()> = group!(retry array => {
            array.set_range(250..530, &(1000..1280).collect::<Vec<_>>())?;
            array.set(300, &1)?;
            let beyond: Result<()> = array.set(1000, &1);
            return beyond;
        });
        outcome.or_else(|error| if matches!(error, crate::Error::OutOfBounds { .. }) { Ok(()) } else { Err(error) })
    });
    run_numbers("set a range in new chunks", &|array| array.set_range(760..=775, &[8; 16]));
    run_numbers("set a range to what it is", &|array| array.set_range(0..3, &[0, 5, 5]));
    run_numbers("fill over all stripes", &|array| array.fill(505..520, &3));
    run_numbers("fill a whole new chunk", &|array| {
        group!(retry array => {
            array.resize(1100)?;
            array.fill(768..1024, &3)?;
        })
    });
    run_numbers("fill with the default", &|array| array.fill(.., &5));
    run_texts("set a range of texts", &|array| {
        array.set_range(29..32, &["a".to_owned(), "b".repeat(99), "-".to_owned()])
    });
    run_texts("fill with texts", &|array| array.fill(250..260, "ab"));
    run_numbers("read and set ranges in a group", &|array| {
        group!(retry array => {
            let mut some = [0; 3];
            array.read_range(254..257, &mut some)?;
            array.set_range(254..257, &some.map(|number| number + 1))?;
            array.fill(..2, &some[0])?;
        })
    });
}

#[test]
fn several() {
    run_numbers("swap numbers", &|array| array.swap(50, 550));
    run_texts("swap texts", &|array| array.swap(30, 31));
    run_numbers("add up", &|array| {
        group!(retry array => {
            let sum = array.get(50)? + array.get(100)?;
            array.set(999, &sum)?;
            array.update(0, |old| old + 1)?;
        })
    });
}

#[test]
fn resize() {
    run_numbers("grow an array", &|array| array.resize(100_000));
    run_numbers("shrink an array", &|array| array.resize(77));
    run_texts("shrink an array of texts", &|array| array.resize(77));
    run_texts("empty an array of texts", &|array| array.resize(0));
    run_numbers("make a directory higher", &|array| {
        group!(retry array => {
            array.resize(100_000)?;
            array.set(99_999, &1)?;
        })
    });
    run_numbers("empty an array and make a lower directory", &|array| {
        group!(retry array => {
            array.resize(0)?;
            array.resize(1000)?;
            array.set(900, &1)?;
        })
    });
    run_texts("shrink and grow", &|array| {
        group!(retry array => {
            array.resize(31)?;
            array.resize(200)?;
        })
    });
}

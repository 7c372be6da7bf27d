//! A second process dies in a change of its own, in which it meets what the first has left, and a third one after it.

use std::fs;

use super::{Case, METHODS};
use crate::error::Result;
use crate::group;
use crate::hash_table::HashTable;
use crate::shm::Shm;
use crate::testing::{Image, Scratch};

type Texts = HashTable<String, String>;

#[test]
fn deaths_in_changes_one_after_the_other() {
    for locking in METHODS {
        let open =
            move |shm: Shm| Texts::options().locking(locking).stripes(2).slots(2).init(1).max_size(1 << 17).manage(shm);
        let dump = |table: &Texts| {
            let mut all = table.scan().collect::<Result<Vec<_>>>()?;
            all.sort();
            Ok(all)
        };
        let case = Case {
            name: format!("one after the other, {locking}"),
            open: &open,
            prepare: &|table: &Texts| (0..9).try_for_each(|number| table.add(&number.to_string(), &"v".repeat(900))),
            // Takes runs, gives others back, and needs a second segment of the log.
            act: &|table: &Texts| {
                group!(retry table => {
                    table.remove("1")?;
                    table.replace("2", &"w".repeat(20_000))?;
                    table.replace("3", "x")?;
                    for number in 0..8 {
                        table.replace(&format!("n{number}"), &"y".repeat(50 * number))?;
                    }
                })
            },
            dump: &dump,
            check: &Texts::check,
        };
        let prepared = case.prepared();
        let prepared = Image::of(&prepared);
        let both = case.both(&prepared);
        let mut deaths = 0;
        for first in (3..).step_by(37) {
            let copy = Scratch::new();
            if !case.stopped(&prepared, &copy, first) {
                break;
            }
            let left = fs::read(&copy.0).unwrap();
            let left = Image::of(&left);
            for second in (first % 13..).step_by(31) {
                let copy = Scratch::new();
                let stopped = case.stopped(&left, &copy, second);
                let left = fs::read(&copy.0).unwrap();
                case.found(&copy, &both, first * 10_000 + second);
                if !stopped {
                    break;
                }
                deaths += 1;
                let copy = Scratch::new();
                case.stopped(&Image::of(&left), &copy, (first + second) * 7 % 300);
                case.found(&copy, &both, first * 10_000 + second);
            }
        }
        assert!(deaths > 50, "{deaths} deaths are too few to be true");
    }
}

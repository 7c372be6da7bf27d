//! Pairs of an old and a new version of a type, each as two programs on one object: what is accepted is read rightly, and what the old
//! program does not know it carries on; all else is refused, with the path to the difference.

mod accepted;
mod refused;

use std::collections::BTreeMap;
use std::fmt::Debug;

use netshm::{Array, Error, HashTable, Result, Shm, ShmData};
use netshm_tests::{Child, Scratch};

/// Values of both versions.
struct Values<Old, New> {
    /// What the old program writes, and how the new one reads it.
    old: Old,
    read: New,
    /// What the new program writes, how the old one reads it (unless it cannot), and what is there when the old one has
    /// written back what it has read.
    new: New,
    seen: Option<Old>,
    carried: New,
}

fn open<V: ShmData>(object: &Scratch) -> Result<HashTable<u64, V>> {
    HashTable::options().stripes(1).manage(object.open())
}

#[track_caller]
fn is<V: Debug + PartialEq>(found: Result<Option<V>>, expected: Option<&V>) {
    match expected {
        Some(_) => assert_eq!(found.unwrap().as_ref(), expected),
        None => assert!(matches!(found, Err(Error::Decode { .. })), "{found:?}"),
    }
}

impl<Old, New> Values<Old, New>
where
    Old: ShmData + Debug + PartialEq + Clone,
    New: ShmData + Debug + PartialEq + Clone,
{
    /// Does what another process of the old program does.
    fn old_program(&self, shm: Shm) {
        let tab: HashTable<u64, Old> = HashTable::options().stripes(1).manage(shm).unwrap();
        if tab.contains(&1).unwrap() {
            is(tab.find(&1), Some(&self.old));
        }
        if tab.contains(&2).unwrap() {
            is(tab.find(&2), self.seen.as_ref());
            if self.seen.is_some() {
                tab.update(&2, |row| row).unwrap();
            }
        }
        tab.replace(&1, &self.old).unwrap();
        tab.add(&3, &self.old).unwrap();
        let report = tab.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }

    /// Runs both programs; `start` starts the old one, and waits until it has ended.
    fn test(&self, start: &dyn Fn(&Scratch)) {
        for old_is_first in [true, false] {
            let object = Scratch::posix("pairs");
            if old_is_first {
                start(&object);
            }
            let before = old_is_first.then(|| open::<Old>(&object).unwrap());
            let tab = open::<New>(&object).unwrap();
            if old_is_first {
                is(tab.find(&1), Some(&self.read));
            }
            tab.add(&2, &self.new).unwrap();
            start(&object);
            let expected = if self.seen.is_some() { &self.carried } else { &self.new };
            for tab in [tab, open(&object).unwrap()] {
                is(tab.find(&1), Some(&self.read));
                is(tab.find(&2), Some(expected));
                is(tab.find(&3), Some(&self.read));
                let report = tab.check().unwrap();
                assert!(report.is_clean(), "{report}");
            }
            if let Some(before) = before {
                is(before.find(&1), Some(&self.old));
                before.replace(&1, &self.old).unwrap();
            }
            let again = open::<Old>(&object).unwrap();
            is(again.find(&3), Some(&self.old));
            assert!(again.check().unwrap().is_clean());
        }
    }

    /// Checks the same types inside others: each place is refused, or as right as the outermost one.
    fn inside(&self) {
        self.at_place(
            |old| {
                (
                    vec![old.clone(); 2],
                    Some(old.clone()),
                    Box::new(old.clone()),
                    [old.clone()],
                    BTreeMap::from([(1u8, old)]),
                    7u8,
                )
            },
            |new| {
                (
                    vec![new.clone(); 2],
                    Some(new.clone()),
                    Box::new(new.clone()),
                    [new.clone()],
                    BTreeMap::from([(1u8, new)]),
                    7u8,
                )
            },
        );
    }

    /// Checks that the old program visits those rows that it can read.
    fn scanned(&self) {
        let object = Scratch::posix("pairs-scanned");
        open::<New>(&object).unwrap().add(&2, &self.new).unwrap();
        let scanned =
            open::<Old>(&object).unwrap().scan().filter_map(Result::ok).map(|(_, row)| row).collect::<Vec<_>>();
        assert_eq!(scanned, Vec::from_iter(self.seen.clone()));
    }

    /// Checks the types as elements of arrays.
    fn as_elements(&self) {
        let Values { old, read, new, seen, .. } = self;
        for old_is_first in [true, false] {
            let object = Scratch::posix("pairs-array");
            let open_old = || Array::options().stripes(1).manage(object.open(), old.clone());
            let open_new = || Array::options().stripes(1).manage(object.open(), read.clone());
            let first = old_is_first.then(|| open_old().unwrap());
            let tab = match open_new() {
                Ok(tab) => tab,
                // Elements of plain types do not grow.
                Err(Error::SchemaMismatch { difference, .. }) if old_is_first => {
                    assert!(difference.contains("extensible"), "{difference}");
                    return;
                }
                Err(error) => panic!("{error}"),
            };
            tab.resize(4).unwrap();
            tab.set(2, new).unwrap();
            let again = open_old().unwrap();
            for array in first.into_iter().chain([again]) {
                // The default may have been made by the new program.
                if !<Old as netshm::data::DataManager>::KEEPS_REST {
                    is(array.get(0).map(Some), Some(old));
                }
                is(array.get(2).map(Some), seen.as_ref());
                array.set(1, old).unwrap();
                if seen.is_some() {
                    array.update(2, |element| element).unwrap();
                    array.swap(2, 3).unwrap();
                    array.swap(3, 2).unwrap();
                }
                assert!(array.check().unwrap().is_clean());
            }
            is(tab.get(0).map(Some), Some(read));
            is(tab.get(1).map(Some), Some(read));
            is(tab.get(2).map(Some), Some(if seen.is_some() { &self.carried } else { new }));
            is(tab.get(3).map(Some), Some(read));
            assert!(tab.check().unwrap().is_clean());
        }
    }

    fn at_place<A, B>(&self, wrap_old: impl Fn(Old) -> A, wrap_new: impl Fn(New) -> B)
    where
        A: ShmData + Debug + PartialEq,
        B: ShmData + Debug + PartialEq,
    {
        let (old, read, new) = (wrap_old(self.old.clone()), wrap_new(self.read.clone()), wrap_new(self.new.clone()));
        let seen = self.seen.clone().map(wrap_old);
        for old_is_first in [true, false] {
            let object = Scratch::posix("pairs-inside");
            let first = old_is_first.then(|| open::<A>(&object).unwrap());
            if let Some(tab) = &first {
                tab.add(&1, &old).unwrap();
            }
            let tab = match open::<B>(&object) {
                Ok(tab) => tab,
                Err(Error::SchemaMismatch { difference, .. }) if old_is_first => {
                    assert!(difference.contains("\n    at:  ") && difference.contains("extensible"), "{difference}");
                    return;
                }
                Err(error) => panic!("{error}"),
            };
            if old_is_first {
                is(tab.find(&1), Some(&read));
            }
            tab.add(&2, &new).unwrap();
            for tab in first.into_iter().chain([open::<A>(&object).unwrap()]) {
                is(tab.find(&2), seen.as_ref());
                tab.replace(&1, &old).unwrap();
                assert!(tab.check().unwrap().is_clean());
            }
            is(tab.find(&1), Some(&read));
            is(tab.find(&2), Some(&new));
            assert!(tab.check().unwrap().is_clean());
        }
    }
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    let shm = Shm::options().create(true).open(&arguments[0].parse().unwrap()).unwrap();
    accepted::old_program(part, shm);
}

fn start(pair: &str, object: &Scratch) {
    Child::start(&format!("schema_pairs::{pair}"), &[&object.name().to_string()]).succeed();
}

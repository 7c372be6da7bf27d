//! Random operations inside operations: groups in groups on two members of two objects, updates, insertions and visits whose closures go on
//! with other operations, parts that end in errors or panics, objects that are full. What a table finds is what a model says: nothing that
//! a thread remembers of its group shows.
//!
//! ```text
//! NETSHM_TEST_TRACE=1000000 NETSHM_SEED=7 cargo test --release -p netshm-tests --test table group_random
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use netshm::{Error, HashTable, Locking, group};
use netshm_tests::{Ends, Outcome, Random, Scratch};

/// Bindings of each key, the newest last.
type Model = BTreeMap<u64, Vec<u64>>;
type Numbers = HashTable<u64, u64>;

/// What ends a part of a group on purpose.
const ON_PURPOSE: &str = "on purpose";
/// The difference between keys and others that are never there.
const ABSENT: u64 = 1 << 40;
/// Most operations inside operations.
const DEPTH: u32 = 4;

/// Two members of an object, and what they should hold.
struct Object {
    tables: [Numbers; 2],
    models: RefCell<[Model; 2]>,
    _scratch: Scratch,
}

impl Object {
    fn new(locking: Locking, stripes: u32) -> Object {
        let scratch = Scratch::posix("group-random");
        let shm = scratch.open();
        let table = |name| {
            let options = HashTable::options().named(name).locking(locking).stripes(stripes).stripe_room(2 * stripes);
            options.init(16).slots(4).max_size(1 << 18).manage(shm.clone()).unwrap()
        };
        Object { tables: ["one", "two"].map(table), models: RefCell::default(), _scratch: scratch }
    }

    /// Runs something that restores the object if it fails or panics.
    fn undone<R>(&self, part: impl FnOnce() -> Outcome<R>) -> Outcome<R> {
        let before = self.models.borrow().clone();
        match catch_unwind(AssertUnwindSafe(part)) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                *self.models.borrow_mut() = before;
                Err(error)
            }
            Err(panic) => {
                *self.models.borrow_mut() = before;
                resume_unwind(panic)
            }
        }
    }

    #[track_caller]
    fn assert_holds(&self) {
        for (table, model) in self.tables.iter().zip(&*self.models.borrow()) {
            let mut found = Model::new();
            table.for_each(|key, value| found.entry(key).or_default().push(value)).unwrap();
            found.values_mut().for_each(|values| values.reverse());
            assert_eq!(found, *model);
        }
    }
}

struct Trace {
    objects: [Object; 2],
    random: RefCell<Random>,
    /// The key used last: those used again soon are what a thread might remember.
    last: Cell<u64>,
    steps: Cell<u64>,
}

/// Lets what was ended on purpose end here, and a group for whose log the object is too full.
fn survive(part: impl FnOnce() -> Outcome) -> Outcome {
    match catch_unwind(AssertUnwindSafe(part)) {
        Ok(Err(Ends::OnPurpose | Ends::Store(Error::Full { .. }))) => Ok(()),
        Ok(outcome) => outcome,
        Err(panic) if panic.downcast_ref() == Some(&ON_PURPOSE) => Ok(()),
        Err(panic) => resume_unwind(panic),
    }
}

impl Trace {
    fn below(&self, limit: u64) -> u64 {
        self.random.borrow_mut().below(limit)
    }

    fn key(&self) -> u64 {
        let key = match self.below(40) {
            0 => u64::MAX,
            // So many that the index grows and shrinks.
            1 => self.below(300),
            2..20 => self.below(5),
            _ => self.last.get(),
        };
        self.last.set(key);
        key
    }

    /// Ends a part in one case of so many.
    fn may_end(&self, of: u64) -> Outcome {
        match self.below(of * 2) {
            0 => Err(Ends::OnPurpose),
            1 => resume_unwind(Box::new(ON_PURPOSE)),
            _ => Ok(()),
        }
    }

    /// Does something that changes nothing if the object is full.
    fn unless_full<T>(&self, outcome: netshm::Result<T>) -> Outcome<Option<T>> {
        match outcome {
            Ok(result) => Ok(Some(result)),
            Err(Error::Full { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn several(&self, depth: u32) -> Outcome {
        let most = self.below(6);
        (0..most).try_for_each(|_| self.step(depth))
    }

    /// Does something with a table; deeper than `DEPTH` nothing that goes on with something else.
    fn step(&self, depth: u32) -> Outcome {
        self.steps.set(self.steps.get() + 1);
        let object = &self.objects[usize::from(self.below(4) == 0)];
        let member = usize::from(self.below(4) == 0);
        let (table, models) = (&object.tables[member], &object.models);
        let (key, value) = (self.key(), self.below(1000));
        let newest = || models.borrow()[member].get(&key).and_then(|values| values.last().copied());
        let set = |value: Option<u64>| {
            let model = &mut models.borrow_mut()[member];
            let values = model.entry(key).or_default();
            values.pop();
            values.extend(value);
            if values.is_empty() {
                model.remove(&key);
            }
        };
        match self.below(if depth < DEPTH { 34 } else { 22 }) {
            0..3 => assert_eq!(table.find(&key)?, newest()),
            // Locks the stripe, or one of them, without a trace.
            3..5 => assert_eq!(table.find(&(key ^ ABSENT))?, None),
            5..8 => {
                assert_eq!(table.find(&key)?, newest());
                if self.unless_full(table.replace(&key, &value))?.is_some() {
                    set(Some(value));
                }
            }
            8..12 => {
                if self.unless_full(table.replace(&key, &value))?.is_some() {
                    set(Some(value));
                }
            }
            12..14 => {
                if self.unless_full(table.add(&key, &value))?.is_some() {
                    models.borrow_mut()[member].entry(key).or_default().push(value);
                }
            }
            14..17 => {
                if let Some(removed) = self.unless_full(table.remove(&key))? {
                    assert_eq!(removed, newest().is_some());
                    set(None);
                }
            }
            17 => {
                if let Some(count) = self.unless_full(table.remove_all(&key))? {
                    assert_eq!(count, models.borrow_mut()[member].remove(&key).unwrap_or_default().len());
                }
            }
            18 => {
                if let Some(old) = self.unless_full(table.swap(&key, &value))? {
                    assert_eq!(old, newest());
                    set(Some(value));
                }
            }
            19 => {
                if let Some(old) = newest()
                    && let Some(found) = self.unless_full(table.fetch_add(&key, 1))?
                {
                    assert_eq!(found, old);
                    set(Some(old + 1));
                }
            }
            20 => {
                let outcome = self.unless_full(table.compare_exchange(&key, &5, &value))?;
                match outcome {
                    Some(Ok(())) => {
                        assert_eq!(newest(), Some(5));
                        set(Some(value));
                    }
                    Some(Err(found)) => assert_eq!(found, newest()),
                    None => {}
                }
            }
            21 => match self.below(4) {
                0 => {
                    let all = self.below(400);
                    let pairs = (0..all).map(|number| (number + 1000, number));
                    if self.unless_full(table.add_many(pairs.clone()))?.is_some() {
                        let model = &mut models.borrow_mut()[member];
                        pairs.for_each(|(key, value)| model.entry(key).or_default().push(value));
                    }
                }
                1 | 2 => {
                    for key in 1000..1400 {
                        if let Some(count) = self.unless_full(table.remove_all(&key))? {
                            assert_eq!(count, models.borrow_mut()[member].remove(&key).unwrap_or_default().len());
                        }
                    }
                }
                _ => {
                    if self.unless_full(table.clear())?.is_some() {
                        models.borrow_mut()[member].clear();
                    }
                }
            },
            22..26 => {
                // An update, in which other things happen, perhaps to the same key.
                let change = |old: Option<u64>| -> Outcome<Option<u64>> {
                    assert_eq!(old, newest());
                    self.several(depth + 1)?;
                    if self.below(8) == 0 {
                        resume_unwind(Box::new(ON_PURPOSE));
                    }
                    Ok((value % 4 != 0).then_some(value))
                };
                let all = || {
                    object.undone(|| {
                        // An error inside ends the update by a panic, as it gives no other way out.
                        let update = table.update(&key, |old| change(old).unwrap_or_else(|error| panic!("{error:?}")));
                        if let Some(new) = self.unless_full(update)? {
                            set(new);
                            Ok(())
                        } else {
                            Err(Ends::OnPurpose)
                        }
                    })
                };
                survive(all)?;
            }
            26 => {
                let before = newest();
                let all = || {
                    object.undone(|| {
                        let make = || {
                            self.several(depth + 1).unwrap_or_else(|error| panic!("{error:?}"));
                            value
                        };
                        match self.unless_full(table.get_or_insert_with(&key, make))? {
                            Some(found) => {
                                assert_eq!(found, before.unwrap_or(value));
                                // In place of what its closure has added, if anything.
                                if before.is_none() {
                                    set(Some(value));
                                }
                                Ok(())
                            }
                            None => Err(Ends::OnPurpose),
                        }
                    })
                };
                survive(all)?;
            }
            27 => {
                // A visit, during which the other member changes.
                let (other, most) = (1 - member, self.below(4));
                let mut left = most;
                let visit = |key: u64, value: u64| -> Outcome {
                    if left > 0 {
                        left -= 1;
                        assert_eq!(table.find(&key)?, models.borrow()[member].get(&key).unwrap().last().copied());
                        assert!(matches!(table.replace(&key, &value), Err(Error::Iterating { .. })));
                        let outcome = object.tables[other].replace(&key, &value);
                        if self.unless_full(outcome)?.is_some() {
                            let model = &mut models.borrow_mut()[other];
                            let values = model.entry(key).or_default();
                            values.pop();
                            values.push(value);
                        }
                        self.may_end(8)?;
                    }
                    Ok(())
                };
                if table.len()? < 50 {
                    survive(|| object.undone(|| group!(table: Ends => table.try_for_each(visit)?)))?;
                }
            }
            28 => {
                // Another thread, on an object on which nothing is open.
                if depth == 0 {
                    let change = || table.replace(&key, &value);
                    let outcome = thread::scope(|scope| scope.spawn(change).join()).unwrap();
                    if self.unless_full(outcome)?.is_some() {
                        set(Some(value));
                    }
                }
            }
            _ => {
                let all = || {
                    object.undone(|| {
                        group!(table: Ends => {
                            self.several(depth + 1)?;
                            self.several(depth + 1)?;
                            self.may_end(5)?;
                        })
                    })
                };
                survive(all)?;
            }
        }
        Ok(())
    }
}

#[test]
fn operations_inside_operations_do_what_the_model_does() {
    let variable = |name, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (steps, seed) = (variable("NETSHM_TEST_TRACE", 4000), variable("NETSHM_SEED", 1));
    let methods = [Locking::Futex, Locking::Record, Locking::None];
    for (number, (locking, stripes)) in methods.into_iter().flat_map(|method| [(method, 1), (method, 4)]).enumerate() {
        let other = methods[number % 3];
        let objects = [Object::new(locking, stripes), Object::new(other, 1)];
        let random = RefCell::new(Random::new(seed + number as u64));
        let trace = Trace { objects, random, last: Cell::new(0), steps: Cell::new(0) };
        let (mut checked, each) = (0, steps / 6);
        while trace.steps.get() < each {
            if let Err(Ends::Store(error)) = trace.step(0) {
                panic!("seed {seed}, {locking}, {other}: {error}");
            }
            if trace.steps.get() >= checked + 500 {
                checked = trace.steps.get();
                for object in &trace.objects {
                    object.assert_holds();
                    let report = object.tables[0].check().unwrap();
                    assert!(report.is_clean(), "seed {seed}, {locking}, {other}: {report}");
                }
            }
        }
    }
}

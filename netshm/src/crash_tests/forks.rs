//! Code of the user that forks while a verb calls it: the parent's change goes on, the child's can do nothing.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::METHODS;
use crate::array::Array;
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, Types};
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::os::fork::tests::status_of_child;
use crate::testing::Scratch;

thread_local! {
    /// Runs at the next call of a manager's code.
    static HOOK: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// A manager written by hand.
#[derive(Debug, Clone, PartialEq)]
struct Hand(u64);

impl DataManager for Hand {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        called();
        out.put(self.0)
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        called();
        input.get().map(Hand)
    }
    fn schema(types: &mut Types) -> Schema {
        u64::schema(types)
    }
}

fn called() {
    if let Some(hook) = HOOK.take() {
        hook();
    }
}

struct Members {
    rows: HashTable<u64, Hand>,
    numbers: HashTable<u64, u64>,
    bins: Array<u64>,
    list: Array<Hand>,
}

type Verb = fn(&Members) -> Result<()>;

const VERBS: [(&str, Verb); 20] = [
    ("add", |m| m.rows.add(&5, &Hand(5))),
    ("replace", |m| m.rows.replace(&1, &Hand(5))),
    ("swap", |m| m.rows.swap(&1, &Hand(5)).map(drop)),
    ("compare_exchange", |m| m.rows.compare_exchange(&1, &Hand(10), &Hand(5)).map(drop)),
    ("pop", |m| m.rows.pop(&1).map(drop)),
    ("find", |m| m.rows.find(&1).map(drop)),
    ("find_all", |m| m.rows.find_all(&1).map(drop)),
    ("for_each", |m| m.rows.for_each(|_, _| ())),
    ("scan", |m| m.rows.scan().try_for_each(|row| row.map(drop))),
    ("check", |m| m.rows.check().map(drop)),
    ("update", |m| {
        let change = |_| {
            called();
            Some(Hand(5))
        };
        m.rows.update(&1, change).map(drop)
    }),
    ("short update", |m| {
        let change = |old: Option<u64>| {
            called();
            old.map(|old| old + 1)
        };
        m.numbers.update(&1, change).map(drop)
    }),
    ("get_or_insert_with", |m| {
        let make = || {
            called();
            5
        };
        m.numbers.get_or_insert_with(&5, make).map(drop)
    }),
    ("add_many", |m| m.numbers.add_many((5..9).inspect(|_| called()).map(|key| (key, key)))),
    ("wait_until", |m| {
        let is_it = |_: Option<&u64>| {
            called();
            true
        };
        m.numbers.wait_until(&1, None, is_it).map(drop)
    }),
    ("group", |m| {
        m.numbers.group(|| {
            m.numbers.replace(&1, &5)?;
            called();
            m.bins.set(1, &5)
        })
    }),
    ("group_with", |m| {
        m.numbers.group_with(|numbers| {
            numbers.replace(&1, &5)?;
            called();
            numbers.with(&m.bins)?.set(1, &5)
        })
    }),
    ("set", |m| m.list.set(1, &Hand(5))),
    ("array update", |m| {
        let change = |old| {
            called();
            old + 1
        };
        m.bins.update(1, change).map(drop)
    }),
    ("fill", |m| m.list.fill(1..4, &Hand(5))),
];

thread_local! {
    static MEMBERS: Cell<Option<&'static Members>> = const { Cell::new(None) };
    static VERB: Cell<usize> = const { Cell::new(0) };
}

fn members() -> &'static Members {
    MEMBERS.get().unwrap()
}

fn is_forked<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::Forked { .. }))
}

/// A child that uses what it has inherited, ..
fn fork_and_use() {
    let m = members();
    let status = status_of_child(|| {
        let all = [
            is_forked(m.numbers.add(&77, &1)),
            is_forked(m.numbers.remove(&1)),
            is_forked(m.rows.update(&1, |_| None)),
            is_forked(m.bins.fetch_add(1, 1)),
            is_forked(m.numbers.group(|| m.numbers.clear())),
            is_forked(m.numbers.find(&1)),
            is_forked(m.numbers.find_many::<u64>([])),
            is_forked(m.numbers.add_many::<u64, u64>([])),
            is_forked(m.bins.get_many([])),
        ];
        all.iter().position(|forked| !forked).map_or(0, |place| 10 + place as i32)
    });
    assert_eq!(status, 0, "{}", VERBS[VERB.get()].0);
}

/// .. or goes on with the verb, ..
fn fork_and_return() {
    // The child comes back from here and ends in `child_went_on`.
    IN_CHILD.set(status_of_child_or_child());
}

/// .. or unwinds out of it.
fn fork_and_panic() {
    if status_of_child_or_child() {
        IN_CHILD.set(true);
        resume_unwind(Box::new("as the test wants it"));
    }
}

thread_local! {
    static IN_CHILD: Cell<bool> = const { Cell::new(false) };
}

/// Forks: returns true in the child. In the parent, which waits for the child's end, false.
fn status_of_child_or_child() -> bool {
    crate::os::fork::tests::fork_here(|status| assert_eq!(status, 0, "{}", VERBS[VERB.get()].0))
}

type Content = (Vec<(u64, Hand)>, Vec<(u64, u64)>, Vec<u64>, Vec<Hand>);

fn content(m: &Members) -> Result<Content> {
    let mut rows = m.rows.scan().collect::<Result<Vec<_>>>()?;
    let mut numbers = m.numbers.scan().collect::<Result<Vec<_>>>()?;
    rows.sort_by_key(|(key, _)| *key);
    numbers.sort();
    Ok((rows, numbers, m.bins.scan().collect::<Result<_>>()?, m.list.scan().collect::<Result<_>>()?))
}

fn fill(m: &Members) -> Result<()> {
    m.numbers.group(|| {
        m.rows.clear()?;
        m.numbers.clear()?;
        m.bins.resize(0)?;
        m.list.resize(0)?;
        m.bins.resize(5)?;
        m.list.resize(5)?;
        (1..4).try_for_each(|key| {
            m.rows.add(&key, &Hand(10 * key))?;
            m.numbers.add(&key, &key)
        })
    })
}

#[test]
fn code_that_forks_in_the_middle_of_a_verb() {
    for locking in METHODS {
        let scratch = Scratch::new();
        let shm = scratch.open();
        let table = |name| HashTable::options().named(name).locking(locking).stripes(2);
        let m = Members {
            rows: HashTable::options().named("rows").locking(locking).stripes(2).manage(shm.clone()).unwrap(),
            numbers: table("numbers").manage(shm.clone()).unwrap(),
            bins: Array::options().named("bins").stripes(2).manage(shm.clone(), 1).unwrap(),
            list: Array::options().named("list").stripes(2).manage(shm, Hand(1)).unwrap(),
        };
        let m: &'static Members = Box::leak(Box::new(m));
        MEMBERS.set(Some(m));
        for (number, (verb, run)) in VERBS.iter().enumerate() {
            VERB.set(number);
            fill(m).unwrap();
            run(m).unwrap();
            let after = content(m).unwrap();
            for hook in [fork_and_use, fork_and_return, fork_and_panic] {
                fill(m).unwrap();
                HOOK.set(Some(hook));
                let outcome = catch_unwind(AssertUnwindSafe(|| run(m)));
                if IN_CHILD.get() {
                    // Whatever came of it: the child has changed nothing, and can do nothing.
                    let is_shut = is_forked(m.numbers.add(&78, &1)) && is_forked(m.rows.find(&1));
                    crate::os::fork::tests::end_here(if is_shut { 0 } else { 7 });
                }
                assert!(matches!(outcome, Ok(Ok(()))), "{verb}, {locking:?}: {outcome:?}");
                assert_eq!(content(m).unwrap(), after, "{verb}, {locking:?}");
                let report = m.numbers.check().unwrap();
                assert!(report.is_clean(), "{verb}, {locking:?}: {report}");
                m.numbers.group(|| m.rows.clear()).unwrap();
            }
        }
    }
}

//! All verbs that call the user's code.

use std::cell::Cell;
use std::fmt::Debug;
use std::future::Future;
use std::mem::{ManuallyDrop, forget};
use std::time::Duration;

use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::{Array, Error, Flow, HashTable, Locking, Result, Shm, ShmName, Table, group};

use super::code::{Hand, Row, called, row};
use super::opening;

/// Handles of an object's members.
#[derive(Clone)]
pub(super) struct Members {
    pub(super) table: HashTable<Hand, Row>,
    pub(super) array: Array<Row>,
    pub(super) counts: HashTable<Hand, u64>,
    pub(super) numbers: HashTable<u64, u64>,
    pub(super) texts: HashTable<u64, String>,
    pub(super) bins: Array<u64>,
    pub(super) words: Table,
    pub(super) rows: DynTable,
    pub(super) elements: DynArray,
}

/// Names of the members.
pub(super) const TABLES: [&str; 5] = ["table", "counts", "numbers", "texts", "words"];
pub(super) const ARRAYS: [&str; 2] = ["array", "bins"];

impl Members {
    /// Opens the members, which are added if need be.
    pub(super) fn open(name: &ShmName, locking: Locking) -> Members {
        fn table<K: netshm::ShmKey, V: netshm::ShmData>(shm: &Shm, name: &str, locking: Locking) -> HashTable<K, V> {
            let options = HashTable::options().locking(locking).stripes(2).slots(16).stripe_room(64);
            options.named(name).lock_timeout(Duration::from_secs(20)).manage(shm.clone()).unwrap()
        }
        let shm = Shm::open_or_create(name).unwrap();
        Members {
            table: table(&shm, "table", locking),
            array: Array::options().stripes(2).named("array").manage(shm.clone(), row(7)).unwrap(),
            counts: table(&shm, "counts", locking),
            numbers: table(&shm, "numbers", locking),
            texts: table(&shm, "texts", locking),
            bins: Array::options().stripes(2).named("bins").manage(shm.clone(), 5).unwrap(),
            words: Table::options().stripes(2).named("words").manage(shm.clone()).unwrap(),
            rows: DynTable::open_member(shm.clone(), "numbers").unwrap(),
            elements: DynArray::open_member(shm, "bins").unwrap(),
        }
    }

    /// Makes the content what it is at the beginning of each case.
    pub(super) fn fill(&self) {
        group!(self.numbers => {
            self.table.clear()?;
            self.counts.clear()?;
            self.numbers.clear()?;
            self.texts.clear()?;
            self.words.clear()?;
            self.array.resize(0)?;
            self.bins.resize(0)?;
            self.array.resize(9)?;
            self.bins.resize(9)?;
            for key in 1..4u64 {
                self.table.add(&Hand(key), &row(key))?;
                self.counts.add(&Hand(key), &key)?;
                self.numbers.add(&key, &(10 * key))?;
                self.texts.add(&key, &"text ".repeat(key as usize * 4))?;
                self.words.add(key as i32, &[1; 100])?;
            }
            self.table.add(&Hand(1), &row(9))?;
            self.words.add(1, &[2; 3])?;
            self.array.set(1, &row(1))?;
            self.bins.set(1, &1)?;
        })
        .unwrap();
    }
}

/// A verb. It calls the user's code at least once.
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) run: fn(&Members) -> Result<()>,
    /// True if a failure may leave a part of what it does: verbs that are documented to be several operations.
    pub(super) in_parts: bool,
}

/// Returns what ends a verb that was to fail.
pub(super) fn any_error() -> Error {
    "no name".parse::<ShmName>().unwrap_err()
}

/// Returns a row that is never dropped, so that all calls are made by the verb itself. What verbs return is forgotten for the same reason.
fn kept(number: u64) -> &'static Row {
    Box::leak(Box::new(row(number)))
}

fn seen<T>(_: T) {
    called();
}

/// Waits for a future in this thread.
fn block_on<R>(future: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(future)
}

fn is<T: PartialEq + Debug>(left: T, right: T) {
    assert_eq!(left, right);
}

const SOON: Option<Duration> = Some(Duration::from_secs(10));

macro_rules! verbs {
    ($($(#[$parts:ident])? $name:ident |$m:ident| $body:expr;)*) => {
        pub(super) const VERBS: &[Verb] = &[$(Verb {
            name: stringify!($name),
            run: |$m| $body,
            in_parts: verbs!(@ $($parts)?),
        },)*];
    };
    (@) => { false };
    (@ in_parts) => { true };
}

verbs! {
    add |m| m.table.add(&Hand(5), kept(5));
    add_hidden |m| m.table.add(&Hand(1), kept(5));
    replace |m| m.table.replace(&Hand(1), kept(5));
    add_if_absent |m| m.table.add_if_absent(&Hand(5), kept(5)).map(forget);
    add_if_absent_present |m| m.table.add_if_absent(&Hand(1), kept(5)).map(forget);
    swap |m| m.table.swap(&Hand(1), kept(5)).map(forget);
    swap_absent |m| m.table.swap(&Hand(5), kept(5)).map(forget);
    compare_exchange |m| m.table.compare_exchange(&Hand(1), kept(9), kept(5)).map(|outcome| assert!(outcome.is_ok()));
    compare_exchange_other |m| m.table.compare_exchange(&Hand(1), kept(8), kept(5)).map(|outcome| assert!(outcome.is_err()));
    find |m| m.table.find(&Hand(1)).map(forget);
    find_all |m| m.table.find_all(&Hand(1)).map(forget);
    find_many |m| m.table.find_many([&Hand(1), &Hand(2), &Hand(6)]).map(forget);
    contains |m| m.table.contains(&Hand(1)).map(forget);
    remove |m| m.table.remove(&Hand(1)).map(forget);
    remove_all |m| m.table.remove_all(&Hand(1)).map(forget);
    pop |m| m.table.pop(&Hand(1)).map(forget);
    update |m| m.table.update(&Hand(1), |old| { called(); old.map(|_| row(5)) }).map(forget);
    update_to_none |m| m.table.update(&Hand(1), |_| { called(); None }).map(forget);
    update_absent |m| m.table.update(&Hand(5), |_| { called(); Some(row(5)) }).map(forget);
    get_or_insert_with |m| m.table.get_or_insert_with(&Hand(5), || { called(); row(5) }).map(forget);
    get_or_insert_with_present |m| m.table.get_or_insert_with(&Hand(1), || row(5)).map(forget);
    for_each |m| m.table.for_each(|_, _| called());
    for_each_key |m| m.table.for_each_key(seen);
    try_for_each |m| {
        let left = Cell::new(2);
        let outcome = m.table.try_for_each(|_, _| { called(); left.set(left.get() - 1); if left.get() == 0 { Err(any_error()) } else { Ok(()) } });
        if left.get() == 0 { Ok(()) } else { outcome }
    };
    fold |m| m.table.fold(0, |sum, _, _| { called(); sum + 1 }).map(|sum| is(sum, 4));
    scan |m| m.table.scan().try_for_each(|item| item.map(seen));
    keys |m| m.table.keys().try_for_each(|item| item.map(seen));
    values |m| m.table.values().try_for_each(|item| item.map(seen));
    #[in_parts] add_many |m| m.table.add_many((20..25).map(|key| { called(); (Hand(key), row(key)) }));
    check |m| m.table.check().map(|report| assert!(report.is_clean(), "{report}"));
    wait_until |m| m.table.wait_until(&Hand(1), SOON, |row| { called(); row.is_some() }).map(forget);
    wait_until_async |m| block_on(m.table.wait_until_async(&Hand(1), SOON, |row| { called(); row.is_some() })).map(forget);
    watch_key |m| m.table.watch_key(&Hand(1)).map(forget);

    fetch_add |m| m.counts.fetch_add(&Hand(1), 5).map(forget);
    fetch_sub_absent |m| m.counts.fetch_sub(&Hand(5), 5).map(forget);
    fetch_min |m| m.counts.fetch_min(&Hand(1), 0).map(forget);
    fetch_or |m| m.counts.fetch_or(&Hand(1), 64).map(forget);
    short_update |m| m.numbers.update(&1, |old| { called(); old.map(|old| old + 1) }).map(forget);
    short_update_to_none |m| m.numbers.update(&1, |_| { called(); None }).map(forget);
    short_get_or_insert_with |m| m.numbers.get_or_insert_with(&5, || { called(); 5 }).map(forget);
    short_for_each |m| m.numbers.for_each(|_, _| called());
    #[in_parts] short_add_many |m| m.numbers.add_many((20..25).map(|key| { called(); (key, key) }));
    text_update |m| m.texts.update(&1, |old| { called(); old.map(|old| old + " and more of it") }).map(forget);
    find_with |m| m.texts.find_with(&1, |_| called()).map(forget);
    text_wait_until |m| m.texts.wait_until(&1, SOON, |text| { called(); text.is_some() }).map(forget);

    set |m| m.array.set(2, kept(5));
    get |m| m.array.get(1).map(forget);
    array_update |m| m.array.update(1, |_| { called(); row(5) }).map(forget);
    array_swap |m| { called(); m.array.swap(1, 2) };
    array_compare_exchange |m| m.array.compare_exchange(1, kept(1), kept(5)).map(|outcome| assert!(outcome.is_ok()));
    array_compare_exchange_other |m| m.array.compare_exchange(2, kept(1), kept(5)).map(|outcome| assert!(outcome.is_err()));
    fill |m| m.array.fill(2..7, kept(5));
    set_range |m| m.array.set_range(2..5, &*ManuallyDrop::new([row(4), row(5), row(6)]));
    read_range |m| m.array.read_range(0..2, &mut ManuallyDrop::new([row(1), row(1)])[..]);
    get_many |m| m.array.get_many((0..3).inspect(|_| called())).map(forget);
    array_for_each |m| m.array.for_each(|_, _| called());
    array_try_for_each |m| m.array.try_for_each(|_, _| { called(); Ok::<_, Error>(()) });
    array_scan |m| m.array.scan().try_for_each(|item| item.map(seen));
    array_check |m| m.array.check().map(|report| assert!(report.is_clean(), "{report}"));
    array_wait_until |m| m.array.wait_until(1, SOON, |_| { called(); true }).map(forget);
    array_wait_until_async |m| block_on(m.array.wait_until_async(1, SOON, |_| { called(); true })).map(forget);
    bin_update |m| m.bins.update(1, |old| { called(); old + 1 }).map(forget);
    bin_for_each |m| m.bins.for_each(|_, _| called());

    words_update |m| m.words.update(1, |old| { called(); old.map(|_| vec![7; 40]) }).map(forget);
    words_get_or_insert_with |m| m.words.get_or_insert_with(5, || { called(); vec![5] }).map(forget);
    words_find_with |m| m.words.find_with(1, |_| called()).map(forget);
    words_for_each |m| m.words.for_each(|_, _| called());
    words_fold |m| m.words.fold((), |(), _, _| called());
    #[in_parts] words_add_many |m| m.words.add_many((20..25).map(|key| { called(); (key, vec![key]) }));
    read_blocks |m| m.words.read_blocks(1, |_| { called(); Flow::Next });
    write_blocks |m| m.words.write_blocks(1, |block| { block.set(0, 7); called(); block.set(1, 8); Flow::Next });
    write_blocks_remove |m| m.words.write_blocks(1, |_| { called(); Flow::Remove });

    dyn_update |m| m.rows.update(&Value::from(1u64), |_| { called(); Some(Value::from(5u64)) }).map(forget);
    dyn_get_or_insert_with |m| m.rows.get_or_insert_with(&Value::from(5u64), || { called(); Value::from(5u64) }).map(forget);
    dyn_for_each |m| m.rows.for_each(|_, _| called());
    dyn_fold |m| m.rows.fold((), |(), _, _| called());
    dyn_for_each_key |m| m.rows.for_each_key(seen);
    dyn_try_for_each |m| m.rows.try_for_each(|_, _| { called(); Ok::<_, Error>(()) });
    #[in_parts] dyn_add_many |m| m.rows.add_many((20..25u64).map(|key| { called(); (Value::from(key), Value::from(key)) }));
    dyn_wait_until |m| m.rows.wait_until(&Value::from(1u64), SOON, |_| { called(); true }).map(forget);
    dyn_array_update |m| m.elements.update(1, |_| { called(); Value::from(9u64) }).map(forget);
    dyn_array_for_each |m| m.elements.for_each(|_, _| called());
    dyn_array_wait_until |m| m.elements.wait_until(1, SOON, |_| { called(); true }).map(forget);

    group |m| m.numbers.group(|| {
        m.numbers.replace(&1, &5)?;
        called();
        m.bins.set(1, &5)?;
        called();
        Ok(())
    });
    group_retry |m| group!(retry m.numbers => { m.numbers.replace(&1, &5)?; called(); m.texts.remove(&1)?; });
    group_undone |m| {
        let undone: Result<()> = group!(m.numbers => {
            m.numbers.clear()?;
            called();
            m.table.clear()?;
            return Err(any_error());
        });
        assert!(undone.is_err());
        Ok(())
    };
    inner_group |m| m.numbers.group(|| {
        m.numbers.replace(&1, &5)?;
        let undone: Result<()> = group!(m.bins => { m.bins.set(1, &5)?; called(); return Err(any_error()) });
        assert!(undone.is_err());
        called();
        Ok(())
    });
    group_with |m| m.numbers.group_with(|numbers| {
        numbers.replace(&1, &5)?;
        called();
        numbers.with(&m.table)?.update(&Hand(1), |_| { called(); Some(row(5)) })?;
        numbers.with(&m.bins)?.update(1, |old| { called(); old + 1 })?;
        Ok(())
    });
    group_with_retry |m| m.table.group_with_retry(|table| {
        table.replace(&Hand(1), kept(5))?;
        called();
        table.for_each(|_, _| called())
    });
    add_member |m| {
        let shm = m.numbers.shm().clone();
        let added = Array::<Row>::options().stripes(2).named("added").manage(shm.clone(), row(4))?;
        added.resize(3)?;
        drop(added);
        shm.remove_member("added")
    };

    migrate_table |_m| opening::migrate_table();
    migrate_array |_m| opening::migrate_array();
    migrate_schema |_m| opening::migrate_schema();
    create_schema |_m| opening::create_schema();
    read_short_rows |_m| opening::read_short_rows();
}

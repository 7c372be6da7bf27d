//! What all public types have in common: verbs, traits, and where they may be used.

use std::fmt::Debug;
use std::iter::FusedIterator;

use netshm::data::{DataError, Decoder, Encoder, ObjectSchema, Schema, Types};
use netshm::dynamic::{DynArray, DynItems, DynKeys, DynTable, DynValues, Unfit, Value};
use netshm::inspect::{self, Inspector, KernelLocks, Snapshot};
use netshm::{
    Array, Block, Description, Error, Finding, Flow, HashTable, Items, Keys, Locking, ManageOptions, Repair, Report,
    Result, Shm, ShmName, ShmOptions, Stats, Table, Values,
};
use netshm_tests::Scratch;

/// Calls every verb of a table whose keys and values are made by the two functions.
macro_rules! call_each_verb {
    ($table:expr, |$number:ident| $key:expr, |$word:ident| $value:expr, [$($by_ref:tt)?]) => {{
        let table = $table;
        let key = |$number: i32| $key;
        let value = |$word: i32| $value;
        table.clear()?;
        assert!(table.is_empty()?);
        table.add($($by_ref)? key(1), &value(10))?;
        table.add($($by_ref)? key(1), &value(11))?;
        table.replace($($by_ref)? key(1), &value(12))?;
        assert!(!table.add_if_absent($($by_ref)? key(1), &value(13))?);
        assert!(table.add_if_absent($($by_ref)? key(2), &value(20))?);
        assert_eq!(table.find($($by_ref)? key(1))?, Some(value(12)));
        assert_eq!(table.find_all($($by_ref)? key(1))?, [value(12), value(10)]);
        assert_eq!(
            table.find_many([$($by_ref)? key(2), $($by_ref)? key(3), $($by_ref)? key(1)])?,
            [Some(value(20)), None, Some(value(12))]
        );
        assert!(table.contains($($by_ref)? key(2))? && !table.contains($($by_ref)? key(3))?);
        assert_eq!(table.get_or_insert_with($($by_ref)? key(3), || value(30))?, value(30));
        assert_eq!(table.get_or_insert_with($($by_ref)? key(3), || unreachable!())?, value(30));
        assert_eq!(table.update($($by_ref)? key(3), |old| old.map(|_| value(31)))?, Some(value(31)));
        assert_eq!(table.swap($($by_ref)? key(3), &value(32))?, Some(value(31)));
        assert_eq!(table.compare_exchange($($by_ref)? key(3), &value(31), &value(33))?, Err(Some(value(32))));
        assert_eq!(table.compare_exchange($($by_ref)? key(3), &value(32), &value(33))?, Ok(()));
        assert_eq!(table.compare_exchange($($by_ref)? key(4), &value(32), &value(33))?, Err(None));
        let length: usize = table.len()?;
        assert_eq!(length, 4);

        let (mut pairs, mut keys) = (Vec::new(), Vec::new());
        table.for_each(|key, value| pairs.push((key, value)))?;
        table.for_each_key(|key| keys.push(key))?;
        assert_eq!((pairs.len(), keys.len()), (4, 3));
        let mut visited = 0;
        table.try_for_each(|_, _| {
            visited += 1;
            Ok::<(), Error>(())
        })?;
        assert_eq!(visited, 4);
        assert_eq!(table.fold(0, |count, _, _| count + 1)?, 4);
        assert_eq!(table.scan().collect::<Result<Vec<_>>>()?, pairs);
        assert_eq!((&table).into_iter().collect::<Result<Vec<_>>>()?, pairs);
        assert_eq!(table.keys().collect::<Result<Vec<_>>>()?, keys);
        assert_eq!(table.values().collect::<Result<Vec<_>>>()?, pairs.into_iter().map(|pair| pair.1).collect::<Vec<_>>());

        assert_eq!(table.pop($($by_ref)? key(1))?, Some(value(12)));
        let removed: bool = table.remove($($by_ref)? key(1))?;
        assert!(removed && !table.remove($($by_ref)? key(1))?);
        let removed: usize = table.remove_all($($by_ref)? key(2))?;
        assert_eq!(removed, 1);
        table.group(|| table.add($($by_ref)? key(4), &value(40)))?;
        table.group_retry(|| table.add($($by_ref)? key(4), &value(40)))?;
        table.group_retry_at_most(3, || table.add($($by_ref)? key(4), &value(40)))?;
        assert_eq!(table.len()?, 4);
        table.sync()?;
        assert!(table.check()?.is_clean());
        assert_eq!(table.stats()?.bindings, 4);

        // A clone is another handle of the same object, and lives on by itself.
        let other = table.clone();
        drop(table);
        other.clear()?;
        assert_eq!(Shm::open(other.shm().name())?.describe()?.name, *other.shm().name());
    }};
}

#[test]
fn all_tables_have_the_same_verbs() -> Result<()> {
    let typed = Scratch::posix("verbs");
    let table: HashTable<i32, Vec<i32>> = HashTable::manage(typed.open(), Locking::Futex)?;
    call_each_verb!(table.clone(), |number| number, |word| vec![word; 3], [&]);
    let primitive = Scratch::posix("verbs");
    call_each_verb!(Table::manage(primitive.open(), Locking::Futex)?, |number| number, |word| vec![word; 3], []);
    for name in [typed.name(), primitive.name()] {
        let value = |word| Value::Seq(vec![Value::from(word); 3]);
        call_each_verb!(DynTable::open(Shm::open(name)?)?, |number| Value::from(number), |word| value(word), [&]);
    }
    Ok(())
}

/// Returns the public methods that a source file gives a type.
fn methods(sources: &[&str], beside: &[&str]) -> Vec<String> {
    let lines = sources.iter().flat_map(|source| source.lines());
    // Deeper in a macro that several types share.
    let names = lines
        .filter_map(|line| line.strip_prefix("    ")?.trim_start().strip_prefix("pub fn ")?.split(['<', '(']).next());
    let mut names: Vec<_> = names.filter(|name| !beside.contains(name)).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Returns the sources of what tables and arrays share.
fn shared() -> &'static str {
    include_str!("../../../netshm/src/handle.rs").split("macro_rules! group_methods").nth(1).unwrap()
}

/// Returns the sources of the operations of hash tables.
fn hash_table() -> [&'static str; 8] {
    [
        shared(),
        include_str!("../../../netshm/src/hash_table/operations.rs"),
        include_str!("../../../netshm/src/hash_table/atomic.rs"),
        include_str!("../../../netshm/src/hash_table/batch.rs"),
        include_str!("../../../netshm/src/hash_table/load.rs"),
        include_str!("../../../netshm/src/hash_table/update.rs"),
        include_str!("../../../netshm/src/hash_table/view.rs"),
        include_str!("../../../netshm/src/hash_table/visit.rs"),
    ]
}

/// Operations that only integers have.
const ARITHMETIC: [&str; 6] = ["fetch_add", "fetch_sub", "fetch_min", "fetch_max", "fetch_and", "fetch_or"];
/// Operations that only values with a borrowed form have.
const VIEWS: [&str; 2] = ["find_with", "find_into"];

#[test]
fn no_verb_is_left_out() {
    let (shared, hash_table) = (shared(), hash_table());
    // The values of the primitive table are no numbers.
    let without_arithmetic = methods(&hash_table, &ARITHMETIC);
    let hash_table = methods(&hash_table, &[]);
    assert!(hash_table.len() > 30 && hash_table.len() == without_arithmetic.len() + ARITHMETIC.len(), "{hash_table:?}");
    let watches = ["wait_until", "watch", "watch_key"];
    let beside = [&watches[..], &["read_blocks", "write_blocks"]].concat();
    let table = methods(&[shared, include_str!("../../../netshm/src/table/mod.rs")], &beside);
    assert_eq!(table, without_arithmetic);
    // A table by its stored schema is opened without naming a type, and tells it.
    let dynamic = [
        shared,
        include_str!("../../../netshm/src/dynamic/table.rs"),
        include_str!("../../../netshm/src/dynamic/atomic.rs"),
    ];
    let only_arrays = include_str!("../../../netshm/src/dynamic/atomic.rs").split("impl DynArray").nth(1).unwrap();
    // Values of any type have no borrowed form.
    let viewed: Vec<_> = hash_table.iter().filter(|name| !VIEWS.contains(&name.as_str())).collect();
    assert_eq!(methods(&dynamic, &["open", "open_member", "schema"]).iter().collect::<Vec<_>>(), viewed);
    let array = [include_str!("../../../netshm/src/array/atomic.rs")];
    assert_eq!(methods(&[only_arrays], &[]), methods(&array, &["update"]));
}

/// What stands for the operations of a table of types that cannot be stored has all of them, but for those that only numbers or
/// texts have, and waiting.
#[test]
fn no_operation_on_what_cannot_be_stored_is_left_out() {
    let stand_ins = |own: &str| -> Vec<String> {
        let lines = [include_str!("../../../netshm/src/data/unstorable.rs"), own].into_iter().flat_map(str::lines);
        let lines = lines.filter_map(|line| line.strip_prefix("        "));
        let names = lines.filter_map(|line| line.trim_start().split_once(['<', '(']).map(|(name, _)| name));
        let names = names.filter(|name| name.chars().all(|c| c.is_lowercase() || c == '_'));
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    };
    let beside = [&["manage", "options"][..], &ARITHMETIC, &VIEWS].concat();
    let table = stand_ins(include_str!("../../../netshm/src/hash_table/unstorable.rs"));
    assert_eq!(table, methods(&hash_table(), &beside));
    let array = [
        shared(),
        include_str!("../../../netshm/src/array/operations.rs"),
        include_str!("../../../netshm/src/array/atomic.rs"),
        include_str!("../../../netshm/src/array/bulk.rs"),
    ];
    let array = methods(&array, &beside);
    let stands = stand_ins(include_str!("../../../netshm/src/array/unstorable.rs"));
    assert!(array.iter().all(|name| stands.contains(name)), "{array:?} {stands:?}");
}

/// Returns the ways to wait for changes that source files give a type.
fn waits(sources: &[&str], of: &str) -> Vec<String> {
    let blocks = sources.iter().flat_map(|source| source.split("\nimpl"));
    let blocks = blocks.filter(|block| block.lines().next().is_some_and(|line| line.contains(&format!(" {of}"))));
    let names = blocks.flat_map(str::lines).filter_map(|line| {
        let line = line.strip_prefix("    pub ")?;
        line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?.split(['<', '(']).next()
    });
    let mut names: Vec<_> = names.filter(|name| name.starts_with("wa")).map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn no_way_to_wait_is_left_out() {
    let typed = [include_str!("../../../netshm/src/watch/mod.rs"), include_str!("../../../netshm/src/watch/tasks.rs")];
    let dynamic = [include_str!("../../../netshm/src/dynamic/watch.rs")];
    let table = waits(&typed, "HashTable");
    assert_eq!(table, ["wait_until", "wait_until_async", "watch", "watch_key"]);
    assert_eq!(waits(&[include_str!("../../../netshm/src/table/mod.rs")], "Table"), table);
    assert_eq!(waits(&dynamic, "DynTable"), table);
    let array = waits(&typed, "Array");
    assert_eq!(array, ["wait_until", "wait_until_async", "watch", "watch_element"]);
    assert_eq!(waits(&dynamic, "DynArray"), array);
}

#[test]
fn handles_are_shared_by_threads_and_cloned() {
    fn check<T: Send + Sync + Debug>() {}
    fn clones<T: Clone>() {}
    macro_rules! all {
        ($check:ident: $($type:ty),* $(,)?) => { $($check::<$type>();)* };
    }
    all!(check: Shm, ShmName, ShmOptions, ManageOptions<Table>, ManageOptions<Array<u64>>, Locking, Stats, Report, Finding);
    all!(check: Description, Error, Repair, Flow, HashTable<String, Vec<u64>>, Array<String>, Table, DynTable, DynArray);
    all!(check: Value, Unfit, ObjectSchema, Schema, Types, DataError, Encoder<'static>, Decoder<'static>, Block<'static>);
    all!(check: Items<'static, u64, u64>, Keys<'static, u64>, Values<'static, u64>);
    all!(check: DynItems<'static>, DynKeys<'static>, DynValues<'static>);
    all!(check: Inspector, Snapshot, KernelLocks, inspect::Wait, inspect::Ring);
    all!(clones: Shm, ShmName, ShmOptions, ManageOptions<Table>, HashTable<String, String>, Array<String>, Table);
    all!(clones: DynTable, DynArray, Stats, Report, Description, Locking);
    assert_eq!(Locking::default(), Locking::Futex);
}

#[test]
fn iterators_say_what_they_know() -> Result<()> {
    fn fused<I: FusedIterator>(iterator: I) -> I {
        iterator
    }
    let scratch = Scratch::posix("size_hint");
    let table: HashTable<u64, u64> = HashTable::options().stripes(1).manage(scratch.open())?;
    (0..100).try_for_each(|key| table.add(&key, &key))?;
    let mut items = fused(table.scan());
    assert_eq!(items.size_hint(), (0, None));
    items.next().expect("an item")?;
    assert_eq!(items.size_hint(), (99, Some(99)));
    assert_eq!(items.by_ref().count(), 99);
    assert_eq!(items.size_hint(), (0, Some(0)));
    assert!(items.next().is_none() && items.next().is_none());

    let dynamic = DynTable::open(Shm::open(scratch.name())?)?;
    let mut keys = fused(dynamic.keys());
    keys.next().expect("a key")?;
    assert_eq!(keys.size_hint(), (99, Some(99)));
    Ok(())
}

#[test]
fn names_and_figures_are_serialized() -> Result<()> {
    let scratch = Scratch::posix("serialized");
    let table: HashTable<String, Vec<u64>> = HashTable::manage(scratch.open(), Locking::Record)?;
    table.add("a", &vec![1])?;
    let (stats, report, description) = (table.stats()?, table.check()?, table.shm().describe()?);
    macro_rules! there_and_back {
        ($value:expr, $type:ty) => {{
            let text = serde_json::to_string(&$value).unwrap();
            assert_eq!(serde_json::from_str::<$type>(&text).unwrap(), $value, "{text}");
            text
        }};
    }
    there_and_back!(stats, Stats);
    there_and_back!(report, Report);
    assert!(there_and_back!(description, Description).contains(r#""schema":"HashTable<String, Vec<u64>>""#));
    assert_eq!(there_and_back!(Locking::Record, Locking), r#""Record""#);
    let name = ShmName::try_from("file:a/b")?;
    assert_eq!(there_and_back!(name, ShmName), r#""file:a/b""#);
    assert!(ShmName::try_from("nonsense".to_owned()).is_err());
    assert!(serde_json::from_str::<ShmName>(r#""posix:/a/b""#).is_err());
    Ok(())
}

/// Whoever searches the documentation for the verbs of other crates finds those of this one.
#[test]
fn verbs_are_found_under_their_names_in_other_crates() {
    let sources = [
        include_str!("../../../netshm/src/handle.rs"),
        include_str!("../../../netshm/src/hash_table/operations.rs"),
        include_str!("../../../netshm/src/hash_table/atomic.rs"),
        include_str!("../../../netshm/src/hash_table/batch.rs"),
        include_str!("../../../netshm/src/hash_table/load.rs"),
        include_str!("../../../netshm/src/hash_table/update.rs"),
        include_str!("../../../netshm/src/hash_table/visit.rs"),
        include_str!("../../../netshm/src/array/bulk.rs"),
        include_str!("../../../netshm/src/array/operations.rs"),
        include_str!("../../../netshm/src/options.rs"),
        include_str!("../../../netshm/src/shm/options.rs"),
        include_str!("../../../netshm/src/upkeep.rs"),
        include_str!("../../../netshm/src/watch/mod.rs"),
    ];
    let searched = [
        ("insert", "add"),
        ("insert", "replace"),
        ("upsert", "replace"),
        ("try_insert", "add_if_absent"),
        ("get", "find"),
        ("contains_key", "contains"),
        ("iter", "scan"),
        ("entry", "update"),
        ("or_insert_with", "get_or_insert_with"),
        ("retain", "remove"),
        ("drain", "clear"),
        ("extend", "add_many"),
        ("increment", "fetch_add"),
        ("compare_and_swap", "compare_exchange"),
        ("transaction", "group"),
        ("lock", "group"),
        ("flush", "sync"),
        ("verify", "check"),
        ("subscribe", "watch"),
        ("notify", "watch"),
        ("snapshot", "copy_to"),
        ("backup", "copy_to"),
        ("shrink_to_fit", "trim"),
        ("copy_from_slice", "set_range"),
        ("copy_to_slice", "read_range"),
        ("attach", "open"),
        ("lookup", "find"),
        ("counter", "fetch_add"),
        ("get_mut", "update"),
        ("bulk", "add_many"),
        ("grow", "resize"),
        ("permissions", "mode"),
        ("namespace", "named"),
        ("save", "sync"),
        ("cursor", "scan"),
        ("compute", "update"),
        ("multi_get", "find_many"),
    ];
    for (word, verb) in searched {
        let alias = format!("#[doc(alias = \"{word}\")]");
        let leads = |source: &&str| {
            let attributes = source.split(&alias).skip(1);
            // Between the alias and its function are other attributes only.
            attributes.into_iter().any(|rest| {
                let item = rest.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#["));
                item.is_some_and(|item| item.starts_with(&format!("pub fn {verb}")))
            })
        };
        assert!(sources.iter().any(leads), "`{word}` does not lead to `{verb}`");
    }
}

/// Whoever declares objects can say what whoever manages them can.
#[test]
fn each_option_is_an_attribute_of_schemas() {
    // A member is named by its field, and opening a schema empties nothing.
    const OTHERS: [&str; 2] = ["named", "recreate"];
    let source = |path| std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (options, derive, docs) =
        (source("netshm/src/options.rs"), source("netshm-derive/src/schema.rs"), source("netshm-derive/src/lib.rs"));
    let options = options.lines().filter_map(|line| line.trim().strip_prefix("pub fn ")?.split_once("(mut self"));
    let options: Vec<_> = options.map(|(name, _)| name).filter(|name| !OTHERS.contains(name)).collect();
    assert!(options.len() > 8, "{options:?}");
    let of_fields = derive.split("const OBJECT:").nth(1).unwrap().split(']').next().unwrap();
    let documented = docs.split("# Attributes of fields").last().unwrap();
    for option in options {
        assert!(of_fields.contains(&format!("\"{option}\"")), "{option} is no attribute");
        assert!(documented.contains(&format!("`{option}`")) || documented.contains(&format!("#[shm({option}")));
    }
}

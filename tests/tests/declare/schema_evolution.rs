//! Opening objects across two versions of a type, and type mismatches.

use netshm::{Error, HashTable, Locking, Result, Shm, ShmData, Table};
use netshm_tests::{Child, Scratch};

mod first {
    use super::ShmData;

    #[derive(ShmData, Debug, PartialEq, Clone)]
    pub(super) struct Session {
        pub(super) user: u64,
        pub(super) name: String,
    }

    #[derive(ShmData, Debug, PartialEq)]
    pub(super) enum State {
        Idle,
        Running(u32),
    }

    /// Takes one word, so that it lies in the bucket of a key of one word.
    #[derive(ShmData, Debug, PartialEq)]
    pub(super) struct Count {
        pub(super) count: u64,
    }
}

mod second {
    use super::ShmData;

    #[derive(ShmData, Debug, PartialEq, Clone)]
    pub(super) struct Session {
        pub(super) user: u64,
        pub(super) name: String,
        #[shm(default)]
        pub(super) hits: u32,
        #[shm(default = "en".to_owned())]
        pub(super) language: String,
    }

    #[derive(ShmData, Debug, PartialEq)]
    pub(super) enum State {
        Idle,
        Running(u32),
        Failed { why: String },
    }

    #[derive(ShmData, Debug, PartialEq)]
    pub(super) struct Count {
        pub(super) count: u64,
        #[shm(default)]
        pub(super) most: u64,
    }
}

pub(crate) fn open<V: ShmData>(object: &Scratch) -> Result<HashTable<String, V>> {
    HashTable::manage(object.open(), Locking::Futex)
}

fn old_session() -> first::Session {
    first::Session { user: 7, name: "Ada".to_owned() }
}

fn new_session(hits: u32, language: &str) -> second::Session {
    second::Session { user: 7, name: "Ada".to_owned(), hits, language: language.to_owned() }
}

#[test]
fn new_fields_are_read_with_their_defaults() {
    let object = Scratch::posix("evolution-fields");
    let old = open::<first::Session>(&object).unwrap();
    old.add("a", &old_session()).unwrap();
    old.add("b", &old_session()).unwrap();
    drop(old);
    let new = open::<second::Session>(&object).unwrap();
    assert_eq!(new.find("a").unwrap(), Some(new_session(0, "en")));
    assert!(new.check().unwrap().is_clean());
    // The stored schema is still the old one.
    drop(new);
    assert_eq!(open::<first::Session>(&object).unwrap().find("a").unwrap(), Some(old_session()));
    // A change makes it the new one, for all rows.
    let new = open::<second::Session>(&object).unwrap();
    new.replace("a", &new_session(5, "de")).unwrap();
    assert_eq!(new.find("a").unwrap(), Some(new_session(5, "de")));
    assert_eq!(new.find("b").unwrap(), Some(new_session(0, "en")));
    let report = new.check().unwrap();
    assert!(report.is_clean(), "{report}");
    drop(new);
    let stored = object.open().describe().unwrap().schema.to_string();
    assert!(stored.contains("hits?: u32, language?: String"), "{stored}");
    assert_eq!(open::<first::Session>(&object).unwrap().find("b").unwrap(), Some(old_session()));
    assert_eq!(open::<second::Session>(&object).unwrap().len().unwrap(), 2);
}

#[test]
fn values_outgrow_their_buckets() {
    let object = Scratch::posix("evolution-pairs");
    let old: HashTable<u32, first::Count> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    (0..100).for_each(|key| old.add(&key, &first::Count { count: key.into() }).unwrap());
    old.add(&7, &first::Count { count: 1000 }).unwrap();
    drop(old);
    let new: HashTable<u32, second::Count> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let count = |count, most| second::Count { count, most };
    assert_eq!(new.find(&5).unwrap(), Some(count(5, 0)));
    (0..50).step_by(2).for_each(|key| new.replace(&key, &count(key.into(), 9)).unwrap());
    new.add(&7, &count(2000, 3)).unwrap();
    new.add(&8, &count(1, 1)).unwrap();
    new.add(&500, &count(5, 5)).unwrap();
    let check = |expected: usize| {
        let report = new.check().unwrap();
        assert!(report.is_clean() && report.bindings == expected as u64, "{report}");
    };
    check(104);
    assert_eq!(new.find(&4).unwrap(), Some(count(4, 9)));
    assert_eq!(new.find_all(&7).unwrap(), [count(2000, 3), count(1000, 0), count(7, 0)]);
    assert_eq!(new.find_all(&8).unwrap(), [count(1, 1), count(8, 9)]);
    // Down to the last binding, which is one of two words, of one word, and alone from the start.
    assert_eq!(new.pop(&8).unwrap(), Some(count(1, 1)));
    assert_eq!(new.find_all(&8).unwrap(), [count(8, 9)]);
    assert_eq!(new.remove_all(&7).unwrap(), 3);
    assert_eq!(new.pop(&500).unwrap(), Some(count(5, 5)));
    check(99);
    let mut keys = new.keys().collect::<Result<Vec<_>>>().unwrap();
    keys.sort_unstable();
    assert!(keys.into_iter().eq((0..100).filter(|key| *key != 7)));
}

#[test]
fn new_variants_come_at_the_end() {
    let object = Scratch::posix("evolution-variants");
    let old = open::<first::State>(&object).unwrap();
    old.add("a", &first::State::Running(3)).unwrap();
    old.add("b", &first::State::Idle).unwrap();
    drop(old);
    let new = open::<second::State>(&object).unwrap();
    new.add("c", &second::State::Failed { why: "tired".to_owned() }).unwrap();
    assert_eq!(new.find("a").unwrap(), Some(second::State::Running(3)));
    assert_eq!(new.find("b").unwrap(), Some(second::State::Idle));
    drop(new);
    assert_eq!(open::<first::State>(&object).unwrap().find("b").unwrap(), Some(first::State::Idle));
}

#[test]
fn a_program_of_the_old_type_goes_on() {
    let object = Scratch::posix("evolution-in-use");
    let old = open::<first::Session>(&object).unwrap();
    old.add("a", &old_session()).unwrap();
    let child = Child::start("schema_evolution::hold", &[&object.name().to_string()]);
    assert_eq!(child.line().as_deref(), Some("open"));
    let new = open::<second::Session>(&object).unwrap();
    new.replace("a", &new_session(1, "fr")).unwrap();
    assert_eq!(child.line().as_deref(), Some("replaced"));
    assert_eq!(new.find("a").unwrap(), Some(new_session(1, "fr")));
    assert_eq!(old.find("a").unwrap(), Some(old_session()));
    child.succeed();
}

#[test]
fn an_old_program_exchanges_what_it_knows() {
    let object = Scratch::posix("evolution-exchange");
    let old = open::<first::Session>(&object).unwrap();
    old.add("a", &old_session()).unwrap();
    let new = open::<second::Session>(&object).unwrap();
    new.replace("a", &new_session(1, "fr")).unwrap();
    let other = first::Session { user: 8, name: "Ada".to_owned() };
    assert_eq!(old.compare_exchange("a", &other, &old_session()).unwrap(), Err(Some(old_session())));
    assert_eq!(old.compare_exchange("a", &old_session(), &other).unwrap(), Ok(()));
    assert_eq!(new.find("a").unwrap(), Some(second::Session { user: 8, ..new_session(1, "fr") }));
    // As many words as the row has, but those after the value stay.
    let longer = first::Session { user: 9, name: "A".repeat(8 * 4 + 1) };
    assert_eq!(old.swap("a", &longer).unwrap(), Some(other));
    old.replace("a", &old_session()).unwrap();
    assert_eq!(new.find("a").unwrap(), Some(new_session(1, "fr")));

    let object = Scratch::posix("evolution-exchange");
    let old = open::<first::Count>(&object).unwrap();
    old.add("a", &first::Count { count: 1 }).unwrap();
    let new = open::<second::Count>(&object).unwrap();
    new.replace("a", &second::Count { count: 1, most: 5 }).unwrap();
    assert_eq!(old.compare_exchange("a", &first::Count { count: 1 }, &first::Count { count: 2 }).unwrap(), Ok(()));
    assert_eq!(new.find("a").unwrap(), Some(second::Count { count: 2, most: 5 }));
}

#[test]
fn programs_of_the_new_type_do_not_stand_in_each_others_way() {
    let object = Scratch::posix("evolution-together");
    let old = open::<first::Session>(&object).unwrap();
    old.add("a", &old_session()).unwrap();
    let new = open::<second::Session>(&object).unwrap();
    let children: Vec<_> =
        (0..2).map(|_| Child::start("schema_evolution::write", &[&object.name().to_string()])).collect();
    for child in &children {
        assert_eq!(child.line().as_deref(), Some("written"));
    }
    new.add("b", &new_session(1, "fr")).unwrap();
    assert_eq!(new.len().unwrap(), 4);
    children.into_iter().for_each(Child::succeed);
}

#[test]
fn many_programs_of_the_new_type_start_at_the_same_moment() {
    for locking in [Locking::Record, Locking::Futex] {
        let object = Scratch::posix("evolution-start");
        let old: HashTable<String, first::Session> =
            HashTable::options().locking(locking).stripes(4).manage(object.open()).unwrap();
        old.add("a", &old_session()).unwrap();
        drop(old);
        let started: Vec<_> =
            (0..20).map(|_| Child::start("schema_evolution::begin", &[&object.name().to_string()])).collect();
        started.into_iter().for_each(Child::succeed);
        let new: HashTable<String, second::Session> = HashTable::manage(object.open(), locking).unwrap();
        assert_eq!(new.len().unwrap(), 21);
        assert_eq!(new.find("a").unwrap().map(|session| session.hits), Some(20));
        assert!(new.check().unwrap().is_clean());
    }
}

#[test]
fn the_type_is_extended_inside_a_group_that_has_the_only_slot() {
    for locking in [Locking::None, Locking::Record, Locking::Futex] {
        let object = Scratch::posix("evolution-slot");
        let options = || HashTable::<String, first::Session>::options().locking(locking).slots(1).stripes(1);
        options().manage(object.open()).unwrap().add("a", &old_session()).unwrap();
        let child = Child::start("schema_evolution::group", &[&object.name().to_string()]);
        assert_eq!(child.line().as_deref(), Some("extended"));
        child.succeed();
        let new = HashTable::<String, second::Session>::manage(object.open(), locking).unwrap();
        assert_eq!(new.find("a").unwrap(), Some(new_session(1, "fr")));
        assert!(new.check().unwrap().is_clean());
    }
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    let shm = Shm::open(&arguments[0]).unwrap();
    if part == "write" {
        let tab: HashTable<String, second::Session> = HashTable::manage(shm, Locking::Futex).unwrap();
        tab.replace(&std::process::id().to_string(), &new_session(2, "de")).unwrap();
        println!("> written");
        return;
    }
    if part == "begin" {
        let tab: HashTable<String, second::Session> = HashTable::options().manage(shm).unwrap();
        tab.update("a", |session| session.map(|old| second::Session { hits: old.hits + 1, ..old })).unwrap();
        tab.add(&std::process::id().to_string(), &new_session(2, "de")).unwrap();
        return;
    }
    if part == "group" {
        let tab: HashTable<String, second::Session> = HashTable::options().manage(shm).unwrap();
        tab.group(|| {
            tab.find("a")?;
            tab.replace("a", &new_session(1, "fr"))
        })
        .unwrap();
        println!("> extended");
        return;
    }
    let tab: HashTable<String, first::Session> = HashTable::manage(shm, Locking::Futex).unwrap();
    println!("> open");
    // It learns only from what it finds that the type has been extended.
    while !object_is_extended(&tab) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    tab.replace("a", &old_session()).unwrap();
    println!("> replaced");
}

fn object_is_extended(tab: &HashTable<String, first::Session>) -> bool {
    assert_eq!(tab.find("a").unwrap(), Some(old_session()));
    tab.shm().describe().unwrap().schema.to_string().contains("hits")
}

#[test]
fn a_mismatch_shows_both_types_and_the_difference() {
    let object = Scratch::posix("evolution-mismatch");
    drop(open::<first::Session>(&object).unwrap());
    let Err(error) = HashTable::<String, (u64, String)>::manage(object.open(), Locking::Futex) else { panic!() };
    let text = error.to_string();
    for part in [&object.name().to_string(), "Session { user: u64, name: String }", "(u64, String)", "^"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(matches!(Table::manage(object.open(), Locking::Futex), Err(Error::SchemaMismatch { .. })));
    let Err(error) = netshm::Array::<u8>::manage(object.open(), 0, Locking::Futex) else { panic!() };
    assert!(error.to_string().contains("Array<u8>"), "{error}");
}

#[test]
fn a_read_only_program_of_the_new_version_reads_the_old_object() {
    let object = Scratch::posix("evolution-read-only");
    let old = open::<first::Session>(&object).unwrap();
    old.add("a", &old_session()).unwrap();
    let shm = Shm::options().read_only(true).open(object.name()).unwrap();
    let new: HashTable<String, second::Session> = HashTable::manage(shm, Locking::Futex).unwrap();
    assert_eq!(new.find("a").unwrap(), Some(new_session(0, "en")));
    assert!(matches!(new.add("b", &new_session(0, "")), Err(Error::ReadOnly { .. })));
}

/// `Row`, which stands inside itself in some way.
macro_rules! row {
    ($inside:ty, $($further:tt)*) => {
        #[derive(netshm::ShmData, Debug, Default)]
        pub(crate) struct Row {
            pub(crate) inside: $inside,
            pub(crate) owner: u64,
            $($further)*
        }
        #[derive(netshm::ShmData, Debug)]
        #[allow(dead_code)]
        pub(crate) struct Through {
            pub(crate) rows: Vec<Row>,
        }
        #[derive(netshm::ShmData, Debug)]
        #[allow(dead_code)]
        pub(crate) enum Either {
            Nothing,
            Rows(Vec<Row>),
        }
        #[derive(netshm::ShmData, Debug)]
        #[shm(transparent)]
        #[allow(dead_code)]
        pub(crate) struct Clear(pub(crate) Box<Row>);
        #[derive(netshm::ShmData, Debug, Default)]
        #[allow(dead_code)]
        pub(crate) struct Around<T> {
            pub(crate) content: T,
        }
    };
}

/// Two versions of `Row`, the second with a further field: it must not be read in place of the first.
macro_rules! recursive_types_do_not_grow {
    ($($name:ident: $inside:ty = $new:expr;)*) => { $(
        #[test]
        fn $name() {
            #[allow(unused_imports)]
            mod old {
                use std::collections::{BTreeMap, VecDeque};
                row!($inside,);
                pub(super) fn inside(row: Row) -> $inside {
                    let new: fn(Row) -> $inside = $new;
                    new(row)
                }
            }
            #[allow(unused_imports)]
            mod new {
                use std::collections::{BTreeMap, VecDeque};
                row!($inside, #[shm(default)] pub(crate) limit: u64,);
            }
            let object = Scratch::posix(concat!("evolution-", stringify!($name)));
            let table = open::<old::Row>(&object).unwrap();
            let inside = old::inside(old::Row { owner: 7, ..Default::default() });
            table.add("a", &old::Row { inside, owner: 999 }).unwrap();
            drop(table);
            match open::<new::Row>(&object) {
                Err(Error::SchemaMismatch { .. }) => {}
                Ok(table) => panic!("opened, and reads {:?}", table.find("a")),
                Err(other) => panic!("{other:?}"),
            }
            assert_eq!(open::<old::Row>(&object).unwrap().find("a").unwrap().unwrap().owner, 999);
        }
    )* };
}

recursive_types_do_not_grow! {
    a_row_in_a_box: Option<Box<Row>> = |row| Some(Box::new(row));
    rows_in_a_vector: Vec<Row> = |row| vec![row];
    rows_in_a_queue: VecDeque<Row> = |row| VecDeque::from([row]);
    rows_in_a_boxed_slice: Box<[Row]> = |row| Box::new([row]);
    rows_in_a_map: BTreeMap<u8, Row> = |row| BTreeMap::from([(1, row)]);
    rows_in_an_array: [Option<Box<Row>>; 2] = |row| [Some(Box::new(row)), None];
    rows_in_a_result: Option<Result<Box<Row>, u8>> = |row| Some(Ok(Box::new(row)));
    rows_through_a_struct: Option<Through> = |row| Some(Through { rows: vec![row] });
    rows_through_an_enum: Option<Either> = |row| Some(Either::Rows(vec![row]));
    rows_through_a_transparent_struct: Option<Clear> = |row| Some(Clear(Box::new(row)));
    rows_through_a_generic_struct: Around<Vec<Row>> = |row| Around { content: vec![row] };
    rows_in_a_tuple: (u8, Vec<Row>) = |row| (1, vec![row]);
}

#[test]
fn an_enum_that_stands_inside_itself_gets_variants() {
    mod old {
        #[derive(netshm::ShmData, Debug, PartialEq)]
        pub(super) enum Expression {
            Number(i64),
            Sum(Vec<Expression>),
            Not(Option<Box<Expression>>),
        }
    }
    mod new {
        #[derive(netshm::ShmData, Debug, PartialEq)]
        pub(super) enum Expression {
            Number(i64),
            Sum(Vec<Expression>),
            Not(Option<Box<Expression>>),
            Text { text: String },
        }
    }
    macro_rules! sum {
        ($version:ident) => {{
            use $version::Expression::{Not, Number, Sum};
            Sum(vec![Number(1), Not(Some(Box::new(Number(2)))), Sum(vec![Not(None)])])
        }};
    }
    let object = Scratch::posix("evolution-enum-in-itself");
    open::<old::Expression>(&object).unwrap().add("a", &sum!(old)).unwrap();
    let table = open::<new::Expression>(&object).unwrap();
    table.add("b", &new::Expression::Sum(vec![new::Expression::Text { text: "x".to_owned() }])).unwrap();
    assert_eq!(table.find("a").unwrap(), Some(sum!(new)));
}

/// Two types of one path in Rust, as there are in two versions of a crate.
mod of_one_name {
    use netshm::ShmData;

    const _: () = {
        #[derive(ShmData)]
        #[allow(unreachable_pub)]
        pub struct Row {
            inside: Option<Box<Inner>>,
            owner: u64,
        }
        type Inner = <() as super::Other>::Row;
        impl super::Named for () {
            type Row = Row;
        }
    };
    const _: () = {
        #[derive(ShmData)]
        #[allow(unreachable_pub)]
        pub struct Row {
            text: String,
        }
        impl super::Other for () {
            type Row = Row;
        }
    };
}

trait Named {
    type Row: ShmData;
}
trait Other {
    type Row: ShmData;
}

#[test]
fn types_of_one_name_are_told_apart() {
    type Row = <() as Named>::Row;
    let schema = netshm::data::Schema::of::<Row>().to_string();
    assert_eq!(schema, "Row { inside: Option<Row { text: String }>, owner: u64 }");
    let name = std::any::type_name::<Row>();
    assert_eq!(name, std::any::type_name::<<() as Other>::Row>(), "this shows nothing otherwise");
}

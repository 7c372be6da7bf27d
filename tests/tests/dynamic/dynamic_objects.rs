//! Dynamic tables and arrays as objects: what they refuse, older rows, groups, read-only descriptors, hostile content.

use netshm::data::{DataError, DataManager, Decoder, Encoder, ObjectSchema, Schema, Types};
use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::{Array, Error, HashTable, Locking, Shm, ShmData, Table, group};
use netshm_tests::Scratch;

mod first {
    #[derive(netshm::ShmData, Debug, PartialEq)]
    pub(super) struct Session {
        pub(super) user: u64,
        pub(super) name: String,
    }
}

mod second {
    #[derive(netshm::ShmData, Debug, PartialEq)]
    pub(super) struct Session {
        pub(super) user: u64,
        pub(super) name: String,
        #[shm(default)]
        pub(super) hits: u32,
        #[shm(default = "en".to_owned())]
        pub(super) language: String,
    }
}

fn typed<V: ShmData>(object: &Scratch) -> HashTable<String, V> {
    HashTable::manage(object.open(), Locking::Futex).unwrap()
}

fn read_only(object: &Scratch) -> Shm {
    Shm::options().read_only(true).open(object.name()).unwrap()
}

#[test]
fn rows_from_before_a_field_lack_it() {
    let object = Scratch::posix("dynamic-evolution");
    let old = typed::<first::Session>(&object);
    old.add("old", &first::Session { user: 7, name: "Ada".to_owned() }).unwrap();
    drop(old);
    let new = typed::<second::Session>(&object);
    let session = |hits| second::Session { user: 8, name: "Bob".to_owned(), hits, language: "en".to_owned() };
    new.add("new", &session(3)).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let row = table.find(&"old".into()).unwrap().unwrap();
    assert_eq!(row.field("name"), Some(&Value::from("Ada")));
    assert_eq!(row.field("hits"), Some(&Value::Missing));
    assert_eq!(row.field("language"), Some(&Value::Missing));
    assert_eq!(table.find(&"new".into()).unwrap().unwrap().field("hits"), Some(&Value::from(3u32)));
    // Copied as it is, it gets the defaults still.
    table.add(&"copy".into(), &row).unwrap();
    let expected = second::Session { user: 7, name: "Ada".to_owned(), hits: 0, language: "en".to_owned() };
    assert_eq!(new.find("copy").unwrap(), Some(expected));
    assert!(table.check().unwrap().is_clean());
    assert_eq!(netshm_reads_all(&table), 3);
    // A hole is no end.
    let fields = [("user", 1.into()), ("name", "x".into()), ("hits", Value::Missing), ("language", "de".into())];
    let hole = Value::structure("Session", fields);
    assert!(matches!(table.add(&"hole".into(), &hole), Err(Error::Unfit { .. })));
    let cut = [("user", 1.into()), ("name", "x".into()), ("hits", 5.into()), ("language", Value::Missing)];
    table.add(&"cut".into(), &Value::structure("Session", cut)).unwrap();
    let expected = second::Session { user: 1, name: "x".to_owned(), hits: 5, language: "en".to_owned() };
    assert_eq!(new.find("cut").unwrap(), Some(expected));
    // The names of fields that are missing have to be right as well.
    let wrong = [("user", 1.into()), ("name", "x".into()), ("hits", 5.into()), ("lang", Value::Missing)];
    assert!(matches!(table.add(&"x".into(), &Value::structure("Session", wrong)), Err(Error::Unfit { .. })));
}

#[test]
fn a_field_that_all_rows_have_is_not_left_out() {
    // The object began with all fields, so a program may have the type without defaults.
    let object = Scratch::posix("dynamic-complete");
    let typed = typed::<second::Session>(&object);
    let session = |hits: Value| {
        let language = if hits == Value::Missing { Value::Missing } else { "en".into() };
        Value::structure("Session", [("user", 1.into()), ("name", "x".into()), ("hits", hits), ("language", language)])
    };
    let opened = DynTable::open(object.open()).unwrap();
    // The type may say that it has defaults; what counts is what the object says.
    let schema = ObjectSchema::HashTable { key: Schema::of::<String>(), value: Schema::of::<second::Session>() };
    let managed = DynTable::options().locking(Locking::Futex).manage(object.open(), schema.clone()).unwrap();
    for table in [&opened, &managed] {
        let refused = table.add(&"k".into(), &session(Value::Missing)).unwrap_err();
        assert!(refused.to_string().contains(".hits: a missing field"), "{refused}");
        table.add(&"k".into(), &session(3.into())).unwrap();
    }
    assert_eq!(typed.len().unwrap(), 2);
    // A type that has grown, before and after the object knows of that.
    let object = Scratch::posix("dynamic-grown");
    drop(self::typed::<first::Session>(&object));
    for _ in 0..2 {
        let managed = DynTable::options().locking(Locking::Futex).manage(object.open(), schema.clone()).unwrap();
        managed.add(&"k".into(), &session(Value::Missing)).unwrap();
        let cut = Value::structure(
            "Session",
            [("user", 1.into()), ("name", Value::Missing), ("hits", Value::Missing), ("language", Value::Missing)],
        );
        assert!(managed.add(&"k".into(), &cut).unwrap_err().to_string().contains(".name: a missing field"));
    }
}

fn netshm_reads_all(table: &DynTable) -> usize {
    table.scan().map(Result::unwrap).count()
}

#[test]
fn verbs_do_what_those_of_typed_tables_do() {
    let object = Scratch::posix("dynamic-verbs");
    let tab = typed::<u64>(&object);
    let table = DynTable::open(object.open()).unwrap();
    let key = |text: &str| Value::from(text);
    table.add(&key("a"), &Value::from(1)).unwrap();
    table.add(&key("a"), &Value::from(2)).unwrap();
    assert_eq!(tab.find_all("a").unwrap(), [2, 1]);
    assert_eq!(table.find_all(&key("a")).unwrap(), [Value::from(2u64), Value::from(1u64)]);
    assert!(!table.add_if_absent(&key("a"), &Value::from(3)).unwrap());
    assert!(table.add_if_absent(&key("b"), &Value::from(3)).unwrap());
    table.replace(&key("b"), &Value::from(4)).unwrap();
    assert_eq!(tab.find("b").unwrap(), Some(4));
    assert_eq!(table.len().unwrap(), 3);
    let mut met = Vec::new();
    table.for_each(|key, value| met.push((key, value))).unwrap();
    let mut scanned: Vec<_> = table.scan().map(Result::unwrap).collect();
    met.sort_by_key(|(_, value)| value.as_u64());
    scanned.sort_by_key(|(_, value)| value.as_u64());
    assert_eq!(met, scanned);
    assert_eq!(met.len(), 3);
    assert_eq!(table.keys().map(Result::unwrap).count(), 2);
    let sum = |old: Option<Value>| Some(Value::from(old.and_then(|old| old.as_u64()).unwrap_or(0) + 10));
    assert_eq!(table.update(&key("b"), sum).unwrap(), Some(Value::from(14u64)));
    assert_eq!(table.update(&key("b"), |_| None).unwrap(), None);
    assert!(!tab.contains("b").unwrap());
    assert_eq!(table.pop(&key("a")).unwrap(), Some(Value::from(2u64)));
    assert_eq!(table.remove_all(&key("a")).unwrap(), 1);
    assert!(!table.remove(&key("a")).unwrap());
    assert!(table.is_empty().unwrap() && !table.contains(&key("a")).unwrap());
    let outcome: Result<(), Error> = group!(table => {
        table.add(&key("g"), &Value::from(1))?;
        table.add(&key("g"), &Value::from("no number"))?;
    });
    assert!(matches!(outcome, Err(Error::Unfit { .. })));
    assert!(table.is_empty().unwrap());
    table.add(&key("c"), &Value::from(1)).unwrap();
    table.clear().unwrap();
    assert!(tab.is_empty().unwrap());
}

#[test]
fn values_of_other_types_are_refused() {
    let object = Scratch::posix("dynamic-unfit");
    let _typed = typed::<Vec<(u8, Option<bool>)>>(&object);
    let table = DynTable::open(object.open()).unwrap();
    let refused = |value: Value| match table.add(&"k".into(), &value) {
        Err(Error::Unfit { unfit, .. }) => unfit.to_string(),
        other => panic!("{other:?}"),
    };
    let item = |first: Value, second: Value| Value::Tuple(vec![first, second]);
    assert_eq!(refused(Value::from("x")), "a sequence expected, found a text");
    let second = vec![item(1.into(), Value::None), item(300.into(), Value::None)];
    assert_eq!(refused(Value::Seq(second)), "[1].0: u8 expected, found an integer out of its range");
    let inner = item(1.into(), Value::Some(Box::new(Value::from(1))));
    assert_eq!(refused(Value::Seq(vec![inner])), "[0].1: bool expected, found an integer");
    assert_eq!(refused(Value::Seq(vec![Value::Tuple(vec![])])), "[0]: 2 fields expected, found 0");
    assert!(table.is_empty().unwrap());
    assert!(matches!(table.find(&Value::from(1)), Err(Error::Unfit { .. })));
}

#[test]
fn the_primitive_table_has_a_schema_too() {
    let object = Scratch::posix("dynamic-primitive");
    let primitive = Table::manage(object.open(), Locking::Record).unwrap();
    primitive.add(-5, &[1, 2, 3]).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let list = |items: &[i32]| Value::Seq(items.iter().map(|item| Value::from(*item)).collect());
    assert_eq!(table.find(&Value::from(-5)).unwrap(), Some(list(&[1, 2, 3])));
    table.replace(&Value::from(-5), &list(&[4])).unwrap();
    assert_eq!(primitive.find(-5).unwrap(), Some(vec![4]));
}

#[test]
fn objects_are_what_they_say() {
    let empty = Scratch::posix("dynamic-empty");
    assert!(matches!(empty.open().describe(), Err(Error::NotNetshm { .. })));
    assert!(matches!(DynTable::open(empty.open()), Err(Error::NotNetshm { .. })));
    let object = Scratch::file("dynamic-array");
    let shm = object.open();
    let array: Array<[u16; 5]> = Array::options().pagesize(512).stripes(8).manage(shm, [7; 5]).unwrap();
    array.resize(3).unwrap();
    let description = read_only(&object).describe().unwrap();
    assert_eq!(description.schema.to_string(), "Array<[u16; 5]>");
    assert_eq!((description.pagesize, description.stripes), (512, 8));
    assert_eq!(description.locking, Locking::Futex);
    assert_eq!(description.size, object.open().size().unwrap());
    let shown = description.to_string();
    assert!(shown.contains("Array<[u16; 5]>") && shown.contains("Futex") && shown.contains("512"), "{shown}");
    assert!(matches!(DynTable::open(object.open()), Err(Error::SchemaMismatch { .. })));
    let dynamic = DynArray::open(read_only(&object)).unwrap();
    assert_eq!(dynamic.len().unwrap(), 3);
    assert_eq!(dynamic.get(2).unwrap(), dynamic.default_value().unwrap());
    assert!(matches!(dynamic.get(3), Err(Error::OutOfBounds { .. })));
    assert!(matches!(dynamic.set(1, &dynamic.get(0).unwrap()), Err(Error::ReadOnly { .. })));
    drop(array);
    // Nobody has it managed now.
    assert_eq!(read_only(&object).describe().unwrap().schema, description.schema);
    assert_eq!(DynArray::open(read_only(&object)).unwrap().len().unwrap(), 3);
    let writer = DynArray::open(object.open()).unwrap();
    writer.resize(10).unwrap();
    writer.set(9, &Value::Seq((1..=5u16).map(Value::from).collect())).unwrap();
    writer.swap(9, 0).unwrap();
    let doubled = |value: Value| match value {
        Value::Seq(items) => Value::Seq(items.iter().map(|item| Value::from(item.as_u64().unwrap_or(0) * 2)).collect()),
        other => other,
    };
    writer.update(0, doubled).unwrap();
    let four = Value::Seq(vec![Value::from(1); 4]);
    assert!(matches!(writer.set(0, &four), Err(Error::Unfit { .. })));
    let array: Array<[u16; 5]> = Array::manage(object.open(), [7; 5], Locking::Futex).unwrap();
    assert_eq!((array.get(0).unwrap(), array.get(9).unwrap()), ([2, 4, 6, 8, 10], [7; 5]));
    assert!(matches!(DynArray::open(typed::<u8>(&empty).shm().name().open_again()), Err(Error::SchemaMismatch { .. })));
}

trait OpenAgain {
    fn open_again(&self) -> Shm;
}

impl OpenAgain for netshm::ShmName {
    fn open_again(&self) -> Shm {
        Shm::open(self).unwrap()
    }
}

#[test]
fn objects_are_made_by_a_schema_alone() {
    let (object, array) = (Scratch::posix("dynamic-made"), Scratch::posix("dynamic-made-array"));
    let schema = "HashTable<String, Session { user: u64, name: String }>".parse().unwrap();
    let table = DynTable::options().pagesize(1024).manage(object.open(), schema).unwrap();
    let ada = Value::structure("Session", [("user", 1.into()), ("name", "Ada".into())]);
    table.add(&"a".into(), &ada).unwrap();
    let expected = first::Session { user: 1, name: "Ada".to_owned() };
    assert_eq!(typed::<first::Session>(&object).find("a").unwrap(), Some(expected));
    let schema = "Array<Option<(u8, u64)>>".parse().unwrap();
    DynArray::options().manage(array.open(), schema, &Value::None).unwrap().resize(4).unwrap();
    let typed: Array<Option<(u8, u64)>> = Array::manage(array.open(), None, Locking::Futex).unwrap();
    assert_eq!(typed.get(3).unwrap(), None);
    let other = "Array<u8>".parse().unwrap();
    let unfit = DynArray::options().manage(Scratch::posix("dynamic-none").open(), other, &Value::None);
    assert!(matches!(unfit, Err(Error::Unfit { .. })));
}

/// A manager that does not say that its values have a fixed length.
#[derive(Debug, PartialEq)]
struct Untold(u32);

impl DataManager for Untold {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(self.0.into())
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.take().map(Untold)
    }

    fn schema(types: &mut Types) -> Schema {
        types.of::<u32>()
    }
}

#[test]
fn managers_that_do_not_tell_their_length_are_understood() {
    let (object, array) = (Scratch::posix("dynamic-untold"), Scratch::posix("dynamic-untold-array"));
    let tab = typed::<Vec<Option<Untold>>>(&object);
    tab.add("a", &vec![None, Some(Untold(7)), None]).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let row = table.find(&"a".into()).unwrap().unwrap();
    assert_eq!(row, Value::Seq(vec![Value::None, Value::from(Some(7u32)), Value::None]));
    table.add(&"b".into(), &row).unwrap();
    assert_eq!(tab.find("b").unwrap(), tab.find("a").unwrap());
    // That is another type than one that does.
    let other = HashTable::<String, Vec<Option<u32>>>::manage(object.open(), Locking::Futex);
    assert!(matches!(other, Err(Error::SchemaMismatch { .. })));
    drop((tab, table));
    assert_eq!(netshm::repair(object.name()).unwrap().dropped, 0);
    let typed: Array<Untold> = Array::manage(array.open(), Untold(1), Locking::Futex).unwrap();
    typed.resize(2).unwrap();
    let dynamic = DynArray::open(array.open()).unwrap();
    dynamic.set(1, &Value::from(5)).unwrap();
    assert_eq!((typed.get(0).unwrap(), typed.get(1).unwrap()), (Untold(1), Untold(5)));
}

#[test]
fn changes_are_waited_for() {
    let object = Scratch::posix("dynamic-watch");
    let users: HashTable<String, u64> = HashTable::options().named("users").manage(object.open()).unwrap();
    let hits: Array<u64> = Array::options().named("hits").manage(object.open(), 0).unwrap();
    hits.resize(10).unwrap();
    let table = DynTable::open_member(object.open(), "users").unwrap();
    let array = DynArray::open_member(object.open(), "hits").unwrap();
    let mut watches = [
        table.watch().unwrap(),
        table.watch_key(&"one".into()).unwrap(),
        array.watch().unwrap(),
        array.watch_element(3).unwrap(),
    ];
    let limit = Some(std::time::Duration::from_secs(30));
    std::thread::scope(|scope| {
        scope.spawn(|| users.add("one", &7).and_then(|()| hits.set(3, &5)).unwrap());
        let found = table.wait_until(&"one".into(), limit, |found| found.is_some()).unwrap();
        assert_eq!(found, Some(Value::from(7u64)));
        assert_eq!(array.wait_until(3, limit, |found| *found != Value::from(0u64)).unwrap(), Value::from(5u64));
    });
    assert!(watches.iter_mut().all(|watch| watch.changed(limit).unwrap()));
    let waited = table.wait_until(&"two".into(), Some(std::time::Duration::ZERO), |found| found.is_some());
    assert!(matches!(waited, Err(Error::WaitTimeout { .. })), "{waited:?}");
    assert!(matches!(table.watch_key(&2u64.into()), Err(Error::Unfit { .. })));
}

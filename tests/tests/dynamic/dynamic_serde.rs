//! JSON through `dynamic` is what `serde_json` makes of the same Rust type, in both directions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZeroU8, Wrapping};
use std::ops::{Bound, Range, RangeInclusive};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use netshm::data::Schema;
use netshm::dynamic::{DynTable, Value};
use netshm::{HashTable, Locking, ShmData, ShmKey};
use netshm_tests::Scratch;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Sends a value both ways between the typed table, `dynamic` and `serde_json`.
#[track_caller]
fn agrees<T: ShmData + Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let object = Scratch::posix("serde");
    let typed: HashTable<u8, T> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    typed.add::<u8, T>(&1, value).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let ours = table.find(&Value::from(1)).unwrap().unwrap().to_json();
    // As texts, since that is what is piped; parsed, since the order of fields means nothing.
    let theirs: serde_json::Value = serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap();
    let printed: serde_json::Value = serde_json::from_str(&ours.to_string()).unwrap();
    assert_eq!(printed, theirs, "{}", Schema::of::<T>());
    assert_eq!(serde_json::from_str::<T>(&ours.to_string()).unwrap(), *value, "what netshm writes, serde_json reads");
    let read = Value::from_json(&theirs, &Schema::of::<T>()).unwrap();
    table.add(&Value::from(2), &read).unwrap();
    assert_eq!(typed.find(&2).unwrap().as_ref(), Some(value), "what serde_json writes, netshm reads");
}

#[derive(ShmData, ShmKey, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Colour {
    Red,
    Green,
}

#[derive(ShmData, ShmKey, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct UserId(u32);

#[derive(ShmData, Serialize, Deserialize, Debug, PartialEq)]
enum Shape {
    Nothing,
    Hole(),
    One(f32),
    Two(u8, Option<u8>),
    Named { x: i8, at: Duration },
}

#[derive(ShmData, Serialize, Deserialize, Debug, PartialEq)]
struct Row {
    user: UserId,
    name: Option<String>,
    colour: Colour,
    shapes: Vec<Shape>,
    from: IpAddr,
    home: PathBuf,
    boxed: Option<Box<Row>>,
}

fn row(boxed: Option<Row>) -> Row {
    Row {
        user: UserId(7),
        name: None,
        colour: Colour::Green,
        shapes: vec![
            Shape::Nothing,
            Shape::Hole(),
            Shape::One(0.1),
            Shape::Two(1, None),
            Shape::Named { x: -1, at: Duration::new(1, 5) },
        ],
        from: "::1".parse().unwrap(),
        home: "/home/ada".into(),
        boxed: boxed.map(Box::new),
    }
}

#[test]
fn scalars_and_texts() {
    agrees(&u64::MAX);
    agrees(&i64::MIN);
    agrees(&i128::from(i64::MIN));
    agrees(&true);
    agrees(&'ß');
    agrees(&"text".to_owned());
    agrees(&NonZeroU8::MAX);
    agrees(&Wrapping(3u16));
    agrees(&());
    for float in [0.1, 1e15, 1e30, f32::MAX, f32::MIN_POSITIVE, 1.0, -0.0] {
        agrees(&float);
    }
    for float in [0.1, 1e15, 1e300, f64::MAX, f64::MIN_POSITIVE, 1.0, -0.0] {
        agrees(&float);
    }
}

#[test]
fn containers() {
    agrees(&vec![1u8, 255]);
    agrees(&vec!["a".to_owned()]);
    agrees(&[1u32, 2]);
    agrees(&Box::new(5u8));
    agrees(&Some(1u8));
    agrees(&None::<u8>);
    agrees(&Some(Some(1u8)));
    agrees(&Ok::<u8, String>(1));
    agrees(&Err::<u8, String>("no".to_owned()));
    agrees(&(1u8, "x".to_owned(), None::<u8>));
    agrees(&BTreeSet::from([3, -1, 2]));
    agrees(&Range { start: 1, end: 3 });
    agrees(&RangeInclusive::new(1u8, 3));
    agrees(&Bound::Included(3u8));
    agrees(&Bound::<u8>::Unbounded);
}

#[test]
fn maps_with_keys_that_have_names() {
    agrees(&BTreeMap::from([("b".to_owned(), 1u8), ("a".to_owned(), 2)]));
    agrees(&BTreeMap::from([(-2i64, true), (1, false)]));
    agrees(&BTreeMap::from([(u128::MAX, true)]));
    agrees(&BTreeMap::from([('x', 1u8)]));
    agrees(&BTreeMap::from([(true, 1u8), (false, 2)]));
    agrees(&BTreeMap::from([(Colour::Green, 1u8), (Colour::Red, 2)]));
    agrees(&HashMap::from([(UserId(3), "x".to_owned())]));
    agrees(&BTreeMap::from([(IpAddr::from([127, 0, 0, 1]), 1u8)]));
    agrees(&BTreeMap::from([(uuid::Uuid::from_u128(5), 1u8)]));
    agrees(&BTreeMap::<u8, u8>::new());
}

#[test]
fn addresses_paths_and_times() {
    let v6 = Ipv6Addr::LOCALHOST;
    agrees(&Ipv4Addr::LOCALHOST);
    agrees(&v6);
    agrees(&IpAddr::V4(Ipv4Addr::LOCALHOST));
    agrees(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80));
    agrees(&SocketAddrV6::new(v6, 80, 0, 3));
    agrees(&SocketAddr::from((v6, 80)));
    agrees(&PathBuf::from("/a/b"));
    agrees(&OsString::from("x"));
    agrees(&Duration::new(3, 7));
    agrees(&(SystemTime::UNIX_EPOCH + Duration::new(3, 7)));
}

#[test]
fn types_of_other_crates() {
    agrees(&uuid::Uuid::from_u128(0x1234_5678_9abc));
    let date = chrono::NaiveDate::from_ymd_opt(2026, 2, 28).unwrap();
    let at = date.and_hms_milli_opt(23, 59, 58, 7).unwrap();
    agrees(&date);
    agrees(&at.time());
    agrees(&at);
    agrees(&at.and_utc());
    agrees(&at.and_local_timezone(chrono::FixedOffset::east_opt(3600).unwrap()).unwrap());
    agrees(&chrono::TimeDelta::new(-3, 7).unwrap());
    let date = time::Date::from_ordinal_date(2026, 60).unwrap();
    let at = date.with_hms_nano(23, 59, 58, 7).unwrap();
    agrees(&date);
    agrees(&at.time());
    agrees(&at);
    agrees(&at.assume_offset(time::UtcOffset::from_hms(1, 30, 0).unwrap()));
    agrees(&time::Duration::new(-3, -7));
}

#[test]
fn own_types() {
    agrees(&row(None));
    agrees(&row(Some(row(None))));
    // What may be left out is `None`, as with serde.
    let mut json = serde_json::to_value(row(None)).unwrap();
    let object = json.as_object_mut().unwrap();
    object.remove("name");
    object.remove("boxed");
    let schema = Schema::of::<Row>();
    for read in [Value::from_json(&json, &schema), Value::from_json_row(&json, &schema)] {
        assert_eq!(read.unwrap().field("boxed"), Some(&Value::None));
    }
}

#[test]
fn a_type_of_ones_own_that_has_a_known_name_keeps_its_form() {
    #[derive(ShmData, Serialize, Deserialize, Debug, PartialEq)]
    struct Duration {
        beats: u64,
        nanos: u32,
    }
    agrees(&Duration { beats: 1, nanos: 2 });
    #[derive(ShmData, Serialize, Deserialize, Debug, PartialEq)]
    struct Uuid(u8);
    agrees(&Uuid(3));
}

#[test]
fn what_serde_cannot_say_comes_back_all_the_same() {
    let path = PathBuf::from(OsString::from_vec(vec![b'/', 0xff]));
    let before = SystemTime::UNIX_EPOCH - Duration::new(1, 5);
    let object = Scratch::posix("serde-back");
    let typed: HashTable<u8, (PathBuf, SystemTime, u128)> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let value = (path, before, u128::MAX);
    typed.add(&1, &value).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let json = table.find(&Value::from(1)).unwrap().unwrap().to_json();
    let read = Value::from_json(&json, &Schema::of::<(PathBuf, SystemTime, u128)>()).unwrap();
    table.add(&Value::from(2), &read).unwrap();
    assert_eq!(typed.find(&2).unwrap(), Some(value), "{json}");
}

/// A set given in any order is one that the typed program reads, as a value and within a key.
#[test]
fn entries_may_come_in_any_order() {
    let object = Scratch::posix("serde-order");
    type Key = (u8, BTreeSet<i32>);
    type Ordered = (BTreeSet<UserId>, BTreeMap<Option<u8>, u8>, BTreeSet<PathBuf>);
    let typed: HashTable<Key, Ordered> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let number = |number: i32| Value::from(number);
    let id = |number| {
        let schema = Schema::of::<UserId>();
        Value::from_json(&serde_json::json!(number), &schema).unwrap()
    };
    let path = |text: &str| Value::from_json(&serde_json::json!(text), &Schema::of::<PathBuf>()).unwrap();
    let key = Value::Tuple(vec![Value::from(1u8), Value::Seq(vec![number(3), Value::from(1u64), number(-2)])]);
    let value = Value::Tuple(vec![
        Value::Seq(vec![id(2), id(1)]),
        Value::Map(vec![(Value::Some(Box::new(number(5))), number(1)), (Value::None, number(2))]),
        Value::Seq(vec![path("a.b"), path("a/b")]),
    ]);
    table.add(&key, &value).unwrap();
    let found = typed.find(&(1, BTreeSet::from([-2, 1, 3]))).unwrap();
    let paths = BTreeSet::from(["a/b", "a.b"].map(PathBuf::from));
    let expected = (BTreeSet::from([UserId(1), UserId(2)]), BTreeMap::from([(Some(5), 1), (None, 2)]), paths);
    assert_eq!(found, Some(expected));
    // Within a key only what can be brought into its order is taken.
    let object = Scratch::posix("serde-order-key");
    let _: HashTable<BTreeSet<UserId>, u8> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let error = table.add(&Value::Seq(vec![id(2), id(1)]), &number(1)).unwrap_err();
    assert!(error.to_string().contains("a type with an order of its own"), "{error}");
    table.add(&Value::Seq(vec![id(2)]), &number(1)).unwrap();
}

type Mixed = (
    Option<Vec<i64>>,
    Result<f64, [char; 3]>,
    BTreeMap<String, (bool, u64)>,
    BTreeMap<i16, f32>,
    HashMap<char, Option<bool>>,
    (IpAddr, Duration),
);

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture_agrees(value in any::<Mixed>()) {
        agrees(&value);
    }
}

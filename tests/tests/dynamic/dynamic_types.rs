//! Every type through the typed and the dynamic tables, both ways.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZero, Wrapping};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use netshm::data::Schema;
use netshm::dynamic::{DynArray, DynTable, FieldValues, Value};
use netshm::{Array, HashTable, Locking, ShmData, ShmKey};
use netshm_tests::Scratch;
use proptest::prelude::*;

/// Writes values typed, reads them dynamically, writes those back and reads them typed. Returns the values read dynamically.
#[track_caller]
fn through<T: ShmData + PartialEq + Debug>(values: &[T]) -> Vec<Value> {
    let object = Scratch::posix("dynamic");
    let typed: HashTable<u32, T> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let array_object = Scratch::posix("dynamic-array");
    let mut read = Vec::new();
    for (value, key) in values.iter().zip(0u32..) {
        typed.add::<u32, T>(&key, value).unwrap();
        let found = table.find(&key.into()).unwrap().unwrap();
        let copy = key + 1000;
        table.add(&copy.into(), &found).unwrap();
        assert_eq!(typed.find(&copy).unwrap().as_ref(), Some(value), "{found:?}");
        read.push(found);
    }
    assert!(typed.check().unwrap().is_clean());
    assert!(table.check().unwrap().is_clean());
    assert_eq!(table.len().unwrap(), 2 * values.len());
    // As elements of an array, the first of them being the default.
    if let Some(default) = values.first() {
        let make = || typed.find(&0).unwrap().unwrap();
        let typed: Array<T> = Array::manage(array_object.open(), make(), Locking::Record).unwrap();
        typed.resize(2 * values.len() + 1).unwrap();
        let array = DynArray::open(array_object.open()).unwrap();
        for (i, (value, as_read)) in values.iter().zip(&read).enumerate() {
            typed.set::<T>(2 * i, value).unwrap();
            assert_eq!(&array.get(2 * i).unwrap(), as_read);
            array.set(2 * i + 1, as_read).unwrap();
            assert_eq!(&typed.get(2 * i + 1).unwrap(), value);
        }
        // (Not `read[0]`, for a hash map that was made anew has its entries in another order.)
        assert_eq!(array.get(2 * values.len()).unwrap(), array.default_value().unwrap());
        assert_eq!(&typed.get(2 * values.len()).unwrap(), default);
        assert!(typed.check().unwrap().is_clean());
        assert!(array.check().unwrap().is_clean());
    }
    read
}

/// Does the same with keys: equal values must have the same words, or they are not found.
#[track_caller]
fn as_keys<T: ShmKey + Debug>(values: &[T]) -> Vec<Value> {
    let read = through(values);
    let object = Scratch::posix("dynamic-keys");
    let typed: HashTable<T, u32> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    for ((key, as_read), i) in values.iter().zip(&read).zip(0u32..) {
        typed.replace::<T, u32>(key, &i).unwrap();
        assert_eq!(table.find(as_read).unwrap(), Some(Value::from(i)), "{as_read:?}");
        table.replace(as_read, &Value::from(i + 1)).unwrap();
        assert_eq!(typed.find::<T>(key).unwrap(), Some(i + 1));
        assert!(table.remove(as_read).unwrap());
        assert_eq!(typed.find::<T>(key).unwrap(), None);
    }
    read
}

fn seq<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::Seq(items.into_iter().map(Into::into).collect())
}

#[test]
fn numbers() {
    macro_rules! integers {
        ($($type:ty)*) => { $(
            let values = [<$type>::MIN, <$type>::MAX, 0, 1, 77];
            assert_eq!(as_keys(&values), values.map(Value::from));
            as_keys(&[[<$type>::MIN, 5, <$type>::MAX], [1, 2, 3]]);
            as_keys(&[vec![], vec![<$type>::MIN], vec![3; 9], vec![<$type>::MAX; 2000]]);
            as_keys(&[Some(<$type>::MAX), None]);
            as_keys(&[NonZero::<$type>::new(5).unwrap()]);
        )* };
    }
    integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
    assert_eq!(as_keys(&[true, false]), [Value::Bool(true), Value::Bool(false)]);
    assert_eq!(as_keys(&['a', 'ß', '\u{10ffff}']), [Value::Char('a'), Value::Char('ß'), Value::Char('\u{10ffff}')]);
    assert_eq!(as_keys(&[vec![true, false, true]])[0], seq([true, false, true]));
    assert_eq!(as_keys(&[vec!['x', 'y']])[0], seq(['x', 'y']));
    assert_eq!(as_keys(&[[true; 9]])[0], seq([true; 9]));
    assert_eq!(through(&[0.5f32, -0.0, f32::INFINITY])[0], Value::F32(0.5));
    assert_eq!(through(&[0.1f64, f64::MIN])[0], Value::F64(0.1));
    assert_eq!(through(&[vec![1.5f32, 2.5, 3.5]])[0], seq([1.5f32, 2.5, 3.5]));
    assert_eq!(through(&[[1.5f64, 2.5]])[0], seq([1.5f64, 2.5]));
    as_keys(&[Wrapping(7u16)]);
    assert_eq!(as_keys(&[()]), [Value::Unit]);
    assert_eq!(as_keys(&[PhantomData::<String>]), [Value::Unit]);
}

#[test]
fn a_nan_keeps_its_bits() {
    let object = Scratch::posix("dynamic-nan");
    let typed: HashTable<u8, (f32, f64)> = HashTable::manage(object.open(), Locking::None).unwrap();
    let (a, b) = (f32::from_bits(0x7f80_0001), f64::from_bits(0xfff0_0000_0000_0001));
    typed.add(&1, &(a, b)).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    table.add(&Value::from(2), &table.find(&Value::from(1)).unwrap().unwrap()).unwrap();
    let (c, d) = typed.find(&2).unwrap().unwrap();
    assert_eq!((c.to_bits(), d.to_bits()), (a.to_bits(), b.to_bits()));
}

#[test]
fn texts_and_bytes() {
    let texts = ["", "a", "12345678", "nine bytes", "größer"];
    assert_eq!(as_keys(&texts.map(str::to_owned)), texts.map(Value::from));
    as_keys(&texts.map(|text| text.to_owned().into_boxed_str()));
    as_keys(&texts.map(Cow::Borrowed));
    as_keys(&[vec!["a".to_owned(), String::new()]]);
    assert_eq!(as_keys(&[vec![1u8, 2, 255]])[0], Value::Bytes(vec![1, 2, 255]));
    assert_eq!(as_keys(&[[7u8; 11]])[0], Value::Bytes(vec![7; 11]));
    as_keys(&[vec![9u8; 100_000]]);
    as_keys(&[vec![1u8, 2].into_boxed_slice()]);
    as_keys(&[OsString::from("os")]);
    through(&[PathBuf::from("/a/b"), PathBuf::new()]);
    let mut around: VecDeque<u16> = (0..8).collect();
    around.rotate_left(3);
    around.push_back(99);
    as_keys(&[around.clone()]);
    as_keys(&[around.into_iter().map(|number| number.to_string()).collect::<VecDeque<_>>()]);
}

#[test]
fn options_results_and_boxes() {
    let read = as_keys(&[None, Some(Some((1u64, 2u8))), Some(None)]);
    assert_eq!(read[2], Value::Some(Box::new(Value::None)));
    as_keys(&[(None, 1u8), (Some([1u128, 2]), 2)]);
    as_keys::<(Option<String>, u8)>(&[(None, 1), (Some("x".to_owned()), 2)]);
    let read = as_keys::<Result<u8, (u64, u64)>>(&[Ok(1), Err((2, 3))]);
    assert_eq!(read[0], Value::Ok(Box::new(Value::from(1u8))));
    as_keys::<(Result<(), u64>, u8)>(&[(Ok(()), 1), (Err(5), 2)]);
    as_keys::<(Result<String, u64>, u8)>(&[(Ok("fine".to_owned()), 1), (Err(5), 2)]);
    as_keys(&[Some(Box::new(7u64)), None]);
    as_keys(&[(None::<Box<(u64, u64)>>, 1u8)]);
    as_keys(&[vec![Box::new(7u8), Box::new(8)]]);
    as_keys(&[[Box::new(7u16), Box::new(8)]]);
    as_keys(&[vec![Cow::Borrowed(&7u8), Cow::Owned(8)]]);
    as_keys::<(Result<Box<u8>, (u64, u64)>, u8)>(&[(Ok(Box::new(1)), 1)]);
    as_keys(&[vec![vec![Some(1u8), None], vec![]], vec![]]);
}

#[test]
fn maps_and_sets() {
    let map = BTreeMap::from([("a".to_owned(), vec![1u32]), ("b".to_owned(), vec![])]);
    let read = as_keys(&[map, BTreeMap::new()]);
    let entry = |key: &str, value: Value| (Value::from(key), value);
    assert_eq!(read[0], Value::Map(vec![entry("a", seq([1u32])), entry("b", seq::<u32>([]))]));
    assert_eq!(as_keys(&[BTreeSet::from([3u8, 1, 2])])[0], seq([1u8, 2, 3]));
    through(&[(0..100u64).map(|key| (key, key.to_string())).collect::<HashMap<_, _>>()]);
    through(&[(0..100i16).collect::<HashSet<_>>(), HashSet::new()]);
    through(&[HashSet::from([()])]);
    through(&[HashMap::from([((), 1.5f32)])]);
    as_keys(&[BTreeMap::from([(1u8, BTreeMap::from([(2u8, Some(3u8))]))])]);
}

#[test]
fn addresses_and_times() {
    let v4: Ipv4Addr = [127, 0, 0, 1].into();
    as_keys(&[v4]);
    as_keys(&[Ipv6Addr::LOCALHOST]);
    as_keys::<IpAddr>(&[v4.into(), Ipv6Addr::LOCALHOST.into()]);
    as_keys::<SocketAddr>(&[(v4, 80).into(), (Ipv6Addr::LOCALHOST, 443).into()]);
    as_keys(&[Duration::new(5, 7)]);
    let read = as_keys(&[SystemTime::UNIX_EPOCH - Duration::from_nanos(5)]);
    assert_eq!(read[0].field("nanos"), Some(&Value::from(-5i128)));
}

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Clone, Copy)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
struct Metres(u16, u8);

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
#[shm(transparent)]
struct Id(u8);

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
struct Nothing;

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Busy(u32, String),
    #[shm(index = 9)]
    Failed {
        why: String,
        at: Option<Point>,
    },
    #[shm(index = 4)]
    Single(Point),
}

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
enum Colour {
    Red,
    Green,
}

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
struct Tree {
    value: u64,
    left: Option<Box<Tree>>,
    right: Option<Box<Tree>>,
    rest: Vec<Tree>,
}

#[derive(ShmData, Debug, PartialEq, Clone)]
enum Json {
    Null,
    Number(f64),
    List(Vec<Json>),
    Object(HashMap<String, Json>),
    Boxed(Box<Json>),
}

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
struct Generic<T> {
    marker: PhantomData<T>,
    first: T,
    items: Vec<T>,
    pair: [T; 2],
}

#[test]
fn structs_and_enums() {
    assert_eq!(as_keys(&[Point { x: -1, y: 2 }])[0], Value::structure("Point", [("x", (-1).into()), ("y", 2.into())]));
    as_keys(&[Metres(7, 8)]);
    assert_eq!(as_keys(&[vec![Id(1), Id(2)]])[0], Value::Bytes(vec![1, 2]));
    as_keys(&[Nothing]);
    as_keys(&[vec![Nothing, Nothing]]);
    let read = as_keys(&[
        State::Idle,
        State::Busy(5, "work".to_owned()),
        State::Failed { why: "tired".to_owned(), at: Some(Point { x: 1, y: 1 }) },
        State::Failed { why: String::new(), at: None },
        State::Single(Point { x: 3, y: 4 }),
    ]);
    assert_eq!(read[0], Value::variant("State", "Idle", FieldValues::Unit));
    assert_eq!(read[1].field("1"), Some(&Value::from("work")));
    as_keys(&[Some(Colour::Red), None, Some(Colour::Green)]);
    as_keys(&[vec![Point { x: 1, y: 2 }, Point { x: 3, y: 4 }]]);
    as_keys(&[BTreeMap::from([(Point { x: 1, y: 2 }, "a".to_owned())])]);
    as_keys(&[Generic { marker: PhantomData, first: 0, items: vec![1u8, 2, 3], pair: [4, 5] }]);
    as_keys(&[Generic {
        marker: PhantomData,
        first: String::new(),
        items: vec!["a".to_owned()],
        pair: ["b".to_owned(), "c".to_owned()],
    }]);
}

#[test]
fn recursive_types() {
    let leaf = |value| Tree { value, left: None, right: None, rest: vec![] };
    let mut tree = leaf(0);
    for value in 1..120 {
        let around = Tree { left: Some(Box::new(tree)), ..leaf(value) };
        tree = Tree { rest: vec![leaf(1), leaf(2)], right: Some(Box::new(leaf(3))), ..around };
    }
    as_keys(&[tree, leaf(7)]);
    let list = Json::List(vec![Json::Null, Json::Boxed(Box::new(Json::Number(2.5)))]);
    through(&[list.clone(), Json::Object(HashMap::from([("a".to_owned(), list)])), Json::Null]);
}

#[test]
fn elements_that_take_no_words_are_bounded() {
    let units = |len: usize| Value::Seq(vec![Value::Unit; len]);
    let [one, two] = ["Vec<()>", "Vec<Vec<()>>"].map(|text| text.parse::<Schema>().unwrap());
    // 65,536, and 16 for each word, in the value as a whole.
    assert!(units(65_552).check(&one).is_ok() && units(65_553).check(&one).is_err());
    assert!(Value::Seq(vec![units(32_768); 2]).check(&two).is_ok());
    assert!(Value::Seq(vec![units(32_800); 2]).check(&two).is_err());
    through(&[vec![(); 65_552]]);
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![Just(Json::Null), (-1e9..1e9).prop_map(Json::Number)];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::List),
            prop::collection::hash_map("[a-z]{0,12}", inner.clone(), 0..6).prop_map(Json::Object),
            inner.prop_map(|inner| Json::Boxed(Box::new(inner))),
        ]
    })
}

type Mixed = (Option<Vec<Option<i16>>>, Result<Box<u8>, [char; 3]>, BTreeMap<String, (bool, u128)>, Vec<[u8; 3]>);

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree(values in prop::collection::vec(json(), 1..8)) {
        through(&values);
    }

    #[test]
    fn any_mixture(values in prop::collection::vec(any::<Mixed>(), 1..8)) {
        as_keys(&values);
    }
}

//! Values as JSON, and back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::IpAddr;

use netshm::data::Schema;
use netshm::dynamic::{DynTable, Value};
use netshm::{HashTable, Locking, ShmData};
use netshm_tests::Scratch;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// Converts a typed value to JSON and back; returns the JSON.
#[track_caller]
fn through<T: ShmData + PartialEq + Debug>(value: &T) -> Json {
    let object = Scratch::posix("json");
    let typed: HashTable<u8, T> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    typed.add::<u8, T>(&1, value).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let read = table.find(&Value::from(1)).unwrap().unwrap();
    let json = read.to_json();
    let parsed: Json = serde_json::from_str(&json.to_string()).unwrap();
    let back = Value::from_json(&parsed, &Schema::of::<T>()).unwrap();
    table.add(&Value::from(2), &back).unwrap();
    assert_eq!(typed.find(&2).unwrap().as_ref(), Some(value), "{json}");
    json
}

#[derive(ShmData, Debug, PartialEq)]
struct Session {
    user: u64,
    name: Option<String>,
    at: (i8, char),
}

#[derive(ShmData, Debug, PartialEq)]
struct Nothing;

#[derive(ShmData, Debug, PartialEq)]
struct Wrapped(Option<u8>);

#[derive(ShmData, Debug, PartialEq)]
enum State {
    Idle,
    Done(u8),
    Busy(u32, String),
    Failed { why: String },
    Maybe(Option<()>),
}

#[derive(ShmData, Debug, PartialEq)]
struct Tree {
    value: f64,
    children: Vec<Tree>,
    next: Option<Box<Tree>>,
}

#[test]
fn numbers_and_texts() {
    assert_eq!(through(&u64::MAX), json!(u64::MAX));
    assert_eq!(through(&i64::MIN), json!(i64::MIN));
    assert_eq!(through(&u128::MAX), json!("340282366920938463463374607431768211455"));
    assert_eq!(through(&i128::MIN), json!("-170141183460469231731687303715884105728"));
    assert_eq!(through(&5i128), json!(5));
    assert_eq!(through(&0.1f32), json!(0.1));
    assert_eq!(through(&1e300f64), json!(1e300));
    assert_eq!(through(&f64::INFINITY), json!("inf"));
    assert_eq!(through(&f32::NEG_INFINITY), json!("-inf"));
    assert_eq!(through(&[0.5f32, f32::INFINITY]), json!([0.5, "inf"]));
    assert_eq!(through(&true), json!(true));
    assert_eq!(through(&'ß'), json!("ß"));
    assert_eq!(through(&"text".to_owned()), json!("text"));
    assert_eq!(through(&vec![1u8, 255]), json!([1, 255]));
    assert_eq!(through(&[1u8, 2]), json!([1, 2]));
    let nan = Value::from_json(&json!("NaN"), &Schema::of::<f64>()).unwrap();
    assert!(matches!(nan, Value::F64(number) if number.is_nan()));
    assert_eq!(nan.to_json(), json!("NaN"));
}

#[test]
fn nothing_is_told_from_nothing() {
    assert_eq!(through(&None::<u8>), json!(null));
    assert_eq!(through(&Some(1u8)), json!(1));
    assert_eq!(through(&Some(None::<u8>)), json!({"Some": null}));
    assert_eq!(through(&Some(Some(1u8))), json!(1));
    assert_eq!(through(&Some(Some(None::<u8>))), json!({"Some": {"Some": null}}));
    assert_eq!(through(&Some(())), json!({"Some": null}));
    assert_eq!(through(&Some(Nothing)), json!({"Some": null}));
    assert_eq!(through(&Some(Wrapped(None))), json!({"Some": null}));
    assert_eq!(through(&Some(Wrapped(Some(1)))), json!(1));
    assert_eq!(through(&Some(Box::new(Some(1u8)))), json!(1));
    assert_eq!(through(&Some(Some(HashMap::from([("Some".to_owned(), 1u8)])))), json!({"Some": {"Some": 1}}));
    assert_eq!(through(&Some(HashMap::from([("Some".to_owned(), 1u8)]))), json!({"Some": 1}));
    assert_eq!(through(&(PhantomData::<u8>, ())), json!([null, null]));
}

#[test]
fn structures() {
    let session = Session { user: 7, name: Some("Ada".to_owned()), at: (-1, 'x') };
    assert_eq!(through(&session), json!({"user": 7, "name": "Ada", "at": [-1, "x"]}));
    assert_eq!(through(&Nothing), json!(null));
    assert_eq!(through(&Wrapped(Some(3))), json!(3));
    assert_eq!(through(&State::Idle), json!("Idle"));
    assert_eq!(through(&State::Done(1)), json!({"Done": 1}));
    assert_eq!(through(&State::Busy(1, "x".to_owned())), json!({"Busy": [1, "x"]}));
    assert_eq!(through(&State::Failed { why: "y".to_owned() }), json!({"Failed": {"why": "y"}}));
    assert_eq!(through(&State::Maybe(None)), json!({"Maybe": null}));
    assert_eq!(through(&State::Maybe(Some(()))), json!({"Maybe": {"Some": null}}));
    assert_eq!(through::<Result<u8, String>>(&Ok(1)), json!({"Ok": 1}));
    assert_eq!(through::<Result<u8, String>>(&Err("no".to_owned())), json!({"Err": "no"}));
    assert_eq!(through(&IpAddr::from([0, 0, 0, 1])), json!("0.0.0.1"));
    let leaf = |value| Tree { value, children: vec![], next: None };
    let tree = Tree { value: 0.5, children: vec![leaf(1.0), leaf(2.0)], next: Some(Box::new(leaf(3.0))) };
    assert_eq!(through(&tree)["children"][1]["value"], json!(2.0));
}

#[test]
fn maps() {
    assert_eq!(through(&BTreeMap::from([("b".to_owned(), 1u8), ("a".to_owned(), 2)])), json!({"a": 2, "b": 1}));
    assert_eq!(through(&BTreeMap::from([(2u8, true), (1, false)])), json!({"1": false, "2": true}));
    assert_eq!(through(&BTreeMap::from([((2u8, 1u8), true)])), json!([[[2, 1], true]]));
    assert_eq!(through(&BTreeMap::from([(Some(2u8), true), (None, false)])), json!([[null, false], [2, true]]));
    assert_eq!(through(&BTreeMap::<u8, u8>::new()), json!({}));
    assert_eq!(through(&BTreeSet::from([(2i8, 'b'), (-1, 'a')])), json!([[-1, "a"], [2, "b"]]));
    through(&(0..200u16).map(|key| (key.to_string(), key)).collect::<HashMap<_, _>>());
    // A person need not know the order in which they are stored.
    let object = Scratch::posix("json-order");
    type Ordered = (BTreeSet<i32>, BTreeMap<Option<u8>, u8>);
    let typed: HashTable<u8, Ordered> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let table = DynTable::open(object.open()).unwrap();
    let schema = "(BTreeSet<i32>, BTreeMap<Option<u8>, u8>)".parse().unwrap();
    let value = Value::from_json(&json!([[3, -1, 2], [[5, 1], [null, 2]]]), &schema).unwrap();
    table.add(&Value::from(1), &value).unwrap();
    let expected = (BTreeSet::from([-1, 2, 3]), BTreeMap::from([(Some(5), 1), (None, 2)]));
    assert_eq!(typed.find(&1).unwrap(), Some(expected));
}

#[test]
fn rows_without_their_last_fields() {
    let schema: Schema = "S { a: u8, b?: u8, c?: u8 }".parse().unwrap();
    let row = Value::from_json_row(&json!({"a": 1}), &schema).unwrap();
    assert_eq!((row.field("b"), row.field("c")), (Some(&Value::Missing), Some(&Value::Missing)));
    assert_eq!(row.to_json(), json!({"a": 1}));
    assert!(Value::from_json_row(&json!({"a": 1, "c": 1}), &schema).is_err());
    assert!(Value::from_json(&json!({"a": 1, "b": 1}), &schema).is_err());
    // Fields that all rows have are asked for.
    let whole: Schema = "S { a: u8, b: u8, c?: u8 }".parse().unwrap();
    let unfit = Value::from_json_row(&json!({"a": 1}), &whole).unwrap_err();
    assert_eq!(unfit.to_string(), "the field `b` is not there");
    assert!(Value::from_json_row(&json!({"a": 1, "b": 1}), &whole).is_ok());
    let full = json!({"a": 1, "b": 2, "c": 3});
    assert_eq!(Value::from_json_row(&full, &schema).unwrap().to_json(), full);
    assert_eq!(Value::from_json_row(&json!([1]), &"Vec<u8>".parse().unwrap()).unwrap(), Value::Bytes(vec![1]));
}

#[test]
fn what_does_not_fit_is_named() {
    for (schema, json, what) in [
        ("u8", json!(256), "u8 expected, found an integer out of its range"),
        ("u8", json!(-1), "u8 expected, found an integer out of its range"),
        ("u8", json!(1.5), "u8 expected, found a number"),
        ("u8", json!("x"), "u8 expected, found a string"),
        ("f32", json!(1e300), "f32 expected, found a number"),
        ("f64", json!("1.5"), "f64 expected, found a string"),
        ("char", json!("xy"), "char expected, found a string"),
        ("bool", json!(0), "bool expected, found a number"),
        ("String", json!(null), "a text expected, found null"),
        ("Vec<u8>", json!([1, 300]), "[1]: u8 expected, found a number"),
        ("Vec<(u8, u8)>", json!([[1, 2], [1]]), "[1]: an array of 2 expected, found 1 elements"),
        ("A { x: u8 }", json!({"x": 1, "y": 2}), "there is no field `y`"),
        ("A { x: u8 }", json!({}), "the field `x` is not there"),
        ("A { x: B { y: u8 } }", json!({"x": {"y": true}}), ".x.y: u8 expected, found a bool"),
        ("enum E { A, B(u8) }", json!("C"), "a variant of E expected, found \"C\""),
        (
            "enum E { A, B(u8) }",
            json!({"B": 1, "A": null}),
            "an object with only a variant of E expected, found another object",
        ),
        ("enum E { A, B(u8) }", json!({"B": "x"}), ".B: u8 expected, found a string"),
        ("Option<Option<u8>>", json!("x"), "u8 expected, found a string"),
        ("Ipv4Addr(u32)", json!("300.1.1.1"), "Ipv4Addr expected, found the text \"300.1.1.1\""),
        ("BTreeMap<u8, u8>", json!({"300": 1}), "[\"300\"]: u8 expected, found an integer out of its range"),
        ("BTreeMap<bool, u8>", json!({"yes": 1}), "[\"yes\"]: bool expected, found a string"),
        (
            "Result<u8, u8>",
            json!({"Fine": 1}),
            "an object with the only field `Ok` or `Err` expected, found another object",
        ),
        ("BTreeMap<u8, u8>", json!([[1]]), "[0]: a pair of a key and a value expected, found an array"),
    ] {
        let unfit = Value::from_json(&json, &schema.parse().unwrap()).unwrap_err();
        assert_eq!(unfit.to_string(), what, "{schema} {json}");
    }
    let twice = Value::from_json(&json!([1, 1]), &"BTreeSet<u8>".parse().unwrap()).unwrap();
    let unfit = twice.check(&"BTreeSet<u8>".parse().unwrap()).unwrap_err();
    assert_eq!(unfit.to_string(), "[1]: there twice");
    let short = Value::from_json(&json!([1, 1]), &"[u8; 3]".parse().unwrap()).unwrap();
    assert!(short.check(&"[u8; 3]".parse().unwrap()).is_err());
    let mut deep = json!([]);
    for _ in 0..3000 {
        deep = Json::Array(vec![deep]);
    }
    assert!(Value::from_json(&deep, &"A(Vec<^A>)".parse().unwrap()).is_err());
}

type Mixed =
    (Option<Option<Vec<i64>>>, Result<f64, [char; 3]>, BTreeMap<String, (bool, u128)>, BTreeMap<(u8, i8), f32>);

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture_comes_back(value in any::<Mixed>()) {
        through(&value);
    }

    #[test]
    fn floats_come_back_exactly(bits in any::<(u32, u64)>()) {
        let (a, b) = (f32::from_bits(bits.0), f64::from_bits(bits.1));
        let back = |value: Value, schema: &str| {
            let text = value.to_json().to_string();
            Value::from_json(&serde_json::from_str(&text).unwrap(), &schema.parse().unwrap()).unwrap()
        };
        match (back(Value::F32(a), "f32"), back(Value::F64(b), "f64")) {
            (Value::F32(c), Value::F64(d)) => {
                prop_assert!(c.to_bits() == a.to_bits() || c.is_nan() && a.is_nan());
                prop_assert!(d.to_bits() == b.to_bits() || d.is_nan() && b.is_nan());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

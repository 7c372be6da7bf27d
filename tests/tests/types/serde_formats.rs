//! Types that postcard cannot read back, in formats whose values describe themselves, and the ready modules for fields.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug, Display};
use std::str::FromStr;

use netshm::data::{DataError, Schema, SerdeCbor, SerdeJson, from_words, to_words};
use netshm::dynamic::{DynTable, Value};
use netshm::{HashTable, Locking, ShmData};
use netshm_tests::Scratch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Tagged {
    Circle { radius: f64 },
    Named { name: String },
    Empty,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    One(u8),
    Many(Vec<u8>),
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    List(Vec<Untagged>),
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Flattened {
    id: u64,
    #[serde(flatten)]
    more: BTreeMap<String, Untagged>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    note: Option<String>,
}

fn flattened() -> Flattened {
    let more = [("a", Untagged::Number(-5)), ("b", Untagged::List(vec![Untagged::Text("x".to_owned())]))];
    Flattened { id: 7, more: more.map(|(name, value)| (name.to_owned(), value)).into(), note: None }
}

#[track_caller]
fn come_back<T: Serialize + DeserializeOwned + Debug + PartialEq + Clone>(value: T) {
    let json = to_words(&SerdeJson(value.clone())).unwrap();
    assert_eq!(from_words::<SerdeJson<T>>(&json).unwrap().into_inner(), value);
    let cbor = to_words(&SerdeCbor(value.clone())).unwrap();
    assert_eq!(from_words::<SerdeCbor<T>>(&cbor).unwrap().into_inner(), value);
}

#[test]
fn types_come_back_that_postcard_does_not_know() {
    [Tagged::Circle { radius: 0.1 }, Tagged::Named { name: "é\"\n".to_owned() }, Tagged::Empty]
        .into_iter()
        .for_each(come_back);
    [Adjacent::One(1), Adjacent::Many(vec![1, 2])].into_iter().for_each(come_back);
    come_back(flattened());
    come_back(vec![flattened(); 100]);
    come_back(serde_json::json!({ "a": [1, -2, 0.5, null, true, "text", {}], "b": { "c": u64::MAX } }));
    come_back(HashMap::from([("a".to_owned(), vec![Some(1u8), None]), ("b".to_owned(), vec![])]));
    come_back((1u8, 'x', [1.5f32; 3], ()));
    come_back(vec![(); 300]);
}

#[test]
fn what_would_not_come_back_is_refused() {
    #[track_caller]
    fn refused<T>(outcome: Result<T, DataError>, words: &str) {
        let error = outcome.err().expect("it is refused");
        assert!(error.to_string().contains(words), "{error}");
    }
    refused(to_words(&SerdeJson(f64::NAN)), "does not read this value back");
    refused(to_words(&SerdeJson(BTreeMap::from([((1, 2), 3)]))), "no form");
    assert!(to_words(&SerdeCbor(vec![f64::INFINITY, f64::MIN])).is_ok());
    assert!(to_words(&SerdeCbor(BTreeMap::from([((1, 2), 3)]))).is_ok());
    // Nested so deep that reading, or writing, would exhaust the stack.
    #[derive(Serialize, Deserialize)]
    struct Deep(Option<Box<Deep>>);
    let deep = (0..5000).fold(Deep(None), |inner, _| Deep(Some(Box::new(inner))));
    refused(to_words(&SerdeJson(deep)), "nested");
    let nested =
        |depth: usize| serde_json::from_str::<serde_json::Value>(&("[".repeat(depth) + &"]".repeat(depth))).unwrap();
    assert!(to_words(&SerdeJson(nested(100))).is_ok());
    for words in
        [vec![u64::MAX], vec![3, 0x5b5b5b], vec![1, 0xff], vec![9, u64::MAX, u64::MAX], vec![5, 0x9b_ffff_ffff]]
    {
        assert!(from_words::<SerdeJson<Vec<Vec<u8>>>>(&words).is_err());
        assert!(from_words::<SerdeCbor<Vec<Vec<u8>>>>(&words).is_err());
    }
    // More than one value.
    assert!(from_words::<SerdeCbor<u8>>(&[2, 0x0101]).is_err());
}

/// Three numbers with dots, as the versions of packages.
#[derive(Debug, PartialEq, Clone)]
struct Version(u64, u64, u64);

impl Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let numbers: Vec<u64> = text.split('.').map(str::parse).collect::<Result<_, _>>().map_err(drop)?;
        match numbers[..] {
            [a, b, c] => Ok(Version(a, b, c)),
            _ => Err(()),
        }
    }
}

/// Writes what it does not read.
#[derive(Debug, PartialEq, Clone)]
struct Unreadable;

impl Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unreadable")
    }
}

impl FromStr for Unreadable {
    type Err = ();

    fn from_str(_: &str) -> Result<Self, ()> {
        Err(())
    }
}

#[derive(ShmData, Debug, PartialEq, Clone)]
struct Package {
    #[shm(with = netshm::with::display)]
    version: Version,
    #[shm(with = netshm::with::serde)]
    adjacent: Option<u8>,
    #[shm(with = netshm::with::json)]
    options: Flattened,
    #[shm(with = netshm::with::cbor)]
    shape: Tagged,
    last: u64,
}

#[test]
fn fields_are_stored_by_ready_modules() {
    let schema = Schema::of::<Package>().to_string();
    let expected = "Package { version: String, adjacent: Postcard(Vec<u8>), options: Json(String), shape: Cbor(Vec<u8>), last: u64 }";
    assert_eq!(schema, expected);
    let package = Package {
        version: Version(1, 22, 333),
        adjacent: Some(1),
        options: flattened(),
        shape: Tagged::Circle { radius: f64::NEG_INFINITY },
        last: 9,
    };
    let object = Scratch::posix("serde-with");
    let tab: HashTable<u64, Package> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    tab.add(&1, &package).unwrap();
    assert_eq!(tab.find(&1).unwrap(), Some(package));
    assert!(tab.check().unwrap().is_clean());
    // What is a text anybody can read.
    let shown = format!("{:?}", DynTable::open(object.open()).unwrap().find(&Value::from(1)).unwrap().unwrap());
    assert!(shown.contains("1.22.333") && shown.contains(r#"\"id\":7"#), "{shown}");
    #[derive(ShmData)]
    struct Wrong {
        #[shm(with = netshm::with::display)]
        field: Unreadable,
    }
    assert!(to_words(&Wrong { field: Unreadable }).unwrap_err().to_string().contains("its own text"));
}

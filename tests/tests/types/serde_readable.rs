//! `Serde<T>` stores what it can read back, and refuses everything else when it is written.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use netshm::data::{Serde, from_words, to_words};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[track_caller]
fn is_refused<T: Serialize + DeserializeOwned + Debug>(value: T, named: &str) {
    let error = to_words(&Serde(value)).expect_err("no words");
    let text = error.to_string();
    assert!(text.contains(named) && text.contains("flatten"), "{text}");
}

#[track_caller]
fn is_stored<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: T) {
    let value = Serde(value);
    assert_eq!(from_words::<Serde<T>>(&to_words(&value).unwrap()).unwrap(), value);
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(tag = "kind")]
enum Tagged {
    A { x: u8 },
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(tag = "kind", content = "content")]
enum Adjacent {
    A(u8),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Flat {
    a: u8,
    #[serde(flatten)]
    more: HashMap<String, u8>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Default)]
struct Sparse {
    #[serde(default, skip_serializing_if = "is_zero")]
    a: u8,
    v: Vec<u8>,
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Skipping {
    #[serde(skip)]
    A,
    B,
    C,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Cached {
    number: u8,
    #[serde(skip)]
    cache: u8,
}

#[test]
fn what_is_not_read_back_is_refused() {
    is_refused(Tagged::A { x: 1 }, "Tagged");
    is_refused(Adjacent::A(3), "Adjacent");
    is_refused(Untagged::Number(1), "Untagged");
    is_refused(Untagged::Text(String::new()), "Untagged");
    is_refused(Flat { a: 1, more: HashMap::new() }, "Flat");
    is_refused(serde_json::json!({ "a": [1, null] }), "Value");
    // Its bytes are those of another value, which would be read.
    is_refused(Sparse { a: 0, v: vec![0] }, "Sparse");
    is_refused(Sparse { a: 0, v: Vec::new() }, "Sparse");
    is_refused(Skipping::A, "Skipping");
    is_refused(Skipping::B, "Skipping");
    is_refused(Skipping::C, "Skipping");
    is_refused(vec![Some(Untagged::Number(1))], "Untagged");
}

#[test]
fn all_else_is_stored() {
    is_stored(Sparse { a: 1, v: vec![0] });
    is_stored(Cached { number: 3, cache: 0 });
    is_stored((1u8, -1i64, 'x', "text".to_owned(), Some(()), None::<u8>, 1.5f32));
    is_stored((0..100).map(|number| (number.to_string(), vec![number])).collect::<HashMap<String, Vec<u32>>>());
    is_stored((0..100).map(|number| number.to_string()).collect::<HashSet<String>>());
    is_stored((Duration::from_millis(3), SystemTime::UNIX_EPOCH, IpAddr::from([127, 0, 0, 1])));
    is_stored([Ok(1), Err("x".to_owned())] as [Result<u8, String>; 2]);
    let words = to_words(&Serde(f64::NAN)).unwrap();
    assert!(from_words::<Serde<f64>>(&words).unwrap().0.is_nan());
    let cached = to_words(&Serde(Cached { number: 3, cache: 7 })).unwrap();
    assert_eq!(from_words::<Serde<Cached>>(&cached).unwrap().0, Cached { number: 3, cache: 0 });
}

//! Managers of types of other crates that are often keys or hold many elements.

use arrayvec::{ArrayString, ArrayVec};
use indexmap::{IndexMap, IndexSet};
use netshm::data::{Schema, from_words, to_words};
use netshm::{HashTable, Locking, ShmData};
use netshm_tests::Scratch;
use ordered_float::{NotNan, OrderedFloat};
use smol_str::SmolStr;

/// Checks that a value comes back, and is stored as another one is.
#[track_caller]
fn stored_as<T: ShmData + PartialEq + std::fmt::Debug, U: ShmData>(value: &T, other: &U) {
    let words = to_words(value).unwrap();
    assert_eq!(words, to_words(other).unwrap());
    assert_eq!(from_words::<T>(&words).as_ref(), Ok(value));
    assert_eq!(Schema::of::<T>(), Schema::of::<U>());
}

#[test]
fn types_of_other_crates_are_stored_as_those_of_std() {
    stored_as(&SmolStr::new("a text that is no longer inline"), &"a text that is no longer inline".to_owned());
    stored_as(&ArrayString::<8>::from("short").unwrap(), &"short".to_owned());
    stored_as(&ArrayVec::<u16, 5>::from_iter([1, 2, 3]), &vec![1u16, 2, 3]);
    stored_as(
        &ArrayVec::<Option<String>, 2>::from_iter([None, Some("x".to_owned())]),
        &vec![None, Some("x".to_owned())],
    );
    // One entry has only one order.
    stored_as(
        &IndexMap::<String, u8>::from_iter([("a".to_owned(), 1)]),
        &std::collections::HashMap::from([("a".to_owned(), 1u8)]),
    );
    stored_as(&IndexSet::<u64>::from_iter([7]), &std::collections::HashSet::from([7u64]));
    let map = IndexMap::<u8, u8>::from_iter([(9, 1), (1, 2), (5, 3)]);
    let again: IndexMap<u8, u8> = from_words(&to_words(&map).unwrap()).unwrap();
    assert!(again.iter().eq(map.iter()));
}

#[test]
fn words_that_are_no_such_value_are_refused() {
    let words = to_words(&vec![1u16; 6]).unwrap();
    assert!(from_words::<ArrayVec<u16, 5>>(&words).is_err());
    assert!(from_words::<ArrayString<4>>(&to_words("short").unwrap()).is_err());
    assert!(from_words::<NotNan<f64>>(&[f64::NAN.to_bits()]).is_err());
    assert!(from_words::<IndexMap<u8, u8>>(&[2, 1, 1, 1, 2]).is_err());
    assert!(from_words::<IndexSet<u8>>(&[u64::MAX, 1]).is_err());
}

#[test]
fn equal_floats_are_one_key() {
    let object = Scratch::posix("managers-other");
    let tab: HashTable<(OrderedFloat<f64>, NotNan<f32>), SmolStr> =
        HashTable::manage(object.open(), Locking::Futex).unwrap();
    let key = |one: f64, other: f32| (OrderedFloat(one), NotNan::new(other).unwrap());
    tab.add(&key(0.0, -0.0), &SmolStr::new("zero")).unwrap();
    tab.add(&key(f64::NAN, 1.5), &SmolStr::new("no number")).unwrap();
    assert_eq!(tab.find(&key(-0.0, 0.0)).unwrap().as_deref(), Some("zero"));
    assert_eq!(tab.find(&key(-f64::NAN, 1.5)).unwrap().as_deref(), Some("no number"));
    let names: HashTable<SmolStr, u8> = HashTable::options().named("names").manage(object.open()).unwrap();
    names.add("a", &1).unwrap();
    assert_eq!(names.find("a").unwrap(), Some(1));
}

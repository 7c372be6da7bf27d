//! The default of an array is compared when the array is opened again, whatever order it has in memory.

use netshm::dynamic::{DynArray, Value};
use netshm::{Array, Error, Locking};
use netshm_tests::Scratch;
use std::collections::{HashMap, HashSet};

type Element = HashMap<String, HashSet<u16>>;

fn default() -> Element {
    (0..20).map(|number| (format!("{number}"), HashSet::from([number, number + 3, 1000 - number]))).collect()
}

#[test]
fn a_default_with_hash_maps_is_the_same_when_the_array_is_opened_again() {
    let scratch = Scratch::posix("default");
    let array: Array<Element> = Array::manage(scratch.open(), default(), Locking::Futex).unwrap();
    array.resize(3).unwrap();
    for _ in 0..20 {
        let again: Array<Element> = Array::manage(scratch.open(), default(), Locking::Futex).unwrap();
        assert_eq!(again.get(2).unwrap(), default());
    }
    let other: Element = HashMap::from([("1".to_owned(), HashSet::new())]);
    assert!(Array::<Element>::manage(scratch.open(), other, Locking::Futex).is_err());
}

#[test]
fn the_default_of_an_array_that_was_made_without_the_type_is_the_same() {
    let scratch = Scratch::posix("default");
    let numbers: Vec<Value> = [5u16, 1, 1000, 7].map(Value::from).into();
    let schema: netshm::data::ObjectSchema = "Array<HashSet<u16>>".parse().unwrap();
    drop(DynArray::options().manage(scratch.open(), schema, &Value::Seq(numbers)).unwrap());
    Array::<HashSet<u16>>::manage(scratch.open(), HashSet::from([1, 5, 7, 1000]), Locking::Futex).unwrap();
}

#[test]
fn a_default_that_is_another_is_shown_as_people_write_it() {
    #[track_caller]
    fn differ<T: netshm::ShmData>(stored: T, asked_for: T, texts: [&str; 2]) {
        let scratch = Scratch::posix("default");
        drop(Array::manage(scratch.open(), stored, Locking::Futex).unwrap());
        match Array::manage(scratch.open(), asked_for, Locking::Futex) {
            Err(Error::SchemaMismatch { stored, expected, .. }) => {
                assert!(stored.ends_with(texts[0]), "{stored}");
                assert!(expected.ends_with(texts[1]), "{expected}");
            }
            other => panic!("{other:?}"),
        }
    }
    differ(0.0f64, -0.0, ["with default 0.0", "with default -0.0"]);
    let other_nan = f32::from_bits(f32::NAN.to_bits() | 1);
    differ(f32::NAN, other_nan, ["with default NaN of the bits 0x7fc00000", "with default NaN of the bits 0x7fc00001"]);
    differ(Some("a".to_owned()), None, ["with default Some(\"a\")", "with default None"]);
}

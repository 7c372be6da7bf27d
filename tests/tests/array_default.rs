//! The default of an array is compared when the array is opened again, whatever order it has in memory.

use netshm::dynamic::{DynArray, Value};
use netshm::{Array, Locking};
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

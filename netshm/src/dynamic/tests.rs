//! Decoding and encoding by schemas, against the typed managers and against arbitrary words.

use super::Value;
use super::decode::TOO_MANY_STEPS;
use super::plan::Plan;
use crate::data::{DataManager, Decoder};
use crate::data::{Encoder, Schema, to_words};
use crate::testing::Random;

#[track_caller]
fn assert_accepted<T: DataManager>(value: &T) {
    let mut counting = Encoder::counting();
    value.encode(&mut counting).unwrap();
    let mut words = vec![0; counting.written()];
    value.encode(&mut Encoder::private(&mut words)).unwrap();
    let schema = Schema::of::<T>();
    let plan = Plan::new(&schema).unwrap();
    assert!(plan.accepts(&words), "{schema}");
    words.push(0);
    assert!(!plan.accepts(&words), "{schema}");
    words.pop();
    if !words.is_empty() {
        words.pop();
        assert!(!plan.accepts(&words), "{schema}");
    }
}

#[test]
fn values_are_accepted_and_nothing_else() {
    use std::collections::{BTreeMap, HashSet};
    use std::net::IpAddr;

    assert_accepted(&(1u8, -1i16, 'x', true, 1.5f32, u128::MAX));
    assert_accepted(&"text".to_owned());
    assert_accepted(&vec![Some("a".to_owned()), None]);
    assert_accepted(&[1u8, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_accepted(&BTreeMap::from([(1u8, vec![true]), (2, vec![])]));
    assert_accepted(&HashSet::from([(1u8, 2u16)]));
    assert_accepted(&(None::<(u64, u64)>, Some(5u8)));
    assert_accepted::<Result<u64, (u8, u8)>>(&Ok(3));
    assert_accepted::<IpAddr>(&[127, 0, 0, 1].into());
    assert!(!Plan::new(&Schema::of::<u8>()).unwrap().accepts(&[256]));
    assert!(!Plan::new(&Schema::of::<bool>()).unwrap().accepts(&[2]));
    assert!(!Plan::new(&Schema::of::<String>()).unwrap().accepts(&[1, 255]));
    assert!(!Plan::new(&Schema::of::<Vec<()>>()).unwrap().accepts(&[u64::MAX]));
    assert!(!Plan::new(&Schema::of::<BTreeMap<(), ()>>()).unwrap().accepts(&[u64::MAX, 0]));
}

#[test]
fn hash_maps_and_sets_are_written_in_the_order_that_typed_ones_are_compared_in() {
    use std::collections::{HashMap, HashSet};

    type Nested = HashMap<String, HashSet<u16>>;
    let plan = Plan::new(&Schema::of::<Nested>()).unwrap();
    let set = |number: u16| HashSet::from([number, number + 3, 1000 - number]);
    let map: Nested = (0..50).map(|number| (format!("{}", number * 37 % 64), set(number))).collect();
    let mut value = plan.decode(&to_words(&map).unwrap()).unwrap();
    let Value::Map(entries) = &mut value else { panic!("{value:?}") };
    entries.reverse();
    for (_, set) in entries {
        let Value::Seq(items) = set else { panic!("{set:?}") };
        items.reverse();
    }
    assert_eq!(plan.encode(&value).unwrap(), to_words(&map).unwrap());
}

#[test]
fn references_back_are_followed() {
    let schema: Schema = "Tree { value: u64, children: Vec<^Tree> }".parse().unwrap();
    let schema = Plan::new(&schema).unwrap();
    assert!(schema.accepts(&[1, 2, 5, 0, 6, 1, 7, 0]));
    assert!(!schema.accepts(&[1, 2, 5, 0, 6, 2, 7, 0]));
    let mut deep: Vec<u64> = [1, 1].repeat(1000);
    deep.extend([1, 0]);
    assert!(!schema.accepts(&deep));
}

#[test]
fn hostile_schemas_end_in_errors() {
    let plan = |text: &str| Plan::new(&text.parse().unwrap()).unwrap();
    // Nothing but itself, over many steps.
    assert_eq!(plan("A(((((((((^A,),),),),),),),))").decode(&[]), Err(TOO_MANY_STEPS));
    assert!(plan("A { a: ^A, b: ^A }").decode(&[]).is_err());
    let deep = format!("{}u8{}", "(".repeat(250), ",)".repeat(250));
    assert!(plan(&deep).decode(&[1]).is_ok());
    // Much without words.
    let _ = plan("[[[(); 60000]; 60000]; 60000]").decode(&[]).unwrap_err();
    assert!(plan("[(); 18446744073709551615]").decode(&[]).is_err());
    assert!(plan("Option<[u64; 2305843009213693951]>").decode(&[0]).is_err());
    assert!(plan("Option<[u64; 2305843009213693951]>").encode(&Value::None).is_err());
    assert!(Plan::new(&"A { x: Vec<^B> }".parse().unwrap()).is_err());
}

#[test]
fn values_that_are_nested_too_deep_are_not_written() {
    let plan = Plan::new(&"A { x: Vec<^A> }".parse().unwrap()).unwrap();
    let nest = |depth: usize| {
        let leaf = Value::structure("A", [("x", Value::Seq(Vec::new()))]);
        (0..depth).fold(leaf, |inner, _| Value::structure("A", [("x", Value::Seq(vec![inner]))]))
    };
    let words = plan.encode(&nest(127)).unwrap();
    assert_eq!(plan.decode(&words).unwrap(), nest(127));
    assert!(plan.encode(&nest(128)).is_err());
}

/// Words as they may stand anywhere: mostly small numbers, so that lengths and indices make sense now and then.
fn arbitrary(random: &mut Random) -> Vec<u64> {
    let len = random.number() % 9;
    let word = |number: u64| match number % 8 {
        0..5 => number >> 32 & 3,
        5 => number >> 56,
        6 => 0x2d2d_2d2d_2d2d_2d2d,
        _ => number,
    };
    (0..len).map(|_| word(random.number())).collect()
}

/// Checks that arbitrary words are a value to both or to neither, and that what was read is written so that it is read again.
#[track_caller]
fn agree<T: DataManager>() {
    let schema = Schema::of::<T>();
    let plan = Plan::new(&schema).unwrap();
    let (mut random, mut values) = (Random::new(1), 0);
    for _ in 0..3000 {
        let words = arbitrary(&mut random);
        let mut typed = Decoder::from_words(&words);
        let typed = T::decode(&mut typed).and_then(|_| typed.finish());
        let read = plan.decode(&words);
        assert_eq!(typed.is_ok(), read.is_ok(), "{schema} {words:?}: {typed:?}, {read:?}");
        if let Ok(value) = read {
            values += 1;
            let written = plan.encode(&value).unwrap();
            assert_eq!(written.len(), words.len(), "{schema} {words:?}");
            // (A float that is not equal to itself has the same words still.)
            assert_eq!(plan.encode(&plan.decode(&written).unwrap()).unwrap(), written, "{schema} {words:?}");
        }
    }
    assert!(values > 0, "no words are a {schema}");
}

#[test]
fn arbitrary_words_mean_the_same_to_typed_managers() {
    use std::collections::{HashMap, HashSet};

    agree::<(u8, i16)>();
    agree::<(bool, char)>();
    agree::<(f32, f64)>();
    agree::<u128>();
    agree::<String>();
    agree::<Vec<u8>>();
    agree::<Vec<bool>>();
    agree::<Vec<char>>();
    agree::<Vec<i32>>();
    agree::<[i16; 5]>();
    agree::<[u128; 2]>();
    agree::<Option<(u8, u8)>>();
    agree::<Option<Box<(u8, u8)>>>();
    agree::<Option<String>>();
    agree::<Result<u8, (u64, u64)>>();
    agree::<Result<String, u8>>();
    agree::<Vec<Option<u8>>>();
    agree::<Vec<Vec<u8>>>();
    agree::<Vec<(u8, Option<Box<u8>>)>>();
    agree::<Vec<Box<u8>>>();
    agree::<[Option<bool>; 2]>();
    agree::<HashMap<u64, Vec<u8>>>();
    agree::<HashSet<(bool, bool)>>();
}

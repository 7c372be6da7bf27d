//! Random types and values: what is written without the type, whoever knows the type can read, as a key or as a value.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::plan::Plan;
use super::value::{Enum, FieldValues, Value};
use crate::data::{Container, DataManager, Decoder, Field, Fields, Scalar, Schema, Variant, from_words};
use crate::testing::Random;

impl Random {
    fn schema(&mut self, depth: u64) -> Schema {
        const SCALARS: [Scalar; 8] =
            [Scalar::U8, Scalar::I16, Scalar::U32, Scalar::I64, Scalar::U128, Scalar::Bool, Scalar::Char, Scalar::F64];
        let container = |container, of| Schema::Container(container, of);
        match self.below(if depth == 0 { 2 } else { 14 }) {
            0 => Schema::Scalar(SCALARS[self.below(8) as usize]),
            1 => Schema::Text,
            2 => container(Container::Option, vec![self.schema(depth - 1)]),
            3 => container(Container::Result, vec![self.schema(depth - 1), self.schema(depth - 1)]),
            4 => container(Container::Vec, vec![self.schema(depth - 1)]),
            5 => container(Container::BTreeSet, vec![self.schema(depth - 1)]),
            6 => container(Container::HashSet, vec![self.schema(depth - 1)]),
            7 => container(Container::BTreeMap, vec![self.schema(depth - 1), self.schema(depth - 1)]),
            8 => container(Container::HashMap, vec![self.schema(depth - 1), self.schema(depth - 1)]),
            9 => Schema::Array(Box::new(self.schema(depth - 1)), self.below(4)),
            10 => Schema::Tuple((0..self.below(3)).map(|_| self.schema(depth - 1)).collect()),
            11 => Schema::Struct("S".to_owned(), self.fields(depth - 1)),
            12 => container(
                Container::Extensible,
                vec![match self.fields(depth - 1) {
                    Fields::Tuple(items) => Schema::Enum(
                        "X".to_owned(),
                        vec![Variant { index: 7, name: "Only".to_owned(), fields: Fields::Tuple(items) }],
                    ),
                    fields => Schema::Struct("X".to_owned(), fields),
                }],
            ),
            _ => Schema::Enum(
                "E".to_owned(),
                (0..1 + self.below(3))
                    .map(|index| Variant {
                        index: index * 2,
                        name: format!("V{index}"),
                        fields: self.fields(depth - 1),
                    })
                    .collect(),
            ),
        }
    }

    fn fields(&mut self, depth: u64) -> Fields {
        match self.below(3) {
            0 => Fields::Unit,
            1 => Fields::Tuple((0..1 + self.below(2)).map(|_| self.schema(depth)).collect()),
            _ => Fields::Named(
                (0..1 + self.below(2))
                    .map(|i| Field {
                        name: format!("f{i}"),
                        schema: self.schema(depth),
                        has_default: false,
                        is_added: false,
                    })
                    .collect(),
            ),
        }
    }

    /// Returns a value of the type, with the entries of maps and sets in any order, and seldom one twice.
    fn value(&mut self, schema: &Schema) -> Value {
        let several = |random: &mut Random, schema: &Schema| -> Vec<Value> {
            (0..random.below(4)).map(|_| random.value(schema)).collect()
        };
        match schema {
            Schema::Scalar(Scalar::Bool) => Value::Bool(self.below(2) == 0),
            Schema::Scalar(Scalar::Char) => {
                Value::Char(['a', '"', '\\', '\0', 'ß', '\u{10ffff}', '1', ' '][self.below(8) as usize])
            }
            Schema::Scalar(Scalar::F64) => match self.below(24) {
                0 => Value::F64(f64::NAN),
                1 => Value::F64(f64::NEG_INFINITY),
                2 => Value::F64(-0.0),
                number => Value::F64(number as f64 / 10.0 - 1.0),
            },
            Schema::Scalar(Scalar::U128) if self.below(3) == 0 => Value::UInt(u128::MAX >> self.below(128)),
            Schema::Scalar(Scalar::I16 | Scalar::I64) => Value::Int(i128::from(self.below(2000)) - 1000),
            Schema::Scalar(_) => Value::UInt(u128::from(self.below(256))),
            Schema::Text => Value::Text("z".repeat(self.below(10) as usize)),
            Schema::Container(container, of) => match (container, of.as_slice()) {
                (Container::Option, [content]) => match self.below(3) {
                    0 => Value::None,
                    _ => Value::Some(Box::new(self.value(content))),
                },
                (Container::Result, [ok, err]) => match self.below(2) {
                    0 => Value::Ok(Box::new(self.value(ok))),
                    _ => Value::Err(Box::new(self.value(err))),
                },
                (Container::Extensible, [content]) => self.value(content),
                (_, [element]) => Value::Seq(several(self, element)),
                (_, [key, value]) => {
                    Value::Map(several(self, key).into_iter().map(|key| (key, self.value(value))).collect())
                }
                _ => unreachable!("containers have one type or two"),
            },
            Schema::Array(element, len) => Value::Seq((0..*len).map(|_| self.value(element)).collect()),
            Schema::Tuple(items) if items.is_empty() => Value::Unit,
            Schema::Tuple(items) => Value::Tuple(items.iter().map(|item| self.value(item)).collect()),
            Schema::Struct(name, fields) => {
                let fields = self.field_values(fields);
                Value::Struct(Box::new(super::Struct { name: name.as_str().into(), fields }))
            }
            Schema::Enum(name, variants) => {
                let variant = &variants[self.below(variants.len() as u64) as usize];
                let fields = self.field_values(&variant.fields);
                let (name, variant) = (name.as_str().into(), variant.name.as_str().into());
                Value::Enum(Box::new(Enum { name, variant, fields }))
            }
            Schema::Back(..) => unreachable!("none is made"),
        }
    }

    fn field_values(&mut self, fields: &Fields) -> FieldValues {
        match fields {
            Fields::Unit => FieldValues::Unit,
            Fields::Tuple(items) => FieldValues::Tuple(items.iter().map(|item| self.value(item)).collect()),
            Fields::Named(fields) => FieldValues::Named(
                fields.iter().map(|field| (field.name.as_str().into(), self.value(&field.schema))).collect(),
            ),
        }
    }

    /// Puts the entries of maps and sets into another order, which is the same value.
    fn shuffle(&mut self, value: &mut Value, schema: &Schema) {
        match (value, schema) {
            (Value::Seq(items), Schema::Container(container, of)) => {
                items.iter_mut().for_each(|item| self.shuffle(item, &of[0]));
                if *container != Container::Vec && items.len() > 1 {
                    let by = self.below(items.len() as u64) as usize;
                    items.rotate_left(by);
                }
            }
            (Value::Map(entries), Schema::Container(_, of)) => {
                for (key, value) in entries.iter_mut() {
                    self.shuffle(key, &of[0]);
                    self.shuffle(value, &of[1]);
                }
                entries.reverse();
            }
            (Value::Some(content) | Value::Ok(content), Schema::Container(_, of)) => self.shuffle(content, &of[0]),
            (Value::Tuple(items), Schema::Tuple(of)) => {
                items.iter_mut().zip(of).for_each(|(item, of)| self.shuffle(item, of));
            }
            _ => {}
        }
    }
}

#[test]
fn what_is_written_of_random_types_is_read() {
    let (mut values, mut keys, mut refused) = (0, 0, 0);
    for seed in 1..=3000 {
        let mut random = Random::new(seed);
        let schema = random.schema(3);
        // What is stored is the text.
        let plan = Plan::new(&schema.to_string().parse().unwrap()).unwrap();
        for _ in 0..4 {
            let value = random.value(&schema);
            let Ok(words) = plan.encode(&value) else {
                refused += 1;
                continue;
            };
            values += 1;
            let read = plan.decode(&words).unwrap_or_else(|error| panic!("{schema}: {value:?}: {error:?}"));
            assert_eq!(plan.encode(&read).unwrap(), words, "{schema}: {value:?}");
            assert_eq!(plan.encode_row(&value).unwrap(), words, "{schema}: {value:?}");
            let mut other = value.clone();
            random.shuffle(&mut other, &schema);
            if let Ok(key) = plan.encode_key(&value) {
                keys += 1;
                assert_eq!(plan.encode_key(&other).unwrap(), key, "{schema}: {value:?}, {other:?}");
            }
        }
    }
    assert!(values > 6000 && keys > 4000 && refused > 100, "{values} values, {keys} keys, {refused} refused");
}

/// What a row of a table is as JSON is the same row when it is read.
#[test]
#[cfg(feature = "json")]
fn json_of_random_rows_is_read_back() {
    let mut rows = 0;
    for seed in 1..=3000 {
        let mut random = Random::new(seed);
        // As the newer of two programs has left it: some fields at the end may be missing.
        let fields = random.below(4);
        let needed = random.below(fields + 1);
        let fields = (0..fields).map(|i| Field {
            name: format!("f{i}"),
            schema: random.schema(3),
            has_default: false,
            is_added: i >= needed,
        });
        let schema = Schema::Struct("Row".to_owned(), Fields::Named(fields.collect()));
        let schema = if random.below(2) == 0 { schema } else { Schema::Container(Container::Extensible, vec![schema]) };
        let plan = Plan::new(&schema).unwrap();
        for _ in 0..4 {
            let mut value = random.value(&schema);
            let Value::Struct(row) = &mut value else { panic!("{value:?}") };
            if let FieldValues::Named(values) = &mut row.fields {
                let present = needed + random.below(values.len() as u64 - needed + 1);
                values[present as usize..].iter_mut().for_each(|(_, value)| *value = Value::Missing);
            }
            let Ok(words) = plan.encode_row(&value) else { continue };
            let read = plan.decode_row(&words).unwrap();
            let json = read.to_json().to_string();
            let parsed = serde_json::from_str(&json).unwrap();
            let back =
                Value::from_json_row(&parsed, &schema).unwrap_or_else(|error| panic!("{schema}: {json}: {error}"));
            let again = plan.encode_row(&back);
            // The order of keys that have one of their own, floats and enums, is not that of the members of an object.
            if schema.to_string().contains("BTreeMap") {
                assert_eq!(again.map(|words| words.len()), Ok(words.len()), "{schema}: {json}");
            } else {
                assert_eq!(again.as_ref(), Ok(&words), "{schema}: {json}");
            }
            rows += 1;
        }
    }
    assert!(rows > 5000, "{rows}");
}

/// A key with an order of its own.
#[derive(netshm_derive::ShmData, Debug, PartialEq, Eq, Hash, Clone)]
#[shm(crate = crate)]
struct Backwards {
    number: i16,
}

impl PartialOrd for Backwards {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Backwards {
    fn cmp(&self, other: &Self) -> Ordering {
        other.number.cmp(&self.number)
    }
}

#[test]
fn typed_programs_read_what_was_written_without_their_type() {
    #[track_caller]
    fn check<T: DataManager>() {
        let schema = Schema::of::<T>();
        let plan = Plan::new(&schema).unwrap();
        let mut random = Random::new(1);
        let mut written = 0;
        for _ in 0..500 {
            let value = random.value(&schema);
            for words in [plan.encode(&value), plan.encode_row(&value), plan.encode_key(&value)].into_iter().flatten() {
                written += 1;
                let read = from_words::<T>(&words).map(drop);
                assert!(read.is_ok(), "{schema}: {value:?}: {read:?}");
                let mut input = Decoder::from_words(&words);
                assert!(input.take::<T>().is_ok() && input.remaining() == 0);
            }
        }
        assert!(written > 300, "{schema}: {written}");
    }
    check::<(u8, i16, char, bool, String)>();
    check::<BTreeSet<i16>>();
    check::<BTreeSet<(u8, Option<String>)>>();
    check::<BTreeSet<Result<i16, String>>>();
    check::<BTreeSet<Vec<u8>>>();
    check::<BTreeSet<[i16; 2]>>();
    check::<BTreeSet<BTreeSet<u8>>>();
    check::<BTreeMap<BTreeMap<u8, i16>, Vec<bool>>>();
    check::<BTreeMap<Backwards, u8>>();
    check::<BTreeSet<Vec<Backwards>>>();
    check::<HashMap<String, HashSet<i16>>>();
    check::<HashSet<(bool, u32)>>();
    check::<Vec<Option<Box<[u8; 3]>>>>();
    check::<Option<Result<u128, (u8, u8)>>>();
}

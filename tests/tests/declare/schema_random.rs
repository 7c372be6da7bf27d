//! Random types and random later versions of them: what is accepted reads every older row as it was written.
//!
//! ```text
//! NETSHM_TYPES=100000 NETSHM_SEED=7 cargo test --release -p netshm-tests --test declare schema_random -- --nocapture
//! ```

use std::sync::Arc;

use netshm::data::{Container, Field, Fields, ObjectSchema, Scalar, Schema, Variant};
use netshm::dynamic::{DynTable, Enum, FieldValues, Struct, Value};
use netshm::{Error, Locking};
use netshm_tests::{Random, Scratch};

/// Few names, so that types of one name stand in each other.
const NAMES: [&str; 3] = ["Row", "A", "B"];
const OUTERMOST: &str = "Row";

/// Makes types.
struct Types<'a> {
    random: &'a mut Random,
    /// The structs and enums around, outermost first, how many options and sequences are around each, and whether it is extensible.
    around: Vec<(&'static str, usize, bool)>,
    /// Options and sequences around, without which a type in itself would have no end.
    guards: usize,
}

impl Types<'_> {
    fn any(&mut self, depth: u32) -> Schema {
        match self.random.below(if depth == 0 { 5 } else { 18 }) {
            0 => Schema::Scalar(Scalar::U32),
            1 => Schema::Scalar(Scalar::U64),
            2 => Schema::Scalar(Scalar::I16),
            3 => Schema::Text,
            4 | 12 | 13 => self.back().unwrap_or(Schema::Scalar(Scalar::Bool)),
            5 => Schema::Container(Container::Option, vec![self.guarded(depth)]),
            6 | 7 => Schema::Container(Container::Vec, vec![self.guarded(depth)]),
            8 => Schema::Container(Container::Result, vec![self.any(depth - 1), self.any(depth - 1)]),
            9 => Schema::Tuple(vec![self.any(depth - 1), self.any(depth - 1)]),
            10 => Schema::Array(Box::new(self.any(depth - 1)), 1 + self.random.below(3)),
            14 => Schema::Container(Container::BTreeMap, vec![Schema::Scalar(Scalar::U32), self.guarded(depth)]),
            15 => Schema::Container(Container::HashMap, vec![Schema::Text, self.guarded(depth)]),
            16 | 17 => Schema::Container(Container::Extensible, vec![self.named(depth - 1, true)]),
            _ => self.named(depth - 1, false),
        }
    }

    fn guarded(&mut self, depth: u32) -> Schema {
        self.guards += 1;
        let schema = self.any(depth - 1);
        self.guards -= 1;
        schema
    }

    /// Returns a reference to one of the types around.
    fn back(&mut self) -> Option<Schema> {
        let possible = self.around.iter().enumerate().filter(|(_, (_, guards, _))| *guards < self.guards);
        let possible: Vec<_> = possible.collect();
        let (index, (name, _, marked)) = possible.get(self.random.below(possible.len().max(1) as u64) as usize)?;
        let skipped = self.around[index + 1..].iter().filter(|(other, ..)| other == name).count();
        let back = Schema::Back((*name).to_owned(), skipped as u32);
        // As derived managers describe it: a type has its mark wherever it is used.
        Some(if *marked { Schema::Container(Container::Extensible, vec![back]) } else { back })
    }

    /// Returns a type for the values of a table.
    fn outermost(&mut self) -> Schema {
        let marked = self.random.once_in(4);
        let schema = self.named(3, marked);
        if marked { Schema::Container(Container::Extensible, vec![schema]) } else { schema }
    }

    fn named(&mut self, depth: u32, marked: bool) -> Schema {
        let name = if self.around.is_empty() { OUTERMOST } else { NAMES[self.random.below(3) as usize] };
        self.around.push((name, self.guards, marked));
        let schema = if self.random.once_in(3) {
            let variants = (0..1 + self.random.below(3)).map(|index| self.variant(index, depth)).collect();
            Schema::Enum(name.to_owned(), variants)
        } else if !marked && self.random.once_in(5) {
            let items = (0..1 + self.random.below(2)).map(|_| self.any(depth)).collect();
            Schema::Struct(name.to_owned(), Fields::Tuple(items))
        } else {
            let fields = (0..1 + self.random.below(3)).map(|index| self.field(index, depth)).collect();
            Schema::Struct(name.to_owned(), Fields::Named(fields))
        };
        self.around.pop();
        schema
    }

    fn field(&mut self, index: u64, depth: u32) -> Field {
        Field { name: format!("f{index}"), schema: self.any(depth), has_default: false, is_added: false }
    }

    fn variant(&mut self, index: u64, depth: u32) -> Variant {
        let fields = match self.random.below(3) {
            0 => Fields::Unit,
            1 => Fields::Tuple(vec![self.any(depth)]),
            _ => Fields::Named(vec![self.field(0, depth)]),
        };
        Variant { index, name: format!("V{index}"), fields }
    }
}

/// Returns the next version of a type, which may or may not be able to read it.
fn changed(schema: &Schema, random: &mut Random) -> Schema {
    if random.once_in(30) {
        return Types { random, around: Vec::new(), guards: 0 }.outermost();
    }
    let mut new = schema.clone();
    let marked = matches!(new, Schema::Container(..));
    let nested = random.once_in(2);
    let mut count = 0;
    visit(&mut new, &mut |_| count += 1);
    let target = if nested { random.below(count) } else { 0 };
    let mut at = 0;
    visit(&mut new, &mut |schema| {
        if at == target {
            change(schema, random, marked);
        }
        at += 1;
    });
    new
}

fn change(schema: &mut Schema, random: &mut Random, marked: bool) {
    let mut types = Types { random, around: vec![(OUTERMOST, 0, marked)], guards: 0 };
    match schema {
        Schema::Struct(_, Fields::Named(fields)) => match types.random.below(8) {
            0 => drop(fields.pop()),
            1 => fields.reverse(),
            2 => fields.iter_mut().for_each(|field| field.has_default = false),
            3 => fields.iter_mut().for_each(|field| field.has_default = true),
            random => {
                let mut field = types.field(fields.len() as u64, 1);
                field.has_default = random > 4;
                fields.push(field);
            }
        },
        Schema::Struct(_, Fields::Tuple(items)) => items.push(types.any(1)),
        Schema::Enum(_, variants) => match types.random.below(4) {
            0 if variants.len() > 1 => drop(variants.pop()),
            _ => {
                let variant = types.variant(variants.len() as u64, 1);
                variants.push(variant);
            }
        },
        _ => {}
    }
}

/// Visits structs and enums, the outermost first.
fn visit(schema: &mut Schema, f: &mut dyn FnMut(&mut Schema)) {
    let fields = |fields: &mut Fields, f: &mut dyn FnMut(&mut Schema)| match fields {
        Fields::Unit => {}
        Fields::Tuple(items) => items.iter_mut().for_each(|item| visit(item, f)),
        Fields::Named(fields) => fields.iter_mut().for_each(|field| visit(&mut field.schema, f)),
    };
    if let Schema::Struct(..) | Schema::Enum(..) = schema {
        f(schema);
    }
    match schema {
        Schema::Container(_, of) | Schema::Tuple(of) => of.iter_mut().for_each(|schema| visit(schema, f)),
        Schema::Array(element, _) => visit(element, f),
        Schema::Struct(_, inside) => fields(inside, f),
        Schema::Enum(_, variants) => variants.iter_mut().for_each(|variant| fields(&mut variant.fields, f)),
        _ => {}
    }
}

/// Makes values.
struct Values<'a> {
    random: &'a mut Random,
    /// Number of types that may still follow, so that recursion ends.
    left: u64,
}

impl Values<'_> {
    fn any<'s>(&mut self, schema: &'s Schema, around: &mut Vec<(&'s str, &'s Schema)>) -> Value {
        self.left = self.left.saturating_sub(1);
        match schema {
            Schema::Scalar(Scalar::U32) => Value::from(self.random.number() as u32),
            Schema::Scalar(Scalar::U64) => Value::from(self.random.below(5)),
            Schema::Scalar(Scalar::I16) => Value::from(self.random.number() as i16),
            Schema::Scalar(Scalar::Bool) => Value::from(self.random.once_in(2)),
            Schema::Text => Value::from("x".repeat(self.random.below(12) as usize)),
            Schema::Container(Container::Option, of) => match self.left > 0 && !self.random.once_in(3) {
                true => Value::Some(Box::new(self.any(&of[0], around))),
                false => Value::None,
            },
            Schema::Container(Container::Vec, of) => {
                let len = if self.left > 0 { self.random.below(3) } else { 0 };
                Value::Seq((0..len).map(|_| self.any(&of[0], around)).collect())
            }
            Schema::Container(Container::Extensible, of) => self.any(&of[0], around),
            Schema::Container(Container::BTreeMap, of) => {
                let len = if self.left > 0 { self.random.below(3) } else { 0 };
                Value::Map((0..len).map(|key| (Value::from(key), self.any(&of[1], around))).collect())
            }
            Schema::Container(Container::HashMap, of) => {
                let len = if self.left > 0 { self.random.below(3) } else { 0 };
                Value::Map((0..len).map(|key| (Value::from(key.to_string()), self.any(&of[1], around))).collect())
            }
            Schema::Container(Container::Result, of) => match self.random.once_in(2) {
                true => Value::Ok(Box::new(self.any(&of[0], around))),
                false => Value::Err(Box::new(self.any(&of[1], around))),
            },
            Schema::Tuple(items) => Value::Tuple(items.iter().map(|item| self.any(item, around)).collect()),
            Schema::Array(element, len) => Value::Seq((0..*len).map(|_| self.any(element, around)).collect()),
            Schema::Struct(name, fields) => {
                around.push((name, schema));
                let fields = self.fields(fields, around);
                around.pop();
                Value::Struct(Box::new(Struct { name: name.as_str().into(), fields }))
            }
            Schema::Enum(name, variants) => {
                // The first one is made last, when there is to be an end: it may be the one that has one.
                let variant = &variants[self.random.below(variants.len() as u64) as usize];
                around.push((name, schema));
                let fields = self.fields(&variant.fields, around);
                around.pop();
                let (name, variant) = (name.as_str().into(), variant.name.as_str().into());
                Value::Enum(Box::new(Enum { name, variant, fields }))
            }
            Schema::Back(name, skipped) => {
                let mut found = (0..around.len()).rev().filter(|index| around[*index].0 == name);
                let index = found.nth(*skipped as usize).expect("it refers to a type around");
                let (_, target) = around[index];
                let mut outside = around[..index].to_vec();
                self.any(target, &mut outside)
            }
            other => panic!("no type of this test: {other}"),
        }
    }

    fn fields<'s>(&mut self, fields: &'s Fields, around: &mut Vec<(&'s str, &'s Schema)>) -> FieldValues {
        match fields {
            Fields::Unit => FieldValues::Unit,
            Fields::Tuple(items) => FieldValues::Tuple(items.iter().map(|item| self.any(item, around)).collect()),
            Fields::Named(fields) => {
                FieldValues::named(fields.iter().map(|field| (field.name.clone(), self.any(&field.schema, around))))
            }
        }
    }
}

fn table(value: &Schema) -> ObjectSchema {
    ObjectSchema::HashTable { key: Schema::Scalar(Scalar::U64), value: value.clone() }
}

/// Makes a value what a later version of its type reads, in which it may lack fields. `lacks` is told of all that it lacks.
fn read_as<'s>(
    value: &mut Value,
    schema: &'s Schema,
    around: &mut Vec<(&'s str, &'s Schema)>,
    may_grow: bool,
    lacks: &mut dyn FnMut(&Field),
) {
    match (value, schema) {
        (value, Schema::Container(Container::Extensible, of)) => read_as(value, &of[0], around, true, lacks),
        (Value::Some(value) | Value::Ok(value), Schema::Container(_, of)) => {
            read_as(value, &of[0], around, false, lacks);
        }
        (Value::Err(value), Schema::Container(_, of)) => read_as(value, &of[1], around, false, lacks),
        (Value::Seq(values), Schema::Container(_, of)) => {
            values.iter_mut().for_each(|value| read_as(value, &of[0], around, false, lacks));
        }
        (Value::Map(entries), Schema::Container(_, of)) => {
            entries.iter_mut().for_each(|(_, value)| read_as(value, &of[1], around, false, lacks));
        }
        (Value::Seq(values), Schema::Array(element, _)) => {
            values.iter_mut().for_each(|value| read_as(value, element, around, false, lacks));
        }
        (Value::Tuple(values), Schema::Tuple(items)) => {
            values.iter_mut().zip(items).for_each(|(value, item)| read_as(value, item, around, false, lacks));
        }
        (Value::Struct(value), Schema::Struct(name, fields)) => {
            around.push((name, schema));
            read_fields_as(&mut value.fields, fields, around, may_grow, lacks);
            around.pop();
        }
        (Value::Enum(value), Schema::Enum(name, variants)) => {
            if let Some(variant) = variants.iter().find(|variant| variant.name == *value.variant) {
                around.push((name, schema));
                read_fields_as(&mut value.fields, &variant.fields, around, false, lacks);
                around.pop();
            }
        }
        (value, Schema::Back(name, skipped)) => {
            let mut found = (0..around.len()).rev().filter(|index| around[*index].0 == name);
            let index = found.nth(*skipped as usize).expect("it refers to a type around");
            let mut outside = around[..index].to_vec();
            read_as(value, around[index].1, &mut outside, may_grow, lacks);
        }
        _ => {}
    }
}

fn read_fields_as<'s>(
    values: &mut FieldValues,
    fields: &'s Fields,
    around: &mut Vec<(&'s str, &'s Schema)>,
    may_grow: bool,
    lacks: &mut dyn FnMut(&Field),
) {
    match (values, fields) {
        (FieldValues::Tuple(values), Fields::Tuple(items)) => {
            values.iter_mut().zip(items).for_each(|(value, item)| read_as(value, item, around, false, lacks));
        }
        (FieldValues::Named(values), Fields::Named(fields)) => {
            for field in fields.get(values.len()..).unwrap_or(&[]).iter().filter(|_| may_grow) {
                values.push((Arc::from(field.name.as_str()), Value::Missing));
            }
            for ((_, value), field) in values.iter_mut().zip(fields) {
                match value {
                    Value::Missing => lacks(field),
                    value => read_as(value, &field.schema, around, false, lacks),
                }
            }
        }
        _ => {}
    }
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number in the variable"))
}

#[test]
fn versions_that_are_accepted_read_what_was_written() {
    let (mut accepted, mut refused, mut read) = (0, 0, 0);
    let (types, first) = (variable("NETSHM_TYPES", 400), variable("NETSHM_SEED", 0));
    for seed in (0..types).map(|number| first.wrapping_mul(1 << 32).wrapping_add(number)) {
        let mut random = Random::new(seed);
        let mut schema = Types { random: &mut random, around: Vec::new(), guards: 0 }.outermost();
        let object = Scratch::posix("schema-random");
        let mut rows: Vec<Value> = Vec::new();
        for _ in 0..5 {
            let options = DynTable::options().locking(Locking::Futex).stripes(1).slots(2).init(1);
            match options.manage(object.open(), table(&schema)) {
                Ok(tab) => {
                    accepted += u64::from(!rows.is_empty());
                    for (key, row) in rows.iter().enumerate() {
                        let found = tab.find(&Value::from(key as u64));
                        let found = found.unwrap_or_else(|error| panic!("seed {seed}: {schema}: {row:?}: {error}"));
                        // Where an earlier version knew more, the stored type says so.
                        let ObjectSchema::HashTable { value: shown, .. } = tab.schema() else { panic!() };
                        let mut expected = row.clone();
                        read_as(&mut expected, shown, &mut Vec::new(), true, &mut |_| ());
                        assert_eq!(found, Some(expected.clone()), "seed {seed}: {schema}");
                        // A field that a row lacks has a default in this version.
                        read_as(&mut expected, &schema, &mut Vec::new(), true, &mut |field| {
                            assert!(field.has_default, "seed {seed}: {schema}: `{}` of {row:?}", field.name);
                        });
                        read += 1;
                    }
                    let row = Values { random: &mut random, left: 12 }.any(&schema, &mut Vec::new());
                    match tab.add(&Value::from(rows.len() as u64), &row) {
                        Ok(()) => rows.push(row),
                        // Deeper than a value may be.
                        Err(Error::Unfit { .. }) => {}
                        Err(error) => panic!("seed {seed}: {schema}: {error}"),
                    }
                }
                Err(Error::SchemaMismatch { .. }) => refused += 1,
                Err(error) => panic!("seed {seed}: {schema}: {error}"),
            }
            schema = changed(&schema, &mut random);
        }
    }
    println!("{types} types: {accepted} later versions accepted, {refused} refused, {read} older rows read");
    assert!(accepted > types / 2 && refused > types / 2, "{accepted} accepted, {refused} refused");
}

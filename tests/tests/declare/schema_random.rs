//! Random types and random later versions of them: what is accepted reads every older row as it was written.

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
    /// The structs and enums around, outermost first, and how many options and sequences are around each.
    around: Vec<(&'static str, usize)>,
    /// Options and sequences around, without which a type in itself would have no end.
    guards: usize,
}

impl Types<'_> {
    fn any(&mut self, depth: u32) -> Schema {
        match self.random.below(if depth == 0 { 5 } else { 14 }) {
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
            _ => self.named(depth - 1),
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
        let possible = self.around.iter().enumerate().filter(|(_, (_, guards))| *guards < self.guards);
        let possible: Vec<_> = possible.collect();
        let (index, (name, _)) = possible.get(self.random.below(possible.len().max(1) as u64) as usize)?;
        let skipped = self.around[index + 1..].iter().filter(|(other, _)| other == name).count();
        Some(Schema::Back((*name).to_owned(), skipped as u32))
    }

    fn named(&mut self, depth: u32) -> Schema {
        let name = if self.around.is_empty() { OUTERMOST } else { NAMES[self.random.below(3) as usize] };
        self.around.push((name, self.guards));
        let schema = if self.random.once_in(3) {
            let variants = (0..1 + self.random.below(3)).map(|index| self.variant(index, depth)).collect();
            Schema::Enum(name.to_owned(), variants)
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
    let mut new = schema.clone();
    let nested = random.once_in(4);
    let mut count = 0;
    visit(&mut new, &mut |_| count += 1);
    let target = if nested { random.below(count) } else { 0 };
    let mut at = 0;
    visit(&mut new, &mut |schema| {
        if at == target {
            change(schema, random);
        }
        at += 1;
    });
    new
}

fn change(schema: &mut Schema, random: &mut Random) {
    let mut types = Types { random, around: vec![(OUTERMOST, 0)], guards: 0 };
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
        Schema::Enum(_, variants) => match types.random.below(4) {
            0 => drop(variants.pop()),
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

/// Returns a row as a later version of its type reads it.
fn as_read(row: &Value, schema: &Schema) -> Value {
    let mut row = row.clone();
    if let (Value::Struct(row), Schema::Struct(_, Fields::Named(fields))) = (&mut row, schema)
        && let FieldValues::Named(values) = &mut row.fields
    {
        for field in &fields[values.len()..] {
            values.push((Arc::from(field.name.as_str()), Value::Missing));
        }
    }
    row
}

#[test]
fn versions_that_are_accepted_read_what_was_written() {
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut schema = Types { random: &mut random, around: Vec::new(), guards: 0 }.named(3);
        let object = Scratch::posix("schema-random");
        let mut rows: Vec<Value> = Vec::new();
        for _ in 0..5 {
            let opened = DynTable::options().locking(Locking::Futex).manage(object.open(), table(&schema));
            match opened {
                Ok(tab) => {
                    accepted += u32::from(!rows.is_empty());
                    for (key, row) in rows.iter().enumerate() {
                        let read = tab.find(&Value::from(key as u64));
                        let read = read.unwrap_or_else(|error| panic!("seed {seed}: {schema}: {row:?}: {error}"));
                        // Where an earlier version knew more, the stored type says so.
                        let ObjectSchema::HashTable { value: shown, .. } = tab.schema() else { panic!() };
                        assert_eq!(read.as_ref(), Some(&as_read(row, shown)), "seed {seed}: {schema}");
                        // A field that a row lacks has a default in this version.
                        let (Some(Value::Struct(row)), Schema::Struct(_, Fields::Named(fields))) = (read, &schema)
                        else {
                            continue;
                        };
                        let FieldValues::Named(values) = &row.fields else { panic!("{row:?}") };
                        assert!(values.len() >= fields.len());
                        for (field, (_, value)) in fields.iter().zip(values) {
                            assert!(field.has_default || *value != Value::Missing, "seed {seed}: {schema}");
                        }
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
    assert!(accepted > 300 && refused > 300, "{accepted} accepted, {refused} refused");
}

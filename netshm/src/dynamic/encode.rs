//! From values to words, by a plan: the same words as the typed managers write.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::decode::MOST_STEPS;
use super::plan::{Id, Node, Parts, Plan};
use super::unfit::Unfit;
use super::value::{FieldValues, Value};
use crate::data::{DataManager, Encode, Encoder, MAX_DEPTH, Scalar, Schema, count_empty};
use crate::layout::MAX_VALUE;

/// The longest value, in words.
const MOST_WORDS: usize = (MAX_VALUE / 8) as usize;

impl Value {
    /// Whether this is a value of the type: it could be stored where that is asked for. (A hand-written manager may be
    /// stricter than the type that it describes itself as.)
    ///
    /// # Errors
    /// Which part of the value does not fit.
    pub fn check(&self, schema: &Schema) -> Result<(), Unfit> {
        Plan::new(schema).map_err(Unfit::from)?.encode(self).map(drop)
    }
}

impl Plan {
    /// Writes a key, or an element of an array.
    pub(crate) fn encode(&self, value: &Value) -> Result<Vec<u64>, Unfit> {
        let mut writer = Writer { plan: self, out: Vec::new(), steps: 0, depth: 0 };
        writer.value(self.root(), value)?;
        Ok(writer.out)
    }

    /// Writes the value of a binding: the last fields may be missing in a struct.
    pub(crate) fn encode_row(&self, value: &Value) -> Result<Vec<u64>, Unfit> {
        let (Node::Struct { name, fields: Parts::Named(fields) }, Value::Struct(row)) = (self.node(self.root()), value)
        else {
            return self.encode(value);
        };
        let FieldValues::Named(values) = &row.fields else { return self.encode(value) };
        let present = values.iter().rposition(|(_, value)| *value != Value::Missing).map_or(0, |last| last + 1);
        if present == values.len() {
            return self.encode(value);
        }
        same_name("struct", name, &row.name)?;
        same_number(fields.len(), values.len())?;
        let mut writer = Writer { plan: self, out: Vec::new(), steps: 0, depth: 0 };
        writer.named(&fields[..present], &values[..present])?;
        same_names(&fields[present..], &values[present..])?;
        Ok(writer.out)
    }
}

struct Writer<'a> {
    plan: &'a Plan,
    out: Vec<u64>,
    steps: u32,
    depth: u32,
}

impl Writer<'_> {
    fn value(&mut self, id: Id, value: &Value) -> Result<(), Unfit> {
        if self.steps == MOST_STEPS {
            return Err(Unfit::new("types nested too deep"));
        }
        self.steps += 1;
        let outcome = self.node(id, value);
        self.steps -= 1;
        outcome
    }

    fn node(&mut self, id: Id, value: &Value) -> Result<(), Unfit> {
        let plan = self.plan;
        match (plan.node(id), value) {
            (Node::Scalar(scalar), value) => self.number(*scalar, value),
            (Node::Text, Value::Text(text)) => self.put(text.as_str()),
            (Node::Box(content), value) => self.value(*content, value),
            (Node::Option { filling, .. }, Value::None) => {
                self.put(&0u64)?;
                self.zeros(*filling)
            }
            (Node::Option { content, .. }, Value::Some(value)) => {
                self.put(&1u64)?;
                self.value(*content, value)
            }
            (Node::Result { ok, ok_filling, .. }, Value::Ok(value)) => {
                self.put(&0u64)?;
                self.value(*ok, value)?;
                self.zeros(*ok_filling)
            }
            (Node::Result { err, err_filling, .. }, Value::Err(value)) => {
                self.put(&1u64)?;
                self.value(*err, value)?;
                self.zeros(*err_filling)
            }
            (Node::Vec(element), value) => {
                self.put(&(elements_of("a sequence", value)? as u64))?;
                self.elements(*element, value)
            }
            (Node::Array(element, len), value) => {
                let found = elements_of("an array", value)?;
                if found as u64 != *len {
                    return Err(Unfit::expected(format!("an array of {len}"), format!("{found} elements")));
                }
                self.elements(*element, value)
            }
            (Node::Set(element), Value::Seq(values)) => {
                self.entries(values, |writer, value| writer.keyed(*element, value))
            }
            (Node::Set(element), Value::Bytes(bytes)) => {
                self.entries(bytes, |writer, byte| writer.keyed(*element, &Value::from(*byte)))
            }
            (Node::Map { key: of, value: to }, Value::Map(entries)) => self.entries(entries, |writer, (key, value)| {
                let words = writer.keyed(*of, key)?;
                writer.value(*to, value)?;
                Ok(words)
            }),
            (Node::Tuple(items), Value::Unit) if items.is_empty() => Ok(()),
            (Node::Tuple(items), Value::Tuple(values)) => self.items(items, values),
            (Node::Struct { name, fields }, Value::Struct(value)) => {
                same_name("struct", name, &value.name)?;
                self.fields(fields, &value.fields)
            }
            (Node::Enum { name, variants }, Value::Enum(value)) => {
                same_name("enum", name, &value.name)?;
                let Some(variant) = variants.iter().find(|variant| variant.name == value.variant) else {
                    return Err(Unfit::expected(format!("a variant of {name}"), &*value.variant));
                };
                self.put(&variant.index)?;
                self.fields(&variant.fields, &value.fields)
            }
            (Node::Back { target, counts: false }, value) => self.value(*target, value),
            (Node::Back { target, counts: true }, value) => self.nested(|writer| writer.value(*target, value)),
            (node, value) => Err(Unfit::expected(node, value.kind())),
        }
    }

    /// Adds the words of a typed value.
    fn put<W: Encode + ?Sized>(&mut self, value: &W) -> Result<(), Unfit> {
        let fail = |error: crate::data::DataError| Unfit::new(error.what);
        let words = match W::FIXED {
            Some(words) => words,
            None => {
                let mut counting = Encoder::counting();
                value.encode(&mut counting).map_err(fail)?;
                counting.written()
            }
        };
        let start = self.out.len();
        self.zeros(words)?;
        value.encode(&mut Encoder::private(&mut self.out[start..])).map_err(fail)
    }

    fn zeros(&mut self, words: usize) -> Result<(), Unfit> {
        match self.out.len().checked_add(words) {
            Some(end) if end <= MOST_WORDS => {
                self.out.resize(end, 0);
                Ok(())
            }
            _ => Err(Unfit::new(format!("longer than {MAX_VALUE} bytes"))),
        }
    }

    fn nested<R>(&mut self, write: impl FnOnce(&mut Self) -> Result<R, Unfit>) -> Result<R, Unfit> {
        if self.depth == MAX_DEPTH {
            return Err(Unfit::new(format!("nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let outcome = write(self);
        self.depth -= 1;
        outcome
    }

    fn items(&mut self, items: &[Id], values: &[Value]) -> Result<(), Unfit> {
        same_number(items.len(), values.len())?;
        let mut numbered = items.iter().zip(values).enumerate();
        numbered
            .try_for_each(|(i, (item, value))| self.value(*item, value).map_err(|unfit| unfit.inside(format!(".{i}"))))
    }

    fn named(&mut self, fields: &[(Arc<str>, Id)], values: &[(Arc<str>, Value)]) -> Result<(), Unfit> {
        same_number(fields.len(), values.len())?;
        same_names(fields, values)?;
        let mut pairs = fields.iter().zip(values);
        pairs.try_for_each(|((name, id), (_, value))| {
            self.value(*id, value).map_err(|unfit| unfit.inside(format!(".{name}")))
        })
    }

    fn fields(&mut self, fields: &Parts, values: &FieldValues) -> Result<(), Unfit> {
        match (fields, values) {
            (Parts::Unit, FieldValues::Unit) => Ok(()),
            (Parts::Tuple(items), FieldValues::Tuple(values)) => self.items(items, values),
            (Parts::Named(fields), FieldValues::Named(values)) => self.named(fields, values),
            (Parts::Unit, _) => Err(Unfit::new("there are no fields")),
            (Parts::Tuple(_), _) => Err(Unfit::new("the fields have no names")),
            (Parts::Named(_), _) => Err(Unfit::new("the fields have names")),
        }
    }

    /// The elements of a sequence or an array, of which `elements_of` has told the number.
    fn elements(&mut self, element: Id, value: &Value) -> Result<(), Unfit> {
        let bytes;
        let values = match value {
            Value::Bytes(values) if self.plan.scalar(element) == Some(Scalar::U8) => {
                return self.packed(values);
            }
            Value::Bytes(values) => {
                bytes = values.iter().map(|byte| Value::from(*byte)).collect();
                &bytes
            }
            Value::Seq(values) => values,
            _ => return Err(Unfit::expected("a sequence", value.kind())),
        };
        if let Some(scalar) = self.plan.scalar(element) {
            return with_type!(scalar, packed_numbers(self, values));
        }
        let mut empty = 0;
        self.nested(|writer| {
            values.iter().enumerate().try_for_each(|(i, value)| {
                let before = writer.out.len();
                writer.value(element, value).map_err(|unfit| unfit.inside(format!("[{i}]")))?;
                count_empty(&mut empty, writer.out.len() == before).map_err(|error| Unfit::new(error.what))
            })
        })
    }

    /// Adds elements that lie packed.
    fn packed<T: DataManager>(&mut self, items: &[T]) -> Result<(), Unfit> {
        let start = self.out.len();
        self.zeros((items.len().saturating_mul(T::PACKED)).div_ceil(8))?;
        T::encode_slice(items, &mut Encoder::private(&mut self.out[start..])).map_err(|error| Unfit::new(error.what))
    }

    /// Writes the number of entries, and each of them. Their keys, whose words `write` tells, have to differ.
    fn entries<T>(
        &mut self,
        entries: &[T],
        mut write: impl FnMut(&mut Self, &T) -> Result<Range<usize>, Unfit>,
    ) -> Result<(), Unfit> {
        self.put(&(entries.len() as u64))?;
        let keys = self.nested(|writer| {
            let numbered = entries.iter().enumerate();
            let keys = numbered.map(|(i, entry)| write(writer, entry).map_err(|unfit| unfit.inside(format!("[{i}]"))));
            keys.collect::<Result<Vec<_>, Unfit>>()
        })?;
        let mut met = HashSet::new();
        match keys.into_iter().position(|words| !met.insert(&self.out[words])) {
            None => Ok(()),
            Some(i) => Err(Unfit::new("there twice").inside(format!("[{i}]"))),
        }
    }

    /// Writes a key: where its words are.
    fn keyed(&mut self, id: Id, key: &Value) -> Result<Range<usize>, Unfit> {
        let start = self.out.len();
        self.value(id, key)?;
        Ok(start..self.out.len())
    }

    fn number(&mut self, scalar: Scalar, value: &Value) -> Result<(), Unfit> {
        fn number<T: Number>(writer: &mut Writer<'_>, value: &Value) -> Result<(), Unfit> {
            writer.put(&T::of(value)?)
        }
        with_type!(scalar, number(self, value))
    }
}

fn packed_numbers<T: Number>(writer: &mut Writer<'_>, values: &[Value]) -> Result<(), Unfit> {
    let numbered = values.iter().enumerate();
    let items = numbered.map(|(i, value)| T::of(value).map_err(|unfit| unfit.inside(format!("[{i}]"))));
    writer.packed(&items.collect::<Result<Vec<T>, Unfit>>()?)
}

fn elements_of(expected: &str, value: &Value) -> Result<usize, Unfit> {
    match value {
        Value::Seq(values) => Ok(values.len()),
        Value::Bytes(bytes) => Ok(bytes.len()),
        other => Err(Unfit::expected(expected, other.kind())),
    }
}

fn same_name(what: &str, expected: &str, found: &str) -> Result<(), Unfit> {
    if expected == found { Ok(()) } else { Err(Unfit::expected(format!("{what} {expected}"), found)) }
}

fn same_number(expected: usize, found: usize) -> Result<(), Unfit> {
    if expected == found { Ok(()) } else { Err(Unfit::expected(format!("{expected} fields"), found)) }
}

fn same_names(fields: &[(Arc<str>, Id)], values: &[(Arc<str>, Value)]) -> Result<(), Unfit> {
    let mut pairs = fields.iter().zip(values);
    pairs.try_for_each(|((expected, _), (found, _))| same_name("field", expected, found))
}

/// What a scalar is made of.
trait Number: DataManager {
    fn of(value: &Value) -> Result<Self, Unfit>;
}

macro_rules! integers {
    ($($type:ident)*) => { $(
        impl Number for $type {
            fn of(value: &Value) -> Result<Self, Unfit> {
                let number = match value {
                    Value::Int(number) => (*number).try_into().ok(),
                    Value::UInt(number) => (*number).try_into().ok(),
                    other => return Err(Unfit::expected(stringify!($type), other.kind())),
                };
                number.ok_or_else(|| Unfit::expected(stringify!($type), "an integer out of its range"))
            }
        }
    )* };
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! others {
    ($($type:ident as $variant:ident)*) => { $(
        impl Number for $type {
            fn of(value: &Value) -> Result<Self, Unfit> {
                match value {
                    Value::$variant(value) => Ok(*value),
                    other => Err(Unfit::expected(stringify!($type), other.kind())),
                }
            }
        }
    )* };
}

others!(bool as Bool char as Char f32 as F32 f64 as F64);

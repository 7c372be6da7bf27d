//! From values to words, by a plan: the same words as the typed managers write.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::decode::MOST_STEPS;
use super::order;
use super::plan::{Id, Node, Parts, Plan, VariantPlan};
use super::value::{Enum, FieldValues, Struct, Value};
use crate::data::unfit::Unfit;
use crate::data::{DataManager, Encode, Encoder, MAX_DEPTH, Scalar, Schema, ZeroSizedLimit};
use crate::layout::MAX_VALUE;

/// The longest value, in words.
const MOST_WORDS: usize = (MAX_VALUE / 8) as usize;

impl Value {
    /// Checks whether this is a value of the type, which could be stored as one. (A hand-written manager may be
    /// stricter than the type that it describes itself as.)
    ///
    /// # Errors
    /// Which part of the value does not fit.
    pub fn check(&self, schema: &Schema) -> Result<(), Unfit> {
        Plan::new(schema).map_err(Unfit::from)?.encode(self).map(drop)
    }
}

impl Plan {
    /// Writes a key: equal ones must have the same words. So entries of ordered maps and sets whose order cannot be known here are
    /// refused.
    pub(crate) fn encode_key(&self, value: &Value) -> Result<Vec<u64>, Unfit> {
        let mut writer = Writer { is_key: true, ..Writer::new(self) };
        writer.value(self.root(), value)?;
        Ok(writer.out)
    }

    /// Writes a value, or an element of an array.
    pub(crate) fn encode(&self, value: &Value) -> Result<Vec<u64>, Unfit> {
        let mut writer = Writer::new(self);
        writer.value(self.root(), value)?;
        Ok(writer.out)
    }

    /// Writes the value of a binding: fields that were added to a struct later may be missing.
    pub(crate) fn encode_row(&self, value: &Value) -> Result<Vec<u64>, Unfit> {
        let (Node::Struct { name, fields: Parts::Named(fields), always }, Value::Struct(row)) =
            (self.node(self.root()), value)
        else {
            return self.encode(value);
        };
        let mut writer = Writer::new(self);
        writer.growing(name, fields, *always, row)?;
        Ok(writer.out)
    }
}

struct Writer<'a> {
    plan: &'a Plan,
    out: Vec<u64>,
    steps: u32,
    depth: u32,
    zero_sized: ZeroSizedLimit,
    is_key: bool,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan) -> Self {
        Writer { plan, out: Vec::new(), steps: 0, depth: 0, zero_sized: ZeroSizedLimit::default(), is_key: false }
    }
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

    /// Handles a node. Each kind has a function of its own, with plain loops, to keep the stack frames small.
    fn node(&mut self, id: Id, value: &Value) -> Result<(), Unfit> {
        match (self.plan.node(id), value) {
            (Node::Scalar(scalar), _) => self.number(*scalar, value),
            (Node::Text, Value::Text(text)) => self.put(text.as_str()),
            (Node::Box(content) | Node::Back { target: content, counts: false }, _) => self.value(*content, value),
            (Node::Back { target, counts: true }, _) => self.inside(*target, value),
            (Node::Option { filling, .. }, Value::None) => self.absent(*filling),
            (Node::Option { content, .. }, Value::Some(value)) => self.content(1, *content, value, 0),
            (Node::Result { ok, ok_filling, .. }, Value::Ok(value)) => self.content(0, *ok, value, *ok_filling),
            (Node::Result { err, err_filling, .. }, Value::Err(value)) => self.content(1, *err, value, *err_filling),
            (Node::Vec(element), _) => self.sequence(*element, value),
            (Node::Array(element, len), _) => self.array(*element, *len, value),
            (Node::Set { element, is_ordered }, _) => self.set(*element, *is_ordered, value),
            (Node::Map { key, value: to, is_ordered }, Value::Map(entries)) => {
                self.map(*key, *to, *is_ordered, entries)
            }
            (Node::Tuple(items), Value::Unit) if items.is_empty() => Ok(()),
            (Node::Tuple(items), Value::Tuple(values)) => self.items(items, values),
            (Node::Struct { name, fields, .. }, Value::Struct(value)) => self.structure(name, fields, value),
            (Node::Extensible(content), _) => self.extensible(*content, value),
            (Node::Enum { name, variants }, Value::Enum(value)) => self.enumeration(name, variants, value),
            (node, _) => unexpected(node, value),
        }
    }

    fn inside(&mut self, id: Id, value: &Value) -> Result<(), Unfit> {
        self.enter()?;
        self.value(id, value)?;
        self.leave();
        Ok(())
    }

    fn absent(&mut self, filling: usize) -> Result<(), Unfit> {
        self.put(&0u64)?;
        self.zeros(filling)
    }

    fn content(&mut self, which: u64, id: Id, value: &Value, filling: usize) -> Result<(), Unfit> {
        self.put(&which)?;
        self.value(id, value)?;
        self.zeros(filling)
    }

    fn sequence(&mut self, element: Id, value: &Value) -> Result<(), Unfit> {
        let len = elements_of("a sequence", value)?;
        self.put(&(len as u64))?;
        let start = self.out.len();
        self.elements(element, value)?;
        if self.plan.scalar(element).is_some() {
            return Ok(());
        }
        // The size of the elements in the memory of typed programs is unknown here.
        let words = self.out.len() - start;
        let counted = self.zero_sized.count(len.saturating_sub(words), 1, self.out.len());
        counted.map_err(|error| Unfit::new(error.what))
    }

    fn array(&mut self, element: Id, len: u64, value: &Value) -> Result<(), Unfit> {
        let found = elements_of("an array", value)?;
        if found as u64 != len {
            return Err(Unfit::expected(format!("an array of {len}"), format!("{found} elements")));
        }
        self.elements(element, value)
    }

    fn structure(&mut self, name: &str, fields: &Parts, value: &Struct) -> Result<(), Unfit> {
        same_name("struct", name, &value.name)?;
        self.fields(fields, &value.fields)
    }

    /// Writes a struct that may lack its last fields, but for those that are there `always`.
    fn growing(&mut self, name: &str, fields: &[(Arc<str>, Id)], always: usize, value: &Struct) -> Result<(), Unfit> {
        same_name("struct", name, &value.name)?;
        let FieldValues::Named(values) = &value.fields else { return Err(Unfit::new("the fields have names")) };
        let present = values.iter().rposition(|(_, value)| *value != Value::Missing).map_or(0, |last| last + 1);
        // One that was made when the type had fewer fields may have only those.
        if !(always..=fields.len()).contains(&values.len()) {
            same_number(fields.len(), values.len())?;
        }
        if let Some((name, _)) = fields[..always].get(present) {
            let unfit =
                Unfit::new("a missing field, though it was not added later, so that programs have no default for it");
            return Err(unfit.inside(format!(".{name}")));
        }
        self.named(&fields[..present], &values[..present])?;
        same_names(&fields[present..values.len()], &values[present..])
    }

    fn extensible(&mut self, content: Id, value: &Value) -> Result<(), Unfit> {
        let place = self.out.len();
        self.zeros(1)?;
        let (target, counts) = self.plan.resolved(content);
        if counts {
            self.enter()?;
        }
        match (self.plan.node(target), value) {
            (Node::Struct { name, fields: Parts::Named(fields), always }, Value::Struct(value)) => {
                self.growing(name, fields, *always, value)?;
            }
            _ => self.value(target, value)?,
        }
        if counts {
            self.leave();
        }
        self.out[place] = (self.out.len() - place - 1) as u64;
        Ok(())
    }

    fn enumeration(&mut self, name: &str, variants: &[VariantPlan], value: &Enum) -> Result<(), Unfit> {
        same_name("enum", name, &value.name)?;
        let Some(variant) = variants.iter().find(|variant| variant.name == value.variant) else {
            return Err(Unfit::expected(format!("a variant of {name}"), &*value.variant));
        };
        self.put(&variant.index)?;
        self.fields(&variant.fields, &value.fields)
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

    fn enter(&mut self) -> Result<(), Unfit> {
        if self.depth == MAX_DEPTH {
            return Err(Unfit::new(format!("nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    fn items(&mut self, items: &[Id], values: &[Value]) -> Result<(), Unfit> {
        same_number(items.len(), values.len())?;
        for (i, (item, value)) in items.iter().zip(values).enumerate() {
            self.value(*item, value).map_err(|unfit| unfit.inside(format!(".{i}")))?;
        }
        Ok(())
    }

    fn named(&mut self, fields: &[(Arc<str>, Id)], values: &[(Arc<str>, Value)]) -> Result<(), Unfit> {
        same_number(fields.len(), values.len())?;
        same_names(fields, values)?;
        for ((name, id), (_, value)) in fields.iter().zip(values) {
            self.value(*id, value).map_err(|unfit| unfit.inside(format!(".{name}")))?;
        }
        Ok(())
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

    /// Writes the elements of a sequence or an array.
    fn elements(&mut self, element: Id, value: &Value) -> Result<(), Unfit> {
        match (value, self.plan.scalar(element)) {
            (Value::Bytes(bytes), Some(Scalar::U8)) => self.packed(bytes),
            (Value::Seq(values), Some(scalar)) => with_type!(scalar, packed_numbers(self, values)),
            (Value::Seq(values), None) => self.each(element, values),
            (Value::Bytes(bytes), _) => self.elements(element, &Value::Seq(one_by_one(bytes))),
            _ => Err(Unfit::expected("a sequence", value.kind())),
        }
    }

    fn each(&mut self, element: Id, values: &[Value]) -> Result<(), Unfit> {
        self.enter()?;
        for (i, value) in values.iter().enumerate() {
            self.value(element, value).map_err(|unfit| unfit.inside(format!("[{i}]")))?;
        }
        self.leave();
        Ok(())
    }

    /// Adds elements that lie packed.
    fn packed<T: DataManager>(&mut self, items: &[T]) -> Result<(), Unfit> {
        let start = self.out.len();
        self.zeros((items.len().saturating_mul(T::PACKED)).div_ceil(8))?;
        T::encode_slice(items, &mut Encoder::private(&mut self.out[start..])).map_err(|error| Unfit::new(error.what))
    }

    fn set(&mut self, element: Id, is_ordered: bool, value: &Value) -> Result<(), Unfit> {
        let values = match value {
            Value::Seq(values) => values,
            Value::Bytes(bytes) => &one_by_one(bytes),
            _ => return Err(Unfit::expected("the elements of a set", value.kind())),
        };
        let mut values: Vec<(usize, Cow<'_, Value>)> = values.iter().map(Cow::Borrowed).enumerate().collect();
        if is_ordered {
            values.iter_mut().for_each(|(_, value)| self.sort_inside(element, value));
            self.order(&mut values, |(_, value)| value)?;
        }
        self.put(&(values.len() as u64))?;
        self.enter()?;
        let mut keys = Vec::new();
        for (i, value) in values {
            let start = self.out.len();
            self.value(element, &value).map_err(|unfit| unfit.inside(format!("[{i}]")))?;
            keys.push(start..self.out.len());
        }
        self.leave();
        self.finish_keys(is_ordered, &keys)
    }

    fn map(&mut self, key: Id, value: Id, is_ordered: bool, entries: &[(Value, Value)]) -> Result<(), Unfit> {
        let pairs = entries.iter().map(|(of, to)| (Cow::Borrowed(of), to));
        let mut entries: Vec<(usize, (Cow<'_, Value>, &Value))> = pairs.enumerate().collect();
        if is_ordered {
            entries.iter_mut().for_each(|(_, (of, _))| self.sort_inside(key, of));
            self.order(&mut entries, |(_, (of, _))| of)?;
        }
        self.put(&(entries.len() as u64))?;
        self.enter()?;
        let mut keys = Vec::new();
        for (i, (of, to)) in entries {
            let start = self.out.len();
            self.value(key, &of).map_err(|unfit| unfit.inside(format!(" in key {i}")))?;
            keys.push(start..self.out.len());
            self.value(value, to).map_err(|unfit| unfit.inside(format!(" in the value of key {i}")))?;
        }
        self.leave();
        self.finish_keys(is_ordered, &keys)
    }

    /// Sorts the maps and sets within a key, without which keys cannot be compared.
    fn sort_inside(&self, key: Id, value: &mut Cow<'_, Value>) {
        if !matches!(self.plan.node(key), Node::Scalar(_) | Node::Text) {
            *value = Cow::Owned(self.sorted(key, value, MOST_STEPS - self.steps));
        }
    }

    /// Copies a value with its maps and sets sorted, `depth` types deep. (Structs and enums are not compared.)
    fn sorted(&self, id: Id, value: &Value, depth: u32) -> Value {
        let Some(depth) = depth.checked_sub(1) else { return value.clone() };
        let boxed = |id: &Id, value: &Value| Box::new(self.sorted(*id, value, depth));
        let each =
            |id: &Id, values: &[Value]| values.iter().map(|value| self.sorted(*id, value, depth)).collect::<Vec<_>>();
        match (self.plan.node(id), value) {
            (Node::Box(content) | Node::Extensible(content) | Node::Back { target: content, .. }, _) => {
                self.sorted(*content, value, depth)
            }
            (Node::Option { content, .. }, Value::Some(value)) => Value::Some(boxed(content, value)),
            (Node::Result { ok, .. }, Value::Ok(value)) => Value::Ok(boxed(ok, value)),
            (Node::Result { err, .. }, Value::Err(value)) => Value::Err(boxed(err, value)),
            (Node::Vec(element) | Node::Array(element, _), Value::Seq(values)) => Value::Seq(each(element, values)),
            (Node::Tuple(items), Value::Tuple(values)) if items.len() == values.len() => {
                Value::Tuple(items.iter().zip(values).map(|(id, value)| self.sorted(*id, value, depth)).collect())
            }
            (Node::Set { element, .. }, Value::Seq(values)) => {
                let mut values = each(element, values);
                order::sort(&mut values, |value| value);
                Value::Seq(values)
            }
            (Node::Set { .. }, Value::Bytes(bytes)) => {
                let mut bytes = bytes.clone();
                bytes.sort_unstable();
                Value::Bytes(bytes)
            }
            (Node::Map { key, value, .. }, Value::Map(entries)) => {
                let sorted = |(of, to)| (self.sorted(*key, of, depth), self.sorted(*value, to, depth));
                let mut entries: Vec<(Value, Value)> = entries.iter().map(|(of, to)| sorted((of, to))).collect();
                order::sort(&mut entries, |(of, _)| of);
                Value::Map(entries)
            }
            _ => value.clone(),
        }
    }

    /// Brings the entries of an ordered map or set into their order. Where only programs know it, values keep the order that they
    /// were given in, since managers take any.
    fn order<T>(&self, entries: &mut [T], key: impl Fn(&T) -> &Value) -> Result<(), Unfit> {
        if order::sort(entries, key) || !self.is_key {
            return Ok(());
        }
        Err(Unfit::new("an ordered map or set within a key, whose keys are of a type with an order of its own"))
    }

    fn finish_keys(&mut self, is_ordered: bool, keys: &[Range<usize>]) -> Result<(), Unfit> {
        self.all_differ(keys)?;
        if !is_ordered {
            self.sort(keys);
        }
        Ok(())
    }

    /// Sorts the entries of a hash map or set, which end the words so far, by their keys: defaults of arrays are compared.
    fn sort(&mut self, keys: &[Range<usize>]) {
        let Some(first) = keys.first() else { return };
        let ends = keys.iter().skip(1).map(|next| next.start).chain([self.out.len()]);
        let mut entries: Vec<_> = keys.iter().zip(ends).map(|(key, end)| (key.clone(), key.start..end)).collect();
        entries.sort_unstable_by(|(one, _), (other, _)| self.out[one.clone()].cmp(&self.out[other.clone()]));
        let sorted: Vec<u64> = entries.into_iter().flat_map(|(_, entry)| &self.out[entry]).copied().collect();
        self.out[first.start..].copy_from_slice(&sorted);
    }

    /// Checks that the keys of a map or set differ.
    fn all_differ(&self, keys: &[Range<usize>]) -> Result<(), Unfit> {
        let mut met = HashSet::new();
        match keys.iter().position(|words| !met.insert(&self.out[words.clone()])) {
            None => Ok(()),
            Some(i) => Err(Unfit::new("there twice").inside(format!("[{i}]"))),
        }
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

fn one_by_one(bytes: &[u8]) -> Vec<Value> {
    bytes.iter().map(|byte| Value::from(*byte)).collect()
}

#[cold]
fn unexpected(node: &Node, value: &Value) -> Result<(), Unfit> {
    Err(Unfit::expected(node, value.kind()))
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

/// Types of scalars, with their conversion from a value.
pub(super) trait Number: DataManager {
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

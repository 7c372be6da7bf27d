//! Decodes words into values by a plan. The words, and the schema that the plan is made of, may be anything.

use std::collections::HashSet;
use std::sync::Arc;

use super::plan::{Id, Node, Parts, Plan, VariantPlan};
use super::value::{Enum, FieldValues, Struct, Value};
use crate::data::{DataError, DataManager, Decoder, Scalar};

/// The deepest nesting of types, so that no value exhausts the stack.
pub(super) const MOST_STEPS: u32 = 1024;
pub(super) const TOO_MANY_STEPS: DataError = DataError::new("a value", "types nested too deep");

/// Values without words that are allowed, and further ones for each word, since nothing else bounds the memory that
/// they take.
const MOST_EMPTY: usize = 1 << 16;
const EMPTY_EACH: usize = 16;
const TOO_MANY_EMPTY: DataError = DataError::new("a value", "too many parts that take no words");

/// Values that memory is reserved for before the words have been read.
const SET_APART: usize = 128;

const NO_VARIANT: DataError =
    DataError::new("an enum", "no variant has the stored index; a newer program may have added it");
const TWICE: DataError = DataError::new("a map or set", "an entry twice");

impl Plan {
    /// Reads a key, or an element of fixed length.
    pub(crate) fn decode(&self, words: &[u64]) -> Result<Value, DataError> {
        self.read(words, |reader| reader.value(self.root()))
    }

    /// Reads a value as it lies in a row: a struct may end before any field, if its row is older than the field.
    pub(crate) fn decode_row(&self, words: &[u64]) -> Result<Value, DataError> {
        match self.node(self.root()) {
            Node::Struct { name, fields: Parts::Named(fields), .. } => {
                self.read(words, |reader| reader.growing(name, fields))
            }
            _ => self.decode(words),
        }
    }

    /// Returns whether the words are those of a value in a row, or of a key or an element.
    pub(crate) fn accepts(&self, words: &[u64]) -> bool {
        self.decode_row(words).is_ok()
    }

    fn read(
        &self,
        words: &[u64],
        read: impl FnOnce(&mut Reader<'_>) -> Result<Value, DataError>,
    ) -> Result<Value, DataError> {
        let mut reader = Reader { plan: self, all: words, input: Decoder::from_words(words), steps: 0, empty: 0 };
        let value = read(&mut reader)?;
        reader.input.finish()?;
        Ok(value)
    }

    /// Returns whether values of the type take no words.
    pub(super) fn is_empty(&self, id: Id) -> bool {
        match self.node(id) {
            Node::Tuple(items) => items.iter().all(|item| self.is_empty(*item)),
            Node::Struct { fields, .. } => match fields {
                Parts::Unit => true,
                Parts::Tuple(items) => items.iter().all(|item| self.is_empty(*item)),
                Parts::Named(fields) => fields.iter().all(|(_, id)| self.is_empty(*id)),
            },
            Node::Array(element, len) => *len == 0 || self.is_empty(*element),
            Node::Box(content) => self.is_empty(*content),
            _ => false,
        }
    }
}

struct Reader<'a> {
    plan: &'a Plan,
    all: &'a [u64],
    input: Decoder<'a>,
    steps: u32,
    /// Values so far that take no words.
    empty: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, id: Id) -> Result<Value, DataError> {
        if self.steps == MOST_STEPS {
            return Err(TOO_MANY_STEPS);
        }
        self.steps += 1;
        let before = self.input.remaining();
        let value = self.node(id);
        self.steps -= 1;
        if self.input.remaining() == before {
            self.empty += 1;
            if self.empty > MOST_EMPTY.saturating_add(self.all.len().saturating_mul(EMPTY_EACH)) {
                return Err(TOO_MANY_EMPTY);
            }
        }
        value
    }

    /// Handles a node. Each kind has a function of its own, with plain loops, to keep the stack frames small.
    fn node(&mut self, id: Id) -> Result<Value, DataError> {
        match self.plan.node(id) {
            Node::Scalar(scalar) => self.number(*scalar),
            Node::Text => self.text(),
            Node::Box(content) | Node::Back { target: content, counts: false } => self.value(*content),
            Node::Back { target, counts: true } => self.inside(*target),
            Node::Option { content, filling } => self.option(*content, *filling),
            Node::Result { ok, err, ok_filling, err_filling } => self.result([*ok, *err], [*ok_filling, *err_filling]),
            Node::Vec(element) => self.sequence(*element),
            // There is no room for more elements than a `usize` counts.
            Node::Array(element, len) => self.elements(*element, usize::try_from(*len).unwrap_or(usize::MAX)),
            Node::Set { element, .. } => self.set(*element),
            Node::Map { key, value, .. } => self.map(*key, *value),
            Node::Tuple(items) => self.tuple(items),
            Node::Struct { name, fields, .. } => self.structure(name, fields),
            Node::Extensible(content) => self.extensible(*content),
            Node::Enum { name, variants } => self.enumeration(name, variants),
        }
    }

    fn text(&mut self) -> Result<Value, DataError> {
        String::decode(&mut self.input).map(Value::Text)
    }

    fn inside(&mut self, id: Id) -> Result<Value, DataError> {
        self.input.enter()?;
        let value = self.value(id);
        self.input.leave();
        value
    }

    /// Reads a struct that may end before any field, if it is older than the field.
    fn growing(&mut self, name: &Arc<str>, fields: &[(Arc<str>, Id)]) -> Result<Value, DataError> {
        let (mut values, mut ended) = (Vec::with_capacity(fields.len()), false);
        for (name, id) in fields {
            ended |= self.input.remaining() == 0 && !self.plan.is_empty(*id);
            values.push((name.clone(), if ended { Value::Missing } else { self.value(*id)? }));
        }
        Ok(Value::Struct(Box::new(Struct { name: name.clone(), fields: FieldValues::Named(values) })))
    }

    fn extensible(&mut self, content: Id) -> Result<Value, DataError> {
        let around = self.input.narrow()?;
        let (target, counts) = self.plan.resolved(content);
        if counts {
            self.input.enter()?;
        }
        let value = match self.plan.node(target) {
            Node::Struct { name, fields: Parts::Named(fields), .. } => self.growing(name, fields)?,
            _ => self.value(target)?,
        };
        if counts {
            self.input.leave();
        }
        self.input.widen(around);
        Ok(value)
    }

    fn option(&mut self, content: Id, filling: usize) -> Result<Value, DataError> {
        match self.input.get()? {
            0 => self.input.skip(filling).map(|()| Value::None),
            1 => self.value(content).map(|value| Value::Some(Box::new(value))),
            _ => Err(DataError::new("Option", "neither None nor Some")),
        }
    }

    fn result(&mut self, contents: [Id; 2], fillings: [usize; 2]) -> Result<Value, DataError> {
        let which = self.input.take_len()?;
        let (Some(content), Some(filling)) = (contents.get(which), fillings.get(which)) else {
            return Err(DataError::new("Result", "neither Ok nor Err"));
        };
        let content = Box::new(self.value(*content)?);
        self.input.skip(*filling)?;
        Ok(if which == 0 { Value::Ok(content) } else { Value::Err(content) })
    }

    fn sequence(&mut self, element: Id) -> Result<Value, DataError> {
        let len = self.input.take_len()?;
        self.elements(element, len)
    }

    fn tuple(&mut self, items: &[Id]) -> Result<Value, DataError> {
        if items.is_empty() { Ok(Value::Unit) } else { self.items(items).map(Value::Tuple) }
    }

    fn structure(&mut self, name: &Arc<str>, fields: &Parts) -> Result<Value, DataError> {
        let fields = self.fields(fields)?;
        Ok(Value::Struct(Box::new(Struct { name: name.clone(), fields })))
    }

    fn enumeration(&mut self, name: &Arc<str>, variants: &[VariantPlan]) -> Result<Value, DataError> {
        let index = self.input.get()?;
        let Ok(found) = variants.binary_search_by_key(&index, |variant| variant.index) else {
            return Err(NO_VARIANT);
        };
        let fields = self.fields(&variants[found].fields)?;
        Ok(Value::Enum(Box::new(Enum { name: name.clone(), variant: variants[found].name.clone(), fields })))
    }

    fn items(&mut self, items: &[Id]) -> Result<Vec<Value>, DataError> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(self.value(*item)?);
        }
        Ok(values)
    }

    fn fields(&mut self, fields: &Parts) -> Result<FieldValues, DataError> {
        match fields {
            Parts::Unit => Ok(FieldValues::Unit),
            Parts::Tuple(items) => self.items(items).map(FieldValues::Tuple),
            Parts::Named(fields) => self.named(fields),
        }
    }

    fn named(&mut self, fields: &[(Arc<str>, Id)]) -> Result<FieldValues, DataError> {
        let mut values = Vec::with_capacity(fields.len());
        for (name, id) in fields {
            values.push((name.clone(), self.value(*id)?));
        }
        Ok(FieldValues::Named(values))
    }

    fn elements(&mut self, element: Id, len: usize) -> Result<Value, DataError> {
        if let Some(scalar) = self.plan.scalar(element) {
            return self.numbers(scalar, len);
        }
        self.input.enter()?;
        let mut values = Vec::with_capacity(len.min(SET_APART).min(self.input.remaining()));
        for _ in 0..len {
            values.push(self.value(element)?);
        }
        self.input.leave();
        Ok(Value::Seq(values))
    }

    fn set(&mut self, element: Id) -> Result<Value, DataError> {
        let (mut values, mut keys) = (Vec::new(), HashSet::new());
        let len = self.input.take_len()?;
        self.input.enter()?;
        for _ in 0..len {
            values.push(self.key(element, &mut keys)?);
        }
        self.input.leave();
        Ok(Value::Seq(values))
    }

    fn map(&mut self, key: Id, value: Id) -> Result<Value, DataError> {
        let (mut entries, mut keys) = (Vec::new(), HashSet::new());
        let len = self.input.take_len()?;
        self.input.enter()?;
        for _ in 0..len {
            let key = self.key(key, &mut keys)?;
            entries.push((key, self.value(value)?));
        }
        self.input.leave();
        Ok(Value::Map(entries))
    }

    /// Checks that a key differs from all others. There are no more keys than words, since only one can be empty.
    fn key(&mut self, id: Id, keys: &mut HashSet<&'a [u64]>) -> Result<Value, DataError> {
        let start = self.input.position();
        let value = self.value(id)?;
        if keys.insert(&self.all[start..self.input.position()]) { Ok(value) } else { Err(TWICE) }
    }

    fn number(&mut self, scalar: Scalar) -> Result<Value, DataError> {
        fn number<T: DataManager + Into<Value>>(input: &mut Decoder<'_>) -> Result<Value, DataError> {
            T::decode(input).map(Into::into)
        }
        with_type!(scalar, number(&mut self.input))
    }

    fn numbers(&mut self, scalar: Scalar, len: usize) -> Result<Value, DataError> {
        fn numbers<T: DataManager + Into<Value>>(len: usize, input: &mut Decoder<'_>) -> Result<Value, DataError> {
            Ok(Value::Seq(T::decode_vec(len, input)?.into_iter().map(Into::into).collect()))
        }
        if scalar == Scalar::U8 {
            return self.input.bytes(len).map(Value::Bytes);
        }
        with_type!(scalar, numbers(len, &mut self.input))
    }
}

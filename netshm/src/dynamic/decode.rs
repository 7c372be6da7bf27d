//! From words to values, by a plan. The words, and the schema behind the plan, may be anything.

use std::collections::HashSet;

use super::plan::{Id, Node, Parts, Plan};
use super::value::{Enum, FieldValues, Struct, Value};
use crate::data::{DataError, DataManager, Decoder, Scalar, count_empty};

/// Types within types, on the way from the outermost value to the innermost: so that no value exhausts the stack.
pub(super) const MOST_STEPS: u32 = 1024;
pub(super) const TOO_MANY_STEPS: DataError = DataError::new("a value", "types nested too deep");

/// Values that take no words may be so many, and so many more for each word, since nothing else bounds the memory that
/// they take.
const MOST_EMPTY: usize = 1 << 16;
const EMPTY_EACH: usize = 16;
const TOO_MANY_EMPTY: DataError = DataError::new("a value", "too many parts that take no words");

/// Values that are set apart before the words have been seen.
const SET_APART: usize = 128;

const NO_VARIANT: DataError = DataError::new("an enum", "no variant has the stored index");
const TWICE: DataError = DataError::new("a map or set", "an entry twice");

impl Plan {
    /// Reads a key, or an element of fixed length.
    pub(crate) fn decode(&self, words: &[u64]) -> Result<Value, DataError> {
        self.read(words, |reader| reader.value(self.root()))
    }

    /// Reads a value as it lies in a row: a struct may end before any field, if its row is older than the field.
    pub(crate) fn decode_row(&self, words: &[u64]) -> Result<Value, DataError> {
        let Node::Struct { name, fields: Parts::Named(fields) } = self.node(self.root()) else {
            return self.decode(words);
        };
        self.read(words, |reader| {
            let mut ended = false;
            let fields = fields.iter().map(|(name, id)| {
                ended |= reader.input.remaining() == 0 && !self.is_empty(*id);
                Ok((name.clone(), if ended { Value::Missing } else { reader.value(*id)? }))
            });
            let fields = FieldValues::Named(fields.collect::<Result<_, DataError>>()?);
            Ok(Value::Struct(Box::new(Struct { name: name.clone(), fields })))
        })
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

    /// Whether values of the type take no words.
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

    fn node(&mut self, id: Id) -> Result<Value, DataError> {
        let plan = self.plan;
        match plan.node(id) {
            Node::Scalar(scalar) => self.number(*scalar),
            Node::Text => String::decode(&mut self.input).map(Value::Text),
            Node::Box(content) => self.value(*content),
            Node::Option { content, filling } => match self.input.get()? {
                0 => self.input.skip(*filling).map(|()| Value::None),
                1 => Ok(Value::Some(Box::new(self.value(*content)?))),
                _ => Err(DataError::new("Option", "neither None nor Some")),
            },
            Node::Result { ok, err, ok_filling, err_filling } => {
                let (make, content, filling): (fn(Box<Value>) -> Value, _, _) = match self.input.get()? {
                    0 => (Value::Ok, ok, ok_filling),
                    1 => (Value::Err, err, err_filling),
                    _ => return Err(DataError::new("Result", "neither Ok nor Err")),
                };
                let content = self.value(*content)?;
                self.input.skip(*filling)?;
                Ok(make(Box::new(content)))
            }
            Node::Vec(element) => {
                let len = self.input.take_len()?;
                self.elements(*element, len)
            }
            Node::Array(element, len) => {
                // There is no room for more elements than a `usize` counts.
                self.elements(*element, usize::try_from(*len).unwrap_or(usize::MAX))
            }
            Node::Set(element) => self.set(*element),
            Node::Map { key, value, .. } => self.map(*key, *value),
            Node::Tuple(items) if items.is_empty() => Ok(Value::Unit),
            Node::Tuple(items) => self.items(items).map(Value::Tuple),
            Node::Struct { name, fields } => {
                let fields = self.fields(fields)?;
                Ok(Value::Struct(Box::new(Struct { name: name.clone(), fields })))
            }
            Node::Enum { name, variants } => {
                let index = self.input.get()?;
                let found = variants.binary_search_by_key(&index, |variant| variant.index);
                let variant = &variants[found.map_err(|_| NO_VARIANT)?];
                let fields = self.fields(&variant.fields)?;
                Ok(Value::Enum(Box::new(Enum { name: name.clone(), variant: variant.name.clone(), fields })))
            }
            Node::Back { target, counts: false } => self.value(*target),
            Node::Back { target, counts: true } => self.nested(|reader| reader.value(*target)),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<Value, DataError>) -> Result<Value, DataError> {
        self.input.enter()?;
        let value = read(self);
        self.input.leave();
        value
    }

    fn items(&mut self, items: &[Id]) -> Result<Vec<Value>, DataError> {
        items.iter().map(|item| self.value(*item)).collect()
    }

    fn fields(&mut self, fields: &Parts) -> Result<FieldValues, DataError> {
        Ok(match fields {
            Parts::Unit => FieldValues::Unit,
            Parts::Tuple(items) => FieldValues::Tuple(self.items(items)?),
            Parts::Named(fields) => {
                let fields = fields.iter().map(|(name, id)| Ok((name.clone(), self.value(*id)?)));
                FieldValues::Named(fields.collect::<Result<_, DataError>>()?)
            }
        })
    }

    fn elements(&mut self, element: Id, len: usize) -> Result<Value, DataError> {
        if let Some(scalar) = self.plan.scalar(element) {
            return self.numbers(scalar, len);
        }
        self.nested(|reader| {
            let mut values = Vec::with_capacity(len.min(SET_APART).min(reader.input.remaining()));
            let mut empty = 0;
            for _ in 0..len {
                let before = reader.input.remaining();
                values.push(reader.value(element)?);
                count_empty(&mut empty, reader.input.remaining() == before)?;
            }
            Ok(Value::Seq(values))
        })
    }

    fn set(&mut self, element: Id) -> Result<Value, DataError> {
        let mut values = Vec::new();
        self.entries(|reader| {
            let (value, words) = reader.with_words(element)?;
            values.push(value);
            Ok(words)
        })?;
        Ok(Value::Seq(values))
    }

    fn map(&mut self, key: Id, value: Id) -> Result<Value, DataError> {
        let mut entries = Vec::new();
        self.entries(|reader| {
            let (key, words) = reader.with_words(key)?;
            entries.push((key, reader.value(value)?));
            Ok(words)
        })?;
        Ok(Value::Map(entries))
    }

    /// Reads the entries of a map or set, all of which have different keys. There are no more of them than words, for
    /// only one of them can have none.
    fn entries(&mut self, mut read: impl FnMut(&mut Self) -> Result<&'a [u64], DataError>) -> Result<(), DataError> {
        let len = self.input.take_len()?;
        let mut keys = HashSet::new();
        self.nested(|reader| {
            for _ in 0..len {
                if !keys.insert(read(reader)?) {
                    return Err(TWICE);
                }
            }
            Ok(Value::Unit)
        })
        .map(drop)
    }

    /// A value and its words.
    fn with_words(&mut self, id: Id) -> Result<(Value, &'a [u64]), DataError> {
        let start = self.all.len() - self.input.remaining();
        let value = self.value(id)?;
        Ok((value, &self.all[start..self.all.len() - self.input.remaining()]))
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

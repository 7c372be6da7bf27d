//! Whether words are those of a value, by the description of its type alone.

use super::{Container, Fields, Scalar, Schema};
use crate::data::encoder::MAX_DEPTH;
use crate::data::{DataError, DataManager, Decoder};

const NO_VALUE: DataError = DataError::new("a value", "not as its schema says");

/// Elements that take no words may be so many.
const MOST_EMPTY: u64 = 1 << 16;

impl Schema {
    /// Whether the words are a value of the type. (A hand-written manager may be stricter than the type that it
    /// describes itself as.) A struct may end after any of its fields: it was stored before it got the others.
    pub(crate) fn accepts(&self, words: &[u64]) -> bool {
        let mut words = Decoder::from_words(words);
        let mut walk = Walk { around: Vec::new(), depth: 0 };
        let outcome = match self {
            Schema::Struct(name, fields) => walk.inside(name, self, |walk| {
                let mut fields = fields.schemas();
                fields.try_for_each(|field| if words.remaining() == 0 { Ok(()) } else { walk.value(field, &mut words) })
            }),
            _ => walk.value(self, &mut words),
        };
        outcome.and_then(|()| words.finish()).is_ok()
    }
}

struct Walk<'a> {
    /// The structs and enums around, outermost first.
    around: Vec<(&'a str, &'a Schema)>,
    depth: u32,
}

impl<'a> Walk<'a> {
    fn value(&mut self, schema: &'a Schema, words: &mut Decoder<'_>) -> Result<(), DataError> {
        match schema {
            Schema::Scalar(scalar) => scalar_value(*scalar, words),
            Schema::Text => String::decode(words).map(drop),
            Schema::Container(Container::Box, of) => of.iter().try_for_each(|content| self.value(content, words)),
            Schema::Container(container, of) => self.container(*container, of, schema, words),
            Schema::Array(element, len) => self.elements(element, *len, words),
            Schema::Tuple(items) => items.iter().try_for_each(|item| self.value(item, words)),
            Schema::Struct(name, fields) => self.inside(name, schema, |walk| walk.fields(fields, words)),
            Schema::Enum(name, variants) => {
                let index = words.get()?;
                let variant = variants.iter().find(|variant| variant.index == index).ok_or(NO_VALUE)?;
                self.inside(name, schema, |walk| walk.fields(&variant.fields, words))
            }
            Schema::Back(name, skipped) => {
                let named = self.around.iter().enumerate().rev().filter(|(_, (known, _))| known == name);
                let (found, _) = named.clone().nth(*skipped as usize).ok_or(NO_VALUE)?;
                if self.depth == MAX_DEPTH {
                    return Err(NO_VALUE);
                }
                let (_, target) = self.around[found];
                let inner = self.around.split_off(found);
                self.depth += 1;
                let outcome = self.value(target, words);
                self.depth -= 1;
                self.around.extend(inner);
                outcome
            }
        }
    }

    fn inside(
        &mut self,
        name: &'a str,
        schema: &'a Schema,
        walk: impl FnOnce(&mut Self) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.around.push((name, schema));
        let outcome = walk(self);
        self.around.pop();
        outcome
    }

    fn fields(&mut self, fields: &'a Fields, words: &mut Decoder<'_>) -> Result<(), DataError> {
        fields.schemas().try_for_each(|field| self.value(field, words))
    }

    fn elements(&mut self, element: &'a Schema, len: u64, words: &mut Decoder<'_>) -> Result<(), DataError> {
        if let Schema::Scalar(scalar) = element {
            let len = usize::try_from(len).map_err(|_| NO_VALUE)?;
            return match scalar {
                Scalar::Bool => bool::decode_vec(len, words).map(drop),
                Scalar::Char => char::decode_vec(len, words).map(drop),
                other => words.skip(len.checked_mul(other.packed()).ok_or(NO_VALUE)?.div_ceil(8)),
            };
        }
        let mut empty = 0;
        for _ in 0..len {
            let before = words.remaining();
            self.value(element, words)?;
            empty += u64::from(words.remaining() == before);
            if empty > MOST_EMPTY {
                return Err(NO_VALUE);
            }
        }
        Ok(())
    }

    fn container(
        &mut self,
        container: Container,
        of: &'a [Schema],
        whole: &'a Schema,
        words: &mut Decoder<'_>,
    ) -> Result<(), DataError> {
        let first = words.get()?;
        match (container, of) {
            (Container::Vec, [element]) => self.elements(element, first, words),
            (Container::BTreeSet | Container::HashSet, [element]) => {
                (0..first).try_for_each(|_| self.advance(words, |walk, words| walk.value(element, words)))
            }
            (Container::BTreeMap | Container::HashMap, [key, value]) => (0..first).try_for_each(|_| {
                self.advance(words, |walk, words| {
                    walk.value(key, words)?;
                    walk.value(value, words)
                })
            }),
            (Container::Option, [content]) if first <= 1 => {
                let full = whole.fixed_words().map(|words| words - 1);
                if first == 1 { self.value(content, words) } else { skip(words, full.unwrap_or(0)) }
            }
            (Container::Result, [ok, err]) if first <= 1 => {
                let full = whole.fixed_words().map(|words| words - 1);
                let content = if first == 0 { ok } else { err };
                self.value(content, words)?;
                match (full, content.fixed_words()) {
                    (Some(full), Some(own)) => skip(words, full - own),
                    _ => Ok(()),
                }
            }
            _ => Err(NO_VALUE),
        }
    }

    /// Takes an entry of a map or set; there are no more of them than words, except where they are empty.
    fn advance(
        &mut self,
        words: &mut Decoder<'_>,
        take: impl FnOnce(&mut Self, &mut Decoder<'_>) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let before = words.remaining();
        take(self, words)?;
        // Entries of maps and sets differ, so at most one of them is empty.
        if words.remaining() == before && before > 0 { Err(NO_VALUE) } else { Ok(()) }
    }
}

fn skip(words: &mut Decoder<'_>, count: u64) -> Result<(), DataError> {
    words.skip(usize::try_from(count).map_err(|_| NO_VALUE)?)
}

fn scalar_value(scalar: Scalar, words: &mut Decoder<'_>) -> Result<(), DataError> {
    match scalar {
        Scalar::U8 => u8::decode(words).map(drop),
        Scalar::U16 => u16::decode(words).map(drop),
        Scalar::U32 => u32::decode(words).map(drop),
        Scalar::I8 => i8::decode(words).map(drop),
        Scalar::I16 => i16::decode(words).map(drop),
        Scalar::I32 => i32::decode(words).map(drop),
        Scalar::Bool => bool::decode(words).map(drop),
        Scalar::Char => char::decode(words).map(drop),
        Scalar::F32 => f32::decode(words).map(drop),
        Scalar::U64 | Scalar::Usize | Scalar::I64 | Scalar::Isize | Scalar::F64 => skip(words, 1),
        Scalar::U128 | Scalar::I128 => skip(words, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Encoder;

    #[track_caller]
    fn assert_accepted<T: DataManager>(value: &T) {
        let mut counting = Encoder::counting();
        value.encode(&mut counting).unwrap();
        let mut words = vec![0; counting.written()];
        value.encode(&mut Encoder::private(&mut words)).unwrap();
        let schema = Schema::of::<T>();
        assert!(schema.accepts(&words), "{schema}");
        words.push(0);
        assert!(!schema.accepts(&words), "{schema}");
        words.pop();
        if !words.is_empty() {
            words.pop();
            assert!(!schema.accepts(&words), "{schema}");
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
        assert!(!Schema::of::<u8>().accepts(&[256]));
        assert!(!Schema::of::<bool>().accepts(&[2]));
        assert!(!Schema::of::<String>().accepts(&[1, 255]));
        assert!(!Schema::of::<Vec<()>>().accepts(&[u64::MAX]));
        assert!(!Schema::of::<BTreeMap<(), ()>>().accepts(&[u64::MAX, 0]));
    }

    #[test]
    fn references_back_are_followed() {
        let schema: Schema = "Tree { value: u64, children: Vec<^Tree> }".parse().unwrap();
        assert!(schema.accepts(&[1, 2, 5, 0, 6, 1, 7, 0]));
        assert!(!schema.accepts(&[1, 2, 5, 0, 6, 2, 7, 0]));
        let mut deep: Vec<u64> = [1, 1].repeat(1000);
        deep.extend([1, 0]);
        assert!(!schema.accepts(&deep));
    }
}

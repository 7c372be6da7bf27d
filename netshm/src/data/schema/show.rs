//! Stored words as text for a person, by their schema alone: no code of the user runs.

use std::fmt::Write;

use super::{Container, Fields, Scalar, Schema};

/// The longest text, in bytes, and the most types that are gone through for it.
const LONGEST: usize = 240;
const MOST_STEPS: u32 = 1000;
/// Words that are shown in hexadecimal.
const MOST_WORDS: usize = 16;

/// Returns the value that the words stand for, much as `{:?}` shows it. Where that is not possible, or the text would be long,
/// returns the words in hexadecimal.
pub(crate) fn show(schema: &Schema, words: &[u64]) -> String {
    let mut printer = Printer { words, out: String::new(), steps: 0 };
    match printer.value(schema, &mut Vec::new()) {
        Some(()) if printer.words.is_empty() => printer.out,
        _ => {
            let shown = &words[..words.len().min(MOST_WORDS)];
            let more = if shown.len() < words.len() {
                format!(" and {} more", words.len() - shown.len())
            } else {
                String::new()
            };
            format!("of the words {shown:x?}{more}")
        }
    }
}

struct Printer<'a> {
    words: &'a [u64],
    out: String,
    steps: u32,
}

impl<'a> Printer<'a> {
    /// Takes the next word.
    fn word(&mut self) -> Option<u64> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(*first)
    }

    fn skip(&mut self, words: Option<u64>) -> Option<()> {
        self.words = self.words.get(usize::try_from(words.unwrap_or(0)).ok()?..)?;
        Some(())
    }

    fn put(&mut self, text: &str) -> Option<()> {
        self.out.push_str(text);
        (self.out.len() <= LONGEST).then_some(())
    }

    /// Shows the next value; `around` are the structs and enums that it stands in, outermost first. Returns `None` if the words
    /// are not those of a value, or the text becomes too long.
    fn value<'s>(&mut self, schema: &'s Schema, around: &mut Vec<&'s Schema>) -> Option<()> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return None;
        }
        match schema {
            Schema::Scalar(scalar) => {
                let low = self.word()?;
                let high = if scalar.packed() == 16 { self.word()? } else { 0 };
                self.put(&number(*scalar, u128::from(high) << 64 | u128::from(low))?)
            }
            Schema::Text => {
                let len = usize::try_from(self.word()?).ok()?;
                let text = String::from_utf8(self.bytes(len)?).ok()?;
                self.put(&format!("{text:?}"))
            }
            Schema::Container(container, of) => self.container(*container, of, schema, around),
            Schema::Array(element, len) => self.elements(element, *len, ["[", "]"], around),
            Schema::Tuple(items) => self.list(items, ["(", if items.len() == 1 { ",)" } else { ")" }], around),
            Schema::Struct(name, fields) => {
                around.push(schema);
                self.put(name)?;
                self.fields(fields, around)?;
                around.pop();
                Some(())
            }
            Schema::Enum(_, variants) => {
                let index = self.word()?;
                let variant = variants.iter().find(|variant| variant.index == index)?;
                around.push(schema);
                self.put(&variant.name)?;
                self.fields(&variant.fields, around)?;
                around.pop();
                Some(())
            }
            Schema::Back(name, skipped) => {
                let is_named = |schema: &Schema| matches!(schema, Schema::Struct(known, _) | Schema::Enum(known, _) if known == name);
                let mut named = (0..around.len()).rev().filter(|index| is_named(around[*index]));
                let index = named.nth(usize::try_from(*skipped).ok()?)?;
                let inside = around.split_off(index);
                self.value(inside[0], around)?;
                around.extend(inside);
                Some(())
            }
        }
    }

    fn container<'s>(
        &mut self,
        container: Container,
        of: &'s [Schema],
        whole: &Schema,
        around: &mut Vec<&'s Schema>,
    ) -> Option<()> {
        match (container, of) {
            (Container::Box, [content]) => self.value(content, around),
            (Container::Extensible, [content]) => {
                self.word()?;
                self.value(content, around)
            }
            (Container::Option, [content]) => match self.word()? {
                0 => {
                    self.skip(content.fixed_words())?;
                    self.put("None")
                }
                1 => self.inside("Some", content, around),
                _ => None,
            },
            (Container::Result, [ok, err]) => {
                let (name, content) = match self.word()? {
                    0 => ("Ok", ok),
                    1 => ("Err", err),
                    _ => return None,
                };
                self.inside(name, content, around)?;
                let full =
                    whole.fixed_words().and_then(|words| words.checked_sub(1)?.checked_sub(content.fixed_words()?));
                self.skip(full)
            }
            (Container::Vec, [element]) => {
                let len = self.word()?;
                self.elements(element, len, ["[", "]"], around)
            }
            (Container::BTreeSet | Container::HashSet, [element]) => {
                let len = self.word()?;
                self.each(len, ["{", "}"], |printer| printer.value(element, around))
            }
            (Container::BTreeMap | Container::HashMap, [key, value]) => {
                let len = self.word()?;
                self.each(len, ["{", "}"], |printer| {
                    printer.value(key, around)?;
                    printer.put(": ")?;
                    printer.value(value, around)
                })
            }
            _ => None,
        }
    }

    fn inside<'s>(&mut self, name: &str, content: &'s Schema, around: &mut Vec<&'s Schema>) -> Option<()> {
        self.put(name)?;
        self.put("(")?;
        self.value(content, around)?;
        self.put(")")
    }

    /// Shows the elements of a sequence or an array: numbers lie packed.
    fn elements<'s>(
        &mut self,
        element: &'s Schema,
        len: u64,
        brackets: [&str; 2],
        around: &mut Vec<&'s Schema>,
    ) -> Option<()> {
        let Schema::Scalar(scalar) = element else {
            return self.each(len, brackets, |printer| printer.value(element, around));
        };
        let bytes = self.bytes(usize::try_from(len).ok()?.checked_mul(scalar.packed())?)?;
        let mut numbers = bytes.chunks_exact(scalar.packed());
        self.each(len, brackets, |printer| printer.put(&number(*scalar, widened(*scalar, numbers.next()?)?)?))
    }

    fn each(&mut self, len: u64, [open, close]: [&str; 2], mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.put(open)?;
        for i in 0..len {
            if i > 0 {
                self.put(", ")?;
            }
            one(self)?;
            // Elements need not take a byte of text or a word.
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return None;
            }
        }
        self.put(close)
    }

    fn list<'s>(&mut self, items: &'s [Schema], brackets: [&str; 2], around: &mut Vec<&'s Schema>) -> Option<()> {
        let mut items_left = items.iter();
        self.each(items.len() as u64, brackets, |printer| printer.value(items_left.next()?, around))
    }

    fn fields<'s>(&mut self, fields: &'s Fields, around: &mut Vec<&'s Schema>) -> Option<()> {
        match fields {
            Fields::Unit => Some(()),
            Fields::Tuple(items) => self.list(items, ["(", ")"], around),
            Fields::Named(fields) => {
                let mut fields_left = fields.iter();
                self.each(fields.len() as u64, [" { ", " }"], |printer| {
                    let field = fields_left.next()?;
                    printer.put(&field.name)?;
                    printer.put(": ")?;
                    printer.value(&field.schema, around)
                })
            }
        }
    }

    /// Takes bytes that lie packed.
    fn bytes(&mut self, len: usize) -> Option<Vec<u8>> {
        let words = self.words.get(..len.div_ceil(8))?;
        self.words = &self.words[words.len()..];
        Some(words.iter().flat_map(|word| word.to_ne_bytes()).take(len).collect())
    }
}

/// Returns the words of a number that lies packed.
fn widened(scalar: Scalar, packed: &[u8]) -> Option<u128> {
    Some(match (scalar, packed) {
        (Scalar::I8, [byte]) => u128::from(i64::from(*byte as i8) as u64),
        (_, [byte]) => u128::from(*byte),
        (Scalar::I16, _) => u128::from(i64::from(i16::from_ne_bytes(packed.try_into().ok()?)) as u64),
        (Scalar::I32, _) => u128::from(i64::from(i32::from_ne_bytes(packed.try_into().ok()?)) as u64),
        (_, [_, _]) => u128::from(u16::from_ne_bytes(packed.try_into().ok()?)),
        (_, [_, _, _, _]) => u128::from(u32::from_ne_bytes(packed.try_into().ok()?)),
        (Scalar::U128 | Scalar::I128, _) => u128::from_ne_bytes(packed.try_into().ok()?),
        _ => u128::from(u64::from_ne_bytes(packed.try_into().ok()?)),
    })
}

/// Returns the text of a number, given its words. Of floats that are no numbers, it shows the bits, which alone distinguish them.
fn number(scalar: Scalar, words: u128) -> Option<String> {
    let word = words as u64;
    Some(match scalar {
        Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 | Scalar::Usize | Scalar::U128 => words.to_string(),
        Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::Isize => (word as i64).to_string(),
        Scalar::I128 => (words as i128).to_string(),
        Scalar::Bool => (word != 0).to_string(),
        Scalar::Char => format!("{:?}", char::from_u32(u32::try_from(word).ok()?)?),
        Scalar::F32 => match f32::from_bits(u32::try_from(word).ok()?) {
            float if float.is_nan() => nan(word),
            float => format!("{float:?}"),
        },
        Scalar::F64 => match f64::from_bits(word) {
            float if float.is_nan() => nan(word),
            float => format!("{float:?}"),
        },
    })
}

fn nan(bits: u64) -> String {
    let mut text = String::from("NaN");
    let _ = write!(text, " of the bits {bits:#x}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataManager, to_words};

    fn shown<T: DataManager>(value: &T) -> String {
        show(&Schema::of_part::<T>(), &to_words(value).unwrap())
    }

    #[test]
    fn values_are_shown_as_people_write_them() {
        assert_eq!(shown(&-0.0f64), "-0.0");
        assert_eq!(shown(&0.0f32), "0.0");
        assert_eq!(shown(&f64::from_bits(0x7ff8_0000_0000_0001)), "NaN of the bits 0x7ff8000000000001");
        assert_eq!(shown(&(-1i8, u128::MAX, -2i128, 'x', true)), format!("(-1, {}, -2, 'x', true)", u128::MAX));
        assert_eq!(shown(&[-1i16, 2, -3, 4, -5]), "[-1, 2, -3, 4, -5]");
        assert_eq!(shown(&vec![Some("a".to_owned()), None]), "[Some(\"a\"), None]");
        assert_eq!(shown(&(Some((1u8, 2u8)), None::<(u8, u8)>, 3u8)), "(Some((1, 2)), None, 3)");
        assert_eq!(shown(&(Ok::<u8, (u8, u8)>(1), Err::<u8, (u8, u8)>((2, 3)))), "(Ok(1), Err((2, 3)))");
        assert_eq!(shown(&std::collections::BTreeMap::from([(1u8, "one".to_owned())])), "{1: \"one\"}");
        assert_eq!(shown(&Box::new(7u64)), "7");
        let tree: Schema = "Tree { value: u64, children: Vec<^Tree> }".parse().unwrap();
        assert_eq!(show(&tree, &[1, 1, 2, 0]), "Tree { value: 1, children: [Tree { value: 2, children: [] }] }");
        let state: Schema = "enum State { Idle, Busy(u32), Failed { why: String } }".parse().unwrap();
        assert_eq!(show(&state, &[0]), "Idle");
        assert_eq!(show(&state, &[1, 7]), "Busy(7)");
    }

    #[test]
    fn what_cannot_be_shown_is_shown_in_words() {
        assert_eq!(show(&Schema::Text, &[9]), "of the words [9]");
        assert_eq!(show(&Schema::of::<u8>(), &[1, 2]), "of the words [1, 2]");
        assert_eq!(show(&Schema::of::<Vec<()>>(), &[u64::MAX]), "of the words [ffffffffffffffff]");
        assert_eq!(shown(&vec![1000u64; 100]).split(']').nth(1), Some(" and 85 more"));
        let endless: Schema = "A(^A)".parse().unwrap();
        assert_eq!(show(&endless, &[]), "of the words []");
    }
}

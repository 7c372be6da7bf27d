//! The number of words of a type's values, by its description alone.

use super::{Container, Field, Fields, Schema, Variant};
use crate::data::{DataError, Decoder};

/// The deepest nesting of types, so that no value exhausts the stack.
const MOST_STEPS: u32 = 1024;
const TOO_MANY_STEPS: DataError = DataError::new("a value", "types nested too deep");
const NOWHERE: DataError = DataError::new("a value", "its schema refers to a type that is not there");

/// Reads past a row, and returns how many of its words a newer type has added: the last ones. Of types that cannot gain fields,
/// none are.
pub(crate) fn skip_row(value: &Schema, input: &mut Decoder<'_>) -> Result<usize, DataError> {
    match value {
        Schema::Struct(_, Fields::Named(fields)) => {
            skip_known(value, fields, input)?;
            let tail = input.remaining();
            input.skip(tail).map(|()| tail)
        }
        Schema::Struct(_, Fields::Unit) => {
            let tail = input.remaining();
            input.skip(tail).map(|()| tail)
        }
        Schema::Container(Container::Extensible, of) => {
            let around = input.narrow()?;
            let tail = match of.as_slice() {
                [value @ Schema::Struct(_, Fields::Named(fields))] => {
                    skip_known(value, fields, input)?;
                    input.remaining()
                }
                [Schema::Struct(_, Fields::Unit)] => input.remaining(),
                _ => 0,
            };
            input.widen(around);
            input.finish().map(|()| tail)
        }
        _ => {
            skip(value, None, 0, input)?;
            input.finish().map(|()| 0)
        }
    }
}

/// Returns the words of a row without those that a newer type has added.
pub(crate) fn known_words(value: &Schema, words: &[u64]) -> Vec<u64> {
    let tail = if has_length(value) { skip_row(value, &mut Decoder::from_words(words)).unwrap_or(0) } else { 0 };
    let mut known = words[..words.len() - tail].to_vec();
    if tail > 0 {
        known[0] = known.len() as u64 - 1;
    }
    known
}

/// Returns whether the first word of a row is the number of the others.
pub(crate) fn has_length(value: &Schema) -> bool {
    matches!(value, Schema::Container(Container::Extensible, _))
}

/// Reads past the fields that a row has of those of its type.
fn skip_known(value: &Schema, fields: &[Field], input: &mut Decoder<'_>) -> Done {
    let around = Around { schema: value, outer: None };
    for field in fields {
        // A row may be older than the field.
        if input.remaining() == 0 {
            break;
        }
        skip(&field.schema, Some(&around), 0, input)?;
    }
    Ok(())
}

/// The structs and enums around a type, innermost first.
#[derive(Clone, Copy)]
struct Around<'a> {
    schema: &'a Schema,
    outer: Option<&'a Around<'a>>,
}

type Outer<'a> = Option<&'a Around<'a>>;
type Done = Result<(), DataError>;

/// Reads past a value. Each kind has a function of its own, with plain loops, to keep the stack frames small.
fn skip(schema: &Schema, around: Outer<'_>, steps: u32, input: &mut Decoder<'_>) -> Done {
    if steps == MOST_STEPS {
        return Err(TOO_MANY_STEPS);
    }
    if let Some(words) = schema.fixed_words() {
        return input.skip(usize::try_from(words).unwrap_or(usize::MAX));
    }
    let steps = steps + 1;
    match schema {
        Schema::Scalar(_) => Ok(()),
        Schema::Text => skip_text(input),
        Schema::Container(Container::Vec, of) => skip_sequence(of, around, steps, input),
        Schema::Container(Container::Extensible, _) => {
            let words = input.take_len()?;
            input.skip(words)
        }
        Schema::Container(Container::Box, of) => skip_all(of, around, steps, input),
        Schema::Container(Container::Option | Container::Result, of) => skip_chosen(of, around, steps, input),
        Schema::Container(_, of) => skip_entries(of, around, steps, input),
        Schema::Array(element, len) => skip_elements(element, *len, around, steps, input),
        Schema::Tuple(items) => skip_all(items, around, steps, input),
        Schema::Struct(_, fields) => skip_fields(fields, &Around { schema, outer: around }, steps, input),
        Schema::Enum(_, variants) => skip_variant(variants, &Around { schema, outer: around }, steps, input),
        Schema::Back(name, skipped) => match target(name, *skipped, around) {
            Some(target) => skip(target.schema, target.outer, steps, input),
            None => Err(NOWHERE),
        },
    }
}

fn target<'a>(name: &str, skipped: u32, around: Outer<'a>) -> Option<&'a Around<'a>> {
    let is_named = |around: &&Around<'_>| match around.schema {
        Schema::Struct(known, _) | Schema::Enum(known, _) => known == name,
        _ => false,
    };
    std::iter::successors(around, |around| around.outer).filter(is_named).nth(skipped as usize)
}

fn skip_text(input: &mut Decoder<'_>) -> Done {
    let bytes = input.take_len()?;
    input.skip(bytes.div_ceil(8))
}

fn skip_all(items: &[Schema], around: Outer<'_>, steps: u32, input: &mut Decoder<'_>) -> Done {
    for item in items {
        skip(item, around, steps, input)?;
    }
    Ok(())
}

fn skip_fields(fields: &Fields, around: &Around<'_>, steps: u32, input: &mut Decoder<'_>) -> Done {
    for field in fields.schemas() {
        skip(field, Some(around), steps, input)?;
    }
    Ok(())
}

fn skip_variant(variants: &[Variant], around: &Around<'_>, steps: u32, input: &mut Decoder<'_>) -> Done {
    let index = input.get()?;
    match variants.iter().find(|variant| variant.index == index) {
        Some(variant) => skip_fields(&variant.fields, around, steps, input),
        None => Err(DataError::new("an enum", "no variant has the stored index; a newer program may have added it")),
    }
}

/// Reads past an option or a result of variable length.
fn skip_chosen(of: &[Schema], around: Outer<'_>, steps: u32, input: &mut Decoder<'_>) -> Done {
    let which = match (of, input.get()?) {
        ([_], 0) => return Ok(()),
        ([content], 1) | ([content, _], 0) | ([_, content], 1) => content,
        _ => return Err(DataError::new("an option or a result", "neither of both")),
    };
    skip(which, around, steps, input)
}

fn skip_sequence(of: &[Schema], around: Outer<'_>, steps: u32, input: &mut Decoder<'_>) -> Done {
    let len = input.get()?;
    match of {
        [element] => skip_elements(element, len, around, steps, input),
        _ => Err(NOWHERE),
    }
}

/// Reads past the elements of a sequence or an array: numbers lie packed there.
fn skip_elements(element: &Schema, len: u64, around: Outer<'_>, steps: u32, input: &mut Decoder<'_>) -> Done {
    let words = match element {
        Schema::Scalar(scalar) => Some(len.saturating_mul(scalar.packed() as u64).div_ceil(8)),
        element => element.fixed_words().map(|words| words.saturating_mul(len)),
    };
    match words {
        Some(words) => input.skip(usize::try_from(words).unwrap_or(usize::MAX)),
        None => skip_many(std::slice::from_ref(element), len, around, steps, input),
    }
}

/// Reads past the entries of a set or a map.
fn skip_entries(of: &[Schema], around: Outer<'_>, steps: u32, input: &mut Decoder<'_>) -> Done {
    let len = input.get()?;
    skip_many(of, len, around, steps, input)
}

fn skip_many(items: &[Schema], len: u64, around: Outer<'_>, steps: u32, input: &mut Decoder<'_>) -> Done {
    for _ in 0..len {
        let before = input.remaining();
        skip_all(items, around, steps, input)?;
        // Where one takes no words, none does.
        if input.remaining() == before {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashMap};
    use std::net::IpAddr;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::data::{DataManager, to_words};

    #[derive(netshm_derive::ShmData)]
    #[shm(crate = crate)]
    enum Tree {
        Leaf(u8),
        Node { left: Box<Tree>, right: Option<Box<Tree>>, marks: Vec<u16> },
        Nothing,
    }

    #[derive(netshm_derive::ShmData)]
    #[shm(crate = crate)]
    struct Row<T> {
        first: T,
        again: Vec<T>,
        last: u64,
    }

    /// Checks that the row ends where its words end, whatever follows, and at each field of which it lacks the rest.
    #[track_caller]
    fn measured<T: DataManager>(value: Row<T>) {
        let schema = Schema::of::<Row<T>>();
        let words = to_words(&value).unwrap();
        for tail in [vec![], vec![0], vec![1, 2, u64::MAX]] {
            let all: Vec<_> = words.iter().chain(&tail).copied().collect();
            assert_eq!(skip_row(&schema, &mut Decoder::from_words(&all)), Ok(tail.len()), "{schema}");
            let extensible = Schema::Container(Container::Extensible, vec![schema.clone()]);
            let all: Vec<_> = [all.len() as u64].into_iter().chain(all).collect();
            assert_eq!(skip_row(&extensible, &mut Decoder::from_words(&all)), Ok(tail.len()), "{schema}");
        }
        let first = to_words(&value.first).unwrap();
        assert_eq!(skip_row(&schema, &mut Decoder::from_words(&first)), Ok(0));
    }

    fn rows<T: DataManager>(make: impl Fn() -> T) {
        measured(Row { first: make(), again: vec![], last: 1 });
        measured(Row { first: make(), again: vec![make(), make()], last: 1 });
    }

    #[test]
    fn values_of_all_kinds_are_measured() {
        rows(|| 7u8);
        rows(|| 7u128);
        rows(|| "a text of some length".to_owned());
        rows(|| [3u16; 5]);
        rows(|| vec![3i32; 5]);
        rows(|| [Some(1u8), None]);
        rows(|| Some("a".to_owned()));
        rows(|| None::<String>);
        rows(|| None::<(u8, [u64; 2])>);
        rows(|| Ok::<u8, (u8, u8)>(1));
        rows(|| Err::<String, u8>(1));
        rows(|| BTreeMap::from([(1u8, "one".to_owned()), (2, String::new())]));
        rows(|| HashMap::from([((1u8, 'x'), vec![true, false])]));
        rows(|| BTreeSet::from([1u8, 2, 3]));
        rows(|| Box::new(()));
        rows(|| vec![Box::new(()); 3]);
        rows(|| (PathBuf::from("/a/b/c"), Duration::from_secs(1), IpAddr::from([1, 2, 3, 4])));
        rows(|| Tree::Node {
            left: Box::new(Tree::Leaf(1)),
            right: Some(Box::new(Tree::Node { left: Box::new(Tree::Nothing), right: None, marks: vec![1, 2, 3] })),
            marks: vec![0; 9],
        });
    }

    #[test]
    fn words_that_are_no_value_end() {
        let schema: Schema = "A { x: Vec<Box<()>>, y: Vec<String>, z: Option<^A> }".parse().unwrap();
        for words in [vec![u64::MAX], vec![0, u64::MAX], vec![0, 1, u64::MAX], vec![0, 0, 7], [0, 0, 1].repeat(5000)] {
            let mut input = Decoder::from_words(&words);
            assert!(skip_row(&schema, &mut input).is_err() || words.len() == 1, "{words:?}");
        }
        let nowhere: Schema = "A { x: Vec<^B> }".parse().unwrap();
        assert!(skip_row(&nowhere, &mut Decoder::from_words(&[1, 1])).is_err());
    }
}

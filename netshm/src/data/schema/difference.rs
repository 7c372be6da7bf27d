//! The first difference between two schemas, and what could have been done about it.

use super::evolution::{is_inside_without_length, refers_to_itself};
use super::{Container, Field, Fields, ObjectSchema, Schema, Variant};

/// Characters shown on either side of the difference of two texts that are no schemas.
const AROUND: usize = 24;
/// The longest schema that is shown whole, in characters.
const SHORT: usize = 110;
/// Characters shown of the type of a field.
const LONGEST_TYPE: usize = 48;

/// Describes the first difference of a stored schema and that of a program: a part of both, with a mark under it; the path that leads
/// there; and what would have allowed it.
pub(crate) fn difference(stored: &str, expected: &ObjectSchema) -> String {
    let text = expected.to_string();
    let found = stored.parse().ok().and_then(|old| between_objects(expected, &old));
    let is_short = [stored, &text].iter().all(|text| text.chars().count() <= SHORT);
    let shown = match &found {
        Some(Found { shown: Some([old, new]), .. }) if !is_short => marked(old, new, SHORT),
        _ => marked(stored, &text, if is_short { SHORT } else { AROUND }),
    };
    let Some(Found { path, advice, .. }) = found else { return shown };
    let is_whole = path.starts_with('(') && path.ends_with(')') && path.matches('(').count() == 1;
    match advice {
        // There is nothing to lead to.
        None if is_whole => format!("{shown}\n    help:     {OTHER_OBJECT}"),
        advice => format!("{shown}\n    at:       {path}\n    help:     {}", advice.as_deref().unwrap_or(OTHER_TYPE)),
    }
}

/// Shows the surroundings of the first difference of two texts, with a mark under it.
fn marked(stored: &str, expected: &str, around: usize) -> String {
    let same = stored.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    // Begin with the word that differs, not within it.
    let start_of_word = stored
        .chars()
        .take(same)
        .enumerate()
        .filter(|(_, c)| !c.is_alphanumeric() && *c != '_')
        .last()
        .map_or(0, |(i, _)| i + 1);
    let from = start_of_word.saturating_sub(around);
    let excerpt = |text: &str| {
        let mut shown = String::from(if from > 0 { "…" } else { "" });
        shown.extend(text.chars().skip(from).take(start_of_word - from + around));
        if text.chars().count() > start_of_word + around {
            shown.push('…');
        }
        shown
    };
    let indent = start_of_word - from + usize::from(from > 0);
    format!("\n    stored:   {}\n    expected: {}\n              {:indent$}^", excerpt(stored), excerpt(expected), "",)
}

/// A difference.
struct Found {
    /// Leads to it from the outermost type.
    path: String,
    /// The struct or enum around it, with a few fields, of both types.
    shown: Option<[String; 2]>,
    advice: Option<String>,
}

impl Found {
    fn at(path: &str, advice: Option<String>) -> Option<Found> {
        Some(Found { path: path.to_owned(), shown: None, advice })
    }
}

/// What is said of differences that nothing would have allowed.
const OTHER_TYPE: &str = "what is stored keeps its type, unless `migrate_from` rewrites the object; a field of the new type can be \
                          added at the end of the outermost struct";
const OTHER_OBJECT: &str = "use it as the stored type, use another object, or rewrite it with `migrate_from`";
const KEYS: &str = "keys never grow; `migrate_from` rewrites the object";
const OTHER_VARIANT: &str = "the fields of a variant stay as they are; add a variant at the end that has the new ones";

fn between_objects(new: &ObjectSchema, old: &ObjectSchema) -> Option<Found> {
    match (new, old) {
        (ObjectSchema::HashTable { key, value }, ObjectSchema::HashTable { key: old_key, value: old_value }) => {
            between(key, old_key, &start(key, "key"), Place::Key)
                .or_else(|| between(value, old_value, &start(value, "value"), row(old_value)))
        }
        (ObjectSchema::Array { element }, ObjectSchema::Array { element: old_element }) => {
            between(element, old_element, &start(element, "element"), Place::Inside)
        }
        _ => None,
    }
}

/// Returns where the outermost type of a table's values stands.
fn row(old: &Schema) -> Place {
    if matches!(old, Schema::Struct(..)) && refers_to_itself(old) { Place::Itself } else { Place::Row }
}

/// Returns the beginning of a path.
fn start(schema: &Schema, otherwise: &str) -> String {
    match schema {
        Schema::Struct(name, _) | Schema::Enum(name, _) => name.clone(),
        Schema::Container(Container::Extensible, of) if of.len() == 1 => start(&of[0], otherwise),
        _ => format!("({otherwise})"),
    }
}

/// Position of a type, which decides whether it can grow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    /// The outermost type of a table's values, or one that is marked.
    Row,
    Inside,
    /// The outermost type of a table's values, if it stands inside itself as well.
    Itself,
    /// The fields of a variant.
    Variant,
}

fn between(new: &Schema, old: &Schema, path: &str, place: Place) -> Option<Found> {
    let inside = if place == Place::Key { Place::Key } else { Place::Inside };
    match (new, old) {
        (Schema::Container(Container::Extensible, new), Schema::Container(Container::Extensible, old)) => {
            new.iter().zip(old).find_map(|(new, old)| {
                let marked = match place {
                    Place::Key => Place::Key,
                    _ if is_inside_without_length(old) => Place::Itself,
                    _ => Place::Row,
                };
                between(new, old, path, marked)
            })
        }
        (Schema::Container(Container::Extensible, of), old) if of.len() == 1 && is_called_as(&of[0], old) => Found::at(
            path,
            Some(
                "a type that is `extensible` is stored with its length, so it must be so from the start; `migrate_from` rewrites \
                 the object"
                    .to_owned(),
            ),
        ),
        (new, Schema::Container(Container::Extensible, of)) if of.len() == 1 && is_called_as(&of[0], new) => Found::at(
            path,
            Some("the stored type is marked with `#[shm(extensible)]`; mark this one as well".to_owned()),
        ),
        (Schema::Container(container, new), Schema::Container(old_container, old)) if container == old_container => {
            let steps: [&str; 2] = match container {
                Container::Vec | Container::BTreeSet | Container::HashSet => ["[]", ""],
                Container::BTreeMap | Container::HashMap => ["[key]", "[]"],
                Container::Option => ["?", ""],
                Container::Result => ["(Ok)", "(Err)"],
                Container::Box | Container::Extensible => ["", ""],
            };
            let keys = usize::from(matches!(
                container,
                Container::BTreeMap | Container::HashMap | Container::BTreeSet | Container::HashSet
            ));
            new.iter().zip(old).zip(steps).enumerate().find_map(|(i, ((new, old), step))| {
                between(new, old, &format!("{path}{step}"), if i < keys { Place::Key } else { inside })
            })
        }
        (Schema::Array(new, len), Schema::Array(old, old_len)) if len == old_len => {
            between(new, old, &format!("{path}[]"), inside)
        }
        (Schema::Tuple(new), Schema::Tuple(old)) if new.len() == old.len() => items(new, old, path, inside),
        (Schema::Struct(name, new), Schema::Struct(old_name, old)) if name == old_name => {
            fields(name, new, old, path, place)
        }
        (Schema::Enum(name, new), Schema::Enum(old_name, old)) if name == old_name => {
            variants(name, new, old, path, place)
        }
        (Schema::Struct(_, new), Schema::Struct(old_name, old)) if new == old => renamed(path, old_name),
        (Schema::Enum(_, new), Schema::Enum(old_name, old)) if new == old => renamed(path, old_name),
        (new, old) if new == old => None,
        _ => Found::at(path, None),
    }
}

/// Returns whether both are structs or enums of one name.
fn is_called_as(one: &Schema, other: &Schema) -> bool {
    match (one, other) {
        (Schema::Struct(name, _), Schema::Struct(other, _)) | (Schema::Enum(name, _), Schema::Enum(other, _)) => {
            name == other
        }
        _ => false,
    }
}

fn renamed(path: &str, old: &str) -> Option<Found> {
    Found::at(path, Some(format!("if it is the same type, write `#[shm(rename = {old:?})]`")))
}

fn items(new: &[Schema], old: &[Schema], path: &str, place: Place) -> Option<Found> {
    new.iter().zip(old).enumerate().find_map(|(i, (new, old))| between(new, old, &format!("{path}.{i}"), place))
}

fn fields(name: &str, new: &Fields, old: &Fields, path: &str, place: Place) -> Option<Found> {
    let inside = if place == Place::Key { Place::Key } else { Place::Inside };
    let (new, old): (&[Field], &[Field]) = match (new, old) {
        (Fields::Tuple(new), Fields::Tuple(old)) if new.len() == old.len() => return items(new, old, path, inside),
        (Fields::Named(new), Fields::Named(old)) => (new, old),
        (Fields::Named(new), Fields::Unit) => (new, &[]),
        (Fields::Unit, Fields::Named(old)) => (&[], old),
        (Fields::Unit, Fields::Unit) => return None,
        _ => {
            let advice = match place {
                Place::Key => KEYS,
                Place::Variant => OTHER_VARIANT,
                _ => "only structs with named fields can gain fields, and those that have named fields keep them",
            };
            return Found::at(path, Some(advice.to_owned()));
        }
    };
    for index in 0..new.len().max(old.len()) {
        let found = match (new.get(index), old.get(index)) {
            (Some(new), Some(old)) if new.name == old.name => {
                let path = format!("{path}.{}", new.name);
                if old.is_added && !new.has_default && !new.is_added {
                    let advice = format!(
                        "`{}` was added later, so there are values without it: it needs `#[shm(default)]` in every version",
                        new.name
                    );
                    Found::at(&path, Some(advice))
                } else {
                    between(&new.schema, &old.schema, &path, inside)
                }
            }
            (here, there) => other_field(here, there, [new, old], path, place),
        };
        if let Some(mut found) = found {
            let around = |fields: &[Field]| excerpt(name, fields, index);
            found.shown.get_or_insert_with(|| [around(old), around(new)]);
            return Some(found);
        }
    }
    None
}

/// Fields of different names, or one only.
fn other_field(
    new: Option<&Field>,
    old: Option<&Field>,
    [all_new, all_old]: [&[Field]; 2],
    path: &str,
    place: Place,
) -> Option<Found> {
    let has = |fields: &[Field], name: &str| fields.iter().any(|field| field.name == name);
    let (name, advice) = match (new, old) {
        (Some(new), None) => {
            if place == Place::Row && (new.has_default || new.is_added) {
                // Allowed by itself.
                return None;
            }
            let advice = match place {
                Place::Key => KEYS.to_owned(),
                Place::Row => format!("`#[shm(default)]` on `{}` would allow it", new.name),
                Place::Variant => OTHER_VARIANT.to_owned(),
                Place::Itself => {
                    "a struct that stands inside itself can gain fields if it is marked with `#[shm(extensible)]` from the start; \
                     `migrate_from` rewrites the object"
                        .to_owned()
                }
                Place::Inside => {
                    "a type inside another can gain fields if it is marked with `#[shm(extensible)]` from the \
                     start; a field at the end of the outermost struct can always be added; `migrate_from` rewrites the object"
                        .to_owned()
                }
            };
            (&new.name, advice)
        }
        (None, Some(old)) if (old.is_added || old.has_default) && place == Place::Row => return None,
        (None, Some(old)) => {
            let advice = format!(
                "`{}` is in all stored values, so every program needs it, unless the program that created the object has a default \
                 for it: `#[shm(default)]`",
                old.name
            );
            (&old.name, advice)
        }
        (Some(new), Some(old)) if old.is_added && !has(all_new, &old.name) && new.has_default => {
            (&new.name, format!("another program has added `{}` first; add `{}` after it", old.name, new.name))
        }
        (Some(new), Some(old)) if new.schema == old.schema && !has(all_new, &old.name) && !has(all_old, &new.name) => {
            (&new.name, format!("if it is the same field, write `#[shm(rename = {:?})]`", old.name))
        }
        (Some(new), Some(old)) if !has(all_new, &old.name) => {
            (&old.name, format!("a field cannot be removed; keep `{}`, and add `{}` at the end", old.name, new.name))
        }
        (Some(new), Some(_)) if !has(all_old, &new.name) => {
            (&new.name, format!("new fields come at the end, with `#[shm(default)]`; move `{}` there", new.name))
        }
        (Some(new), Some(old)) => (&new.name, format!("fields keep their order; move `{}` before it", old.name)),
        (None, None) => return None,
    };
    Found::at(&format!("{path}.{name}"), Some(advice))
}

fn variants(name: &str, new: &[Variant], old: &[Variant], path: &str, place: Place) -> Option<Found> {
    let (all_new, all_old) = (new, old);
    for index in 0..new.len().max(old.len()) {
        let (path, advice) = match (new.get(index), old.get(index)) {
            (Some(new), Some(old)) if (&new.name, new.index) == (&old.name, old.index) => {
                let inside = if place == Place::Key { Place::Key } else { Place::Variant };
                match fields(&new.name, &new.fields, &old.fields, &format!("{path}::{}", new.name), inside) {
                    Some(found) => return Some(found),
                    None => continue,
                }
            }
            (Some(_), None) | (None, Some(_)) if matches!(place, Place::Row | Place::Itself) => return None,
            (Some(new), Some(old)) if new.name == old.name => (
                format!("{path}::{}", new.name),
                Some(format!("it is stored as {}; write `#[shm(index = {})]`", old.index, old.index)),
            ),
            (Some(new), Some(old))
                if new.fields == old.fields
                    && new.index == old.index
                    && !all_new.iter().any(|other| other.name == old.name)
                    && !all_old.iter().any(|other| other.name == new.name) =>
            {
                (
                    format!("{path}::{}", new.name),
                    Some(format!("if it is the same variant, write `#[shm(rename = {:?})]`", old.name)),
                )
            }
            (Some(new), Some(_)) => (
                format!("{path}::{}", new.name),
                Some("variants keep their order, and new ones come at the end".to_owned()),
            ),
            (Some(Variant { name, .. }), None) | (None, Some(Variant { name, .. })) => {
                let advice = match place {
                    Place::Key => KEYS,
                    _ => {
                        "an enum inside another type can gain variants if it is marked with `#[shm(extensible)]` from the start; \
                         `migrate_from` rewrites the object"
                    }
                };
                (format!("{path}::{name}"), Some(advice.to_owned()))
            }
            (None, None) => return None,
        };
        let around = |variants: &[Variant]| {
            let names = variants.iter().skip(index.saturating_sub(1)).take(3).map(|variant| variant.name.as_str());
            format!("enum {name} {{ .., {}, .. }}", names.collect::<Vec<_>>().join(", "))
        };
        return Some(Found { path, shown: Some([around(old), around(new)]), advice });
    }
    None
}

/// Shows a struct with the field at `index` and those beside it.
fn excerpt(name: &str, fields: &[Field], index: usize) -> String {
    let mut shown = Vec::new();
    if index > 1 {
        shown.push("..".to_owned());
    }
    for field in fields.iter().skip(index.saturating_sub(1)).take(if index > 0 { 3 } else { 2 }) {
        let text = field.schema.to_string();
        let short: String = text.chars().take(LONGEST_TYPE).collect();
        let dots = if short.len() < text.len() { "…" } else { "" };
        shown.push(format!("{}{}: {short}{dots}", field.name, if field.is_added { "?" } else { "" }));
    }
    if index + 2 < fields.len() {
        shown.push("..".to_owned());
    }
    format!("{name} {{ {} }}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the path and the advice; `with_default` are fields of the program's type that have a default.
    #[track_caller]
    fn differs(stored: &str, expected: &str, with_default: &[&str]) -> (String, String) {
        fn set_defaults(schema: &mut Schema, names: &[&str]) {
            match schema {
                Schema::Struct(_, Fields::Named(fields)) => {
                    for field in fields {
                        field.has_default = names.contains(&field.name.as_str());
                        set_defaults(&mut field.schema, names);
                    }
                }
                Schema::Container(_, of) => of.iter_mut().for_each(|schema| set_defaults(schema, names)),
                _ => {}
            }
        }
        let mut expected: ObjectSchema = format!("HashTable<u8, {expected}>").parse().unwrap();
        if let ObjectSchema::HashTable { value, .. } = &mut expected {
            set_defaults(value, with_default);
        }
        let found = between_objects(&expected, &format!("HashTable<u8, {stored}>").parse().unwrap()).unwrap();
        (found.path, found.advice.unwrap_or_default())
    }

    #[test]
    fn the_path_leads_to_the_difference() {
        let path = |stored: &str, expected: &str| differs(stored, expected, &[]).0;
        let row =
            |zip: &str| format!("Row {{ name: String, addresses: Vec<Address {{ street: String, zip: {zip} }}> }}");
        assert_eq!(path(&row("u32"), &row("u64")), "Row.addresses[].zip");
        assert_eq!(path("u8", "u16"), "(value)");
        assert_eq!(path("(u8, Option<[A { x: u8 }; 2]>)", "(u8, Option<[A { x: u16 }; 2]>)"), "(value).1?[].x");
        assert_eq!(path("BTreeMap<u8, u8>", "BTreeMap<u8, Option<u8>>"), "(value)[]");
        assert_eq!(path("enum E { A, B(u8) }", "enum E { A, B(u16) }"), "E::B.0");
        assert_eq!(path("Result<u8, String>", "Result<u8, u8>"), "(value)(Err)");
    }

    #[test]
    fn advice_says_what_would_have_allowed_it() {
        let advice = |stored: &str, expected: &str, with_default: &[&str], words: &str| {
            let (path, advice) = differs(stored, expected, with_default);
            assert!(advice.contains(words), "{path}: {advice}");
        };
        advice("A { x: u8 }", "A { x: u8, y: u8 }", &[], "`#[shm(default)]` on `y`");
        advice("A { x: u8, y?: u8 }", "A { x: u8, y: u8 }", &[], "there are values without it");
        advice("A { x: u8, y?: u8 }", "A { x: u8, z: u16 }", &["z"], "another program has added `y` first");
        advice("A { x: u8 }", "A { z: u8 }", &[], "rename = \"x\"");
        advice("B { x: u8 }", "A { x: u8 }", &[], "rename = \"B\"");
        advice("A { x: u8, y: u16 }", "A { y: u16 }", &[], "cannot be removed; keep `x`");
        advice("A { y: u16 }", "A { x: u8, y: u16 }", &[], "come at the end");
        advice("A { x: u8, y: u16 }", "A { y: u16, x: u8 }", &[], "keep their order");
        advice("A { x: u8, y: u16 }", "A { x: u8 }", &[], "every program needs it");
        advice("Vec<A { x: u8 }>", "Vec<A { x: u8, y: u8 }>", &["y"], "`#[shm(extensible)]` from the start");
        advice("Vec<A { x: u8 }>", "Vec<Extensible<A { x: u8 }>>", &[], "from the start");
        advice("Vec<Extensible<A { x: u8 }>>", "Vec<A { x: u8 }>", &[], "mark this one as well");
        advice("Vec<Extensible<A { x: u8 }>>", "Vec<Extensible<A { x: u8, y: u8 }>>", &[], "on `y` would allow it");
        advice("enum E { A, B }", "enum E { A, C, B }", &[], "new ones come at the end");
        advice("enum E { A, B }", "enum E { A, C }", &[], "rename = \"B\"");
        advice("enum E { A, 5: B }", "enum E { A, B }", &[], "index = 5");
        advice("Vec<enum E { A }>", "Vec<enum E { A, B }>", &[], "`#[shm(extensible)]` from the start");
        let (path, advice) = differs("BTreeMap<A { x: u8 }, u8>", "BTreeMap<A { x: u8, y: u8 }, u8>", &["y"]);
        assert_eq!((path.as_str(), advice.as_str()), ("(value)[key].y", KEYS));
    }

    #[test]
    fn long_types_are_shown_in_part() {
        let row = |of: &str| {
            let fields: Vec<_> =
                (0..200).map(|i| format!("field{i}: {}", if i == 117 { of } else { "String" })).collect();
            format!("HashTable<u8, Row {{ {} }}>", fields.join(", "))
        };
        assert_eq!(
            difference(&row("u8"), &row("u16").parse().unwrap()),
            "\n    stored:   Row { .., field116: String, field117: u8, field118: String, .. }\
             \n    expected: Row { .., field116: String, field117: u16, field118: String, .. }\
             \n                                                    ^\
             \n    at:       Row.field117\
             \n    help:     what is stored keeps its type, unless `migrate_from` rewrites the object; a field of the new type can \
             be added at the end of the outermost struct"
        );
    }

    #[test]
    fn the_first_word_that_differs_is_marked() {
        assert_eq!(
            marked("HashTable<String, Session { user: u64 }>", "HashTable<String, Session { user: u32 }>", AROUND),
            "\n    stored:   …String, Session { user: u64 }>\
             \n    expected: …String, Session { user: u32 }>\
             \n                                       ^"
        );
        assert_eq!(marked("u64", "i64", AROUND), "\n    stored:   u64\n    expected: i64\n              ^");
    }
}

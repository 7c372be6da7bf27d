//! Descriptions of types: what is stored in an object, and compared when somebody opens it.

mod builder;
mod difference;
mod evolution;
mod measure;
mod parse;
mod show;
mod text;

use std::fmt;

pub use builder::{Items, Members, Types, Variants};
pub(crate) use difference::difference;
pub(crate) use evolution::{Relation, relation};
pub(crate) use measure::{has_length, known_words, skip_row};
pub use parse::ParseSchemaError;
pub(crate) use show::show;

use super::DataManager;

/// The description of a stored type as a tree. Its text is what an object says of itself.
///
/// ```
/// use netshm::data::Schema;
///
/// let schema = Schema::of::<(u32, Vec<String>)>();
/// assert_eq!(schema.to_string(), "(u32, Vec<String>)");
/// assert_eq!("(u32, Vec<String>)".parse::<Schema>()?, schema);
/// # Ok::<(), netshm::data::ParseSchemaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schema {
    /// A number, `bool` or `char`.
    Scalar(Scalar),
    /// Text in UTF-8, `String`.
    Text,
    /// A container of the standard library and what it contains.
    Container(Container, Vec<Schema>),
    /// `[T; N]`, with the number of elements.
    Array(Box<Schema>, u64),
    /// A tuple; the empty one is `()`.
    Tuple(Vec<Schema>),
    /// A struct: its name and fields.
    Struct(String, Fields),
    /// An enum: its name and variants.
    Enum(String, Vec<Variant>),
    /// Back reference to an enclosing struct or enum: its name, and how many enclosing types of that name to skip.
    Back(String, u32),
}

/// The types whose values are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Scalar {
    U8,
    U16,
    U32,
    U64,
    U128,
    Usize,
    I8,
    I16,
    I32,
    I64,
    I128,
    Isize,
    Bool,
    Char,
    F32,
    F64,
}

/// The containers of the standard library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Container {
    /// A sequence with its length: also `VecDeque<T>`, `Box<[T]>`.
    Vec,
    Option,
    Result,
    BTreeMap,
    BTreeSet,
    HashMap,
    HashSet,
    /// A `Box` of a fixed-size type. The box counts as variable-size, so enclosing options and results are not padded.
    /// Other boxes are described as their content.
    Box,
    /// A struct or an enum with the number of its words in front, so that it can gain fields or variants: `#[shm(extensible)]`.
    Extensible,
}

/// The fields of a struct or of a variant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fields {
    /// None.
    Unit,
    /// Fields without names.
    Tuple(Vec<Schema>),
    /// Fields with names.
    Named(Vec<Field>),
}

/// A field with a name.
#[derive(Debug, Clone, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub schema: Schema,
    /// True if values without it are read with a default. The text has a `= ..` behind the type then; in an object that is so as long
    /// as all programs that have written can read values without the field, and there are none yet.
    pub has_default: bool,
    /// True if the outermost struct of a table's values got this field after rows had been written, so that there may be rows
    /// without it: then the text in the object has a `?` behind the name, and the field needs a default in every program.
    pub is_added: bool,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.schema == other.schema && self.is_added == other.is_added
    }
}

impl std::hash::Hash for Field {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, &self.schema, self.is_added).hash(state);
    }
}

/// A variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The number that is stored.
    pub index: u64,
    /// Its name.
    pub name: String,
    /// Its fields.
    pub fields: Fields,
}

impl Scalar {
    const ALL: [Scalar; 16] = [
        Scalar::U8,
        Scalar::U16,
        Scalar::U32,
        Scalar::U64,
        Scalar::U128,
        Scalar::Usize,
        Scalar::I8,
        Scalar::I16,
        Scalar::I32,
        Scalar::I64,
        Scalar::I128,
        Scalar::Isize,
        Scalar::Bool,
        Scalar::Char,
        Scalar::F32,
        Scalar::F64,
    ];

    /// Returns the name in Rust.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::U8 => "u8",
            Scalar::U16 => "u16",
            Scalar::U32 => "u32",
            Scalar::U64 => "u64",
            Scalar::U128 => "u128",
            Scalar::Usize => "usize",
            Scalar::I8 => "i8",
            Scalar::I16 => "i16",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::I128 => "i128",
            Scalar::Isize => "isize",
            Scalar::Bool => "bool",
            Scalar::Char => "char",
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
        }
    }

    /// Returns the number of bytes of an element in a sequence or array.
    pub fn packed(self) -> usize {
        match self {
            Scalar::U8 | Scalar::I8 | Scalar::Bool => 1,
            Scalar::U16 | Scalar::I16 => 2,
            Scalar::U32 | Scalar::I32 | Scalar::Char | Scalar::F32 => 4,
            Scalar::U64 | Scalar::I64 | Scalar::Usize | Scalar::Isize | Scalar::F64 => 8,
            Scalar::U128 | Scalar::I128 => 16,
        }
    }
}

impl Container {
    const ALL: [Container; 9] = [
        Container::Vec,
        Container::Option,
        Container::Result,
        Container::BTreeMap,
        Container::BTreeSet,
        Container::HashMap,
        Container::HashSet,
        Container::Box,
        Container::Extensible,
    ];

    /// Returns the name in Rust.
    pub fn name(self) -> &'static str {
        match self {
            Container::Vec => "Vec",
            Container::Option => "Option",
            Container::Result => "Result",
            Container::BTreeMap => "BTreeMap",
            Container::BTreeSet => "BTreeSet",
            Container::HashMap => "HashMap",
            Container::HashSet => "HashSet",
            Container::Box => "Box",
            Container::Extensible => "Extensible",
        }
    }

    /// Returns the number of its type parameters.
    fn arity(self) -> usize {
        match self {
            Container::Result | Container::BTreeMap | Container::HashMap => 2,
            Container::Vec
            | Container::Option
            | Container::BTreeSet
            | Container::HashSet
            | Container::Box
            | Container::Extensible => 1,
        }
    }
}

impl Schema {
    /// Describes a type.
    pub fn of<T: DataManager>() -> Self {
        T::schema(&mut Types::new())
    }

    /// Describes a type as a part of another, or as the element of an array: tells whether its values have a fixed
    /// length is told in any case.
    pub(crate) fn of_part<T: DataManager>() -> Self {
        Types::new().of::<T>()
    }

    /// Returns the number of words, if it is the same for all values: what [`DataManager::FIXED`] is to the type.
    pub fn fixed_words(&self) -> Option<u64> {
        match self {
            Schema::Scalar(Scalar::U128 | Scalar::I128) => Some(2),
            Schema::Scalar(_) => Some(1),
            Schema::Array(element, len) => match **element {
                Schema::Scalar(scalar) => Some(len.checked_mul(scalar.packed() as u64)?.div_ceil(8)),
                _ => element.fixed_words()?.checked_mul(*len),
            },
            Schema::Tuple(items) => fixed_sum(items),
            Schema::Struct(_, fields) => fields.fixed_words(),
            Schema::Enum(_, variants) => {
                let mut words = variants.iter().map(|variant| variant.fields.fixed_words());
                let first = words.next()??;
                words.all(|words| words == Some(first)).then_some(first)?.checked_add(1)
            }
            Schema::Container(Container::Option, of) => of.first()?.fixed_words()?.checked_add(1),
            Schema::Container(Container::Result, of) => {
                let [ok, err] = of.as_slice() else { return None };
                ok.fixed_words()?.max(err.fixed_words()?).checked_add(1)
            }
            Schema::Text | Schema::Container(..) | Schema::Back(..) => None,
        }
    }
}

impl Fields {
    /// Returns the types of the fields.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        let (items, members): (&[Schema], &[Field]) = match self {
            Fields::Unit => (&[], &[]),
            Fields::Tuple(items) => (items, &[]),
            Fields::Named(fields) => (&[], fields),
        };
        items.iter().chain(members.iter().map(|field| &field.schema))
    }

    fn fixed_words(&self) -> Option<u64> {
        fixed_sum(self.schemas())
    }
}

fn fixed_sum<'a>(items: impl IntoIterator<Item = &'a Schema>) -> Option<u64> {
    items.into_iter().try_fold(0u64, |sum, item| sum.checked_add(item.fixed_words()?))
}

/// Returns the hash of a schema text, which is stored beside it and compared first: rapidhash, version 3, of the bytes.
pub(crate) fn hash_text(text: &str) -> u64 {
    rapidhash::v3::rapidhash_v3(text.as_bytes())
}

/// The schema of an object: its kind and the types of its contents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectSchema {
    /// A hash table.
    HashTable {
        /// Its keys.
        key: Schema,
        /// Its values.
        value: Schema,
    },
    /// An array.
    Array {
        /// Its elements.
        element: Schema,
    },
    /// The primitive table, of [`Table`](crate::Table).
    Table,
}

impl ObjectSchema {
    /// Returns the schema of a hash table.
    pub(crate) fn hash_table(key: Schema, value: Schema) -> Self {
        ObjectSchema::HashTable { key, value }.with_useful_defaults()
    }

    /// Returns the schema of an array.
    pub(crate) fn array(element: Schema) -> Self {
        ObjectSchema::Array { element }.with_useful_defaults()
    }
}

impl fmt::Display for ObjectSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = |f: &mut fmt::Formatter<'_>, schema: &Schema| {
            if f.alternate() { write!(f, "{schema:#}") } else { write!(f, "{schema}") }
        };
        match self {
            ObjectSchema::HashTable { key, value } => {
                f.write_str("HashTable<")?;
                inner(f, key)?;
                f.write_str(", ")?;
                inner(f, value)?;
                f.write_str(">")
            }
            ObjectSchema::Array { element } => {
                f.write_str("Array<")?;
                inner(f, element)?;
                f.write_str(">")
            }
            ObjectSchema::Table => f.write_str("Table"),
        }
    }
}

/// Serializes as its text.
#[cfg(feature = "serde")]
impl serde::Serialize for ObjectSchema {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for ObjectSchema {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_no_value_has_do_not_overflow() {
        for text in ["Option<[(u8,); 18446744073709551615]>", "enum E { A([(u8,); 18446744073709551615]) }"] {
            assert_eq!(text.parse::<Schema>().unwrap().fixed_words(), None, "{text}");
        }
    }

    #[test]
    fn the_hash_of_a_text_is_frozen() {
        assert_eq!(hash_text(""), 0x0338_dc4b_e2ce_cdae);
        assert_eq!(hash_text("HashTable<String, u64>"), 16_377_625_270_903_951_224);
    }
}

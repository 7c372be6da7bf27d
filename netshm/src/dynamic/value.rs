//! Values of any type.

use std::sync::Arc;

/// A value of any type that has a schema.
///
/// The shape follows the schema: what is stored as a `String` is a [`Text`](Value::Text), a struct is a
/// [`Struct`](Value::Struct) with all its fields in their order. Values are made with `From` and the functions here.
///
/// ```
/// use netshm::dynamic::Value;
///
/// let session = Value::structure("Session", [("user", Value::from(7u64)), ("name", Value::from("Ada"))]);
/// assert_eq!(session.field("name"), Some(&Value::from("Ada")));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `()`, also `PhantomData`.
    Unit,
    /// `bool`.
    Bool(bool),
    /// A number with a sign, of whatever size.
    Int(i128),
    /// A number without a sign, of whatever size. Where a number is wanted, either will do that is in range.
    UInt(u128),
    /// `f32`.
    F32(f32),
    /// `f64`.
    F64(f64),
    /// `char`.
    Char(char),
    /// `String`.
    Text(String),
    /// A sequence or an array of `u8`.
    Bytes(Vec<u8>),
    /// `None`.
    None,
    /// `Some`.
    Some(Box<Value>),
    /// `Ok`.
    Ok(Box<Value>),
    /// `Err`.
    Err(Box<Value>),
    /// The elements of a vector, an array or a set.
    Seq(Vec<Value>),
    /// The entries of a map, those of a `BTreeMap` in the order of their keys.
    Map(Vec<(Value, Value)>),
    /// A tuple of one item or more.
    Tuple(Vec<Value>),
    /// A struct.
    Struct(Box<Struct>),
    /// A variant of an enum.
    Enum(Box<Enum>),
    /// A field that the outermost struct of a row lacks: the row was written by a program with an older
    /// version of the type, and the present one has a default for it, which only programs know. Comes after all others.
    Missing,
}

/// A value that is a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Struct {
    /// The name of the type.
    pub name: Arc<str>,
    /// All fields.
    pub fields: FieldValues,
}

/// A value of an enum.
#[derive(Debug, Clone, PartialEq)]
pub struct Enum {
    /// The name of the type.
    pub name: Arc<str>,
    /// The name of the variant.
    pub variant: Arc<str>,
    /// All fields of the variant.
    pub fields: FieldValues,
}

/// The fields of a struct or of a variant.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValues {
    /// None.
    Unit,
    /// Fields without names.
    Tuple(Vec<Value>),
    /// Fields with names.
    Named(Vec<(Arc<str>, Value)>),
}

impl FieldValues {
    /// Makes fields with names.
    ///
    /// ```
    /// use netshm::dynamic::{FieldValues, Value};
    ///
    /// let fields = FieldValues::named([("x", Value::from(1)), ("y", Value::from(2))]);
    /// assert_eq!(fields.get("y"), Some(&Value::from(2)));
    /// ```
    pub fn named<N: Into<Arc<str>>>(fields: impl IntoIterator<Item = (N, Value)>) -> Self {
        FieldValues::Named(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Returns the field of that name; fields without names are called `0`, `1` and so on, as in Rust.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            FieldValues::Unit => None,
            FieldValues::Tuple(values) => values.get(name.parse::<usize>().ok()?),
            FieldValues::Named(fields) => fields.iter().find(|(known, _)| &**known == name).map(|(_, value)| value),
        }
    }
}

impl Value {
    /// Creates a struct with named fields.
    pub fn structure<N: Into<Arc<str>>>(
        name: impl Into<Arc<str>>,
        fields: impl IntoIterator<Item = (N, Value)>,
    ) -> Value {
        Value::Struct(Box::new(Struct { name: name.into(), fields: FieldValues::named(fields) }))
    }

    /// Creates a variant of an enum.
    ///
    /// ```
    /// use netshm::dynamic::{FieldValues, Value};
    ///
    /// let idle = Value::variant("State", "Idle", FieldValues::Unit);
    /// let busy = Value::variant("State", "Busy", FieldValues::Tuple(vec![Value::from(3)]));
    /// assert_ne!(idle, busy);
    /// ```
    pub fn variant(name: impl Into<Arc<str>>, variant: impl Into<Arc<str>>, fields: FieldValues) -> Value {
        Value::Enum(Box::new(Enum { name: name.into(), variant: variant.into(), fields }))
    }

    /// Returns a field of a struct, a variant or a tuple; see [`FieldValues::get`].
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(value) => value.fields.get(name),
            Value::Enum(value) => value.fields.get(name),
            Value::Tuple(values) => values.get(name.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// Returns the number, if this is one that fits a `u64`.
    ///
    /// ```
    /// use netshm::dynamic::Value;
    ///
    /// assert_eq!(Value::from(7i8).as_u64(), Some(7));
    /// assert_eq!(Value::from(-7).as_u64(), None);
    /// ```
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::Int(number) => number.try_into().ok(),
            Value::UInt(number) => number.try_into().ok(),
            _ => None,
        }
    }

    /// Returns the number, if this is one that fits an `i64`.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::Int(number) => number.try_into().ok(),
            Value::UInt(number) => number.try_into().ok(),
            _ => None,
        }
    }

    /// Returns the text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the kind of value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Unit => "()",
            Value::Bool(_) => "a bool",
            Value::Int(_) | Value::UInt(_) => "an integer",
            Value::F32(_) | Value::F64(_) => "a float",
            Value::Char(_) => "a character",
            Value::Text(_) => "a text",
            Value::Bytes(_) => "bytes",
            Value::None | Value::Some(_) => "an option",
            Value::Ok(_) | Value::Err(_) => "a result",
            Value::Seq(_) => "a sequence",
            Value::Map(_) => "a map",
            Value::Tuple(_) => "a tuple",
            Value::Struct(_) => "a struct",
            Value::Enum(_) => "an enum",
            Value::Missing => "a missing field",
        }
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $make:expr;)*) => { $(
        impl From<$type> for Value {
            fn from($value: $type) -> Value {
                $make
            }
        }
    )* };
}

from! {
    () => |_unit| Value::Unit;
    bool => |value| Value::Bool(value);
    i8 => |value| Value::Int(value.into());
    i16 => |value| Value::Int(value.into());
    i32 => |value| Value::Int(value.into());
    i64 => |value| Value::Int(value.into());
    i128 => |value| Value::Int(value);
    isize => |value| Value::Int(value as i128);
    u8 => |value| Value::UInt(value.into());
    u16 => |value| Value::UInt(value.into());
    u32 => |value| Value::UInt(value.into());
    u64 => |value| Value::UInt(value.into());
    u128 => |value| Value::UInt(value);
    usize => |value| Value::UInt(value as u128);
    f32 => |value| Value::F32(value);
    f64 => |value| Value::F64(value);
    char => |value| Value::Char(value);
    &str => |value| Value::Text(value.to_owned());
    String => |value| Value::Text(value);
    Vec<u8> => |value| Value::Bytes(value);
    Vec<Value> => |value| Value::Seq(value);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::None, |value| Value::Some(Box::new(value.into())))
    }
}

//! Values as JSON.

use serde_json::{Map, Number, Value as Json};

use super::known;
use crate::dynamic::value::{FieldValues, Value};

impl Value {
    /// Returns the value as JSON: what `serde_json` makes of the same Rust type. [`Value::from_json`] makes the same value of it
    /// again.
    ///
    /// | Value | JSON |
    /// |---|---|
    /// | integers | numbers; beyond 64 bits, strings of decimal digits |
    /// | floats | numbers; those that are not finite, the strings `"NaN"`, `"inf"`, `"-inf"` |
    /// | `char`, `String` | strings |
    /// | sequences, arrays, sets, tuples, bytes | arrays |
    /// | maps | objects, with texts, numbers, bools, characters, variants without fields and newtypes of them as keys; with other keys, which `serde_json` refuses, arrays of pairs `[key, value]` |
    /// | structs | objects; without names, arrays; with one such field, what is in it; without fields, `null` |
    /// | enums | `"Variant"`, or `{"Variant": ..}` with the fields as those of a struct; also `{"Ok": ..}`, `{"Err": ..}` |
    /// | options, `()` | `null`, or the content; where that is `null` itself, which `serde_json` cannot tell from `None`, `{"Some": null}` |
    /// | addresses, paths, `OsString`, `Duration`, `SystemTime`; with their features, ids and times of `uuid`, `chrono`, `time` | as `serde` writes them: strings, `{"secs": 1, "nanos": 5}`, .. |
    /// | missing fields | left out |
    ///
    /// A NaN comes back as the usual one, and its sign and other bits are lost. An IPv6 socket address loses its flow information,
    /// as with `serde`. A path that is not UTF-8, which `serde` refuses, is an array of its bytes.
    ///
    /// ```
    /// use netshm::dynamic::Value;
    ///
    /// let session = Value::structure("Session", [("user", Value::from(7u64)), ("tags", Value::from(vec![1u8, 2]))]);
    /// assert_eq!(session.to_json().to_string(), r#"{"tags":[1,2],"user":7}"#);
    /// ```
    pub fn to_json(&self) -> Json {
        match self {
            Value::Unit | Value::None | Value::Missing => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(number) => match i64::try_from(*number) {
                Ok(number) => number.into(),
                Err(_) => u64::try_from(*number).map_or_else(|_| number.to_string().into(), Json::from),
            },
            Value::UInt(number) => u64::try_from(*number).map_or_else(|_| number.to_string().into(), Json::from),
            Value::F32(float) => short_float(*float),
            Value::F64(float) => Number::from_f64(*float).map_or_else(|| Json::String(float.to_string()), Json::Number),
            Value::Char(c) => Json::String(c.to_string()),
            Value::Text(text) => Json::String(text.clone()),
            Value::Bytes(bytes) => bytes.iter().map(|byte| Json::from(*byte)).collect(),
            Value::Some(value) => match value.to_json() {
                content if value.may_be_null() && is_ambiguous(&content) => tagged("Some", content),
                content => content,
            },
            Value::Ok(value) => tagged("Ok", value.to_json()),
            Value::Err(value) => tagged("Err", value.to_json()),
            Value::Seq(values) | Value::Tuple(values) => array(values),
            Value::Map(entries) => map(entries),
            Value::Struct(value) => known::write(value).unwrap_or_else(|| fields(&value.fields)),
            Value::Enum(value) => match &value.fields {
                FieldValues::Unit => Json::String(value.variant.to_string()),
                others => tagged(&value.variant, fields(others)),
            },
        }
    }

    /// Returns whether values of this value's type can be `null`, from which a `Some` around must be told apart.
    fn may_be_null(&self) -> bool {
        match self {
            Value::Unit | Value::None | Value::Some(_) => true,
            Value::Struct(value) => match &value.fields {
                FieldValues::Unit => true,
                FieldValues::Tuple(values) => matches!(values.as_slice(), [inner] if inner.may_be_null()),
                FieldValues::Named(_) => false,
            },
            _ => false,
        }
    }
}

/// Returns the number with the digits that identify it among 32-bit floats, as `serde_json` chooses them.
fn short_float(float: f32) -> Json {
    let number = serde_json::to_string(&float).ok().and_then(|digits| digits.parse().ok());
    number.map_or_else(|| Json::String(float.to_string()), Json::Number)
}

fn array(values: &[Value]) -> Json {
    values.iter().map(Value::to_json).collect()
}

fn tagged(name: &str, content: Json) -> Json {
    Json::Object(Map::from_iter([(name.to_owned(), content)]))
}

fn map(entries: &[(Value, Value)]) -> Json {
    let named = entries.iter().map(|(key, value)| Some((key_name(key)?, value.to_json())));
    match named.collect::<Option<Map<_, _>>>() {
        Some(object) if object.len() == entries.len() => Json::Object(object),
        _ => entries.iter().map(|(key, value)| Json::Array(vec![key.to_json(), value.to_json()])).collect(),
    }
}

/// Returns the name that stands for a key in an object, if `serde_json` knows one.
fn key_name(key: &Value) -> Option<String> {
    match key {
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::F32(float) if float.is_finite() => Some(short_float(*float).to_string()),
        Value::F64(float) => Number::from_f64(*float).map(|number| number.to_string()),
        Value::Struct(value) => match (known::write(value), &value.fields) {
            (Some(Json::String(name)), _) => Some(name),
            (None, FieldValues::Tuple(values)) if values.len() == 1 => key_name(&values[0]),
            _ => None,
        },
        Value::Char(_) | Value::Text(_) | Value::Enum(_) => match key.to_json() {
            Json::String(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether the content of an option would be read as another value without a `Some` around it.
fn is_ambiguous(content: &Json) -> bool {
    match content {
        Json::Null => true,
        Json::Object(object) => object.len() == 1 && object.contains_key("Some"),
        _ => false,
    }
}

fn fields(fields: &FieldValues) -> Json {
    match fields {
        FieldValues::Unit => Json::Null,
        FieldValues::Tuple(values) => match values.as_slice() {
            [inner] => inner.to_json(),
            values => array(values),
        },
        FieldValues::Named(fields) => {
            let present = fields.iter().filter(|(_, value)| *value != Value::Missing);
            Json::Object(present.map(|(name, value)| (name.to_string(), value.to_json())).collect())
        }
    }
}

//! Values as JSON.

use serde_json::{Map, Number, Value as Json};

use crate::dynamic::value::{FieldValues, Value};

impl Value {
    /// The value as JSON, much as `serde` writes such types. [`Value::from_json`] makes the same value of it again.
    ///
    /// | Value | JSON |
    /// |---|---|
    /// | integers | numbers; beyond 64 bits, strings of decimal digits |
    /// | floats | numbers; those that are not finite, the strings `"NaN"`, `"inf"`, `"-inf"` |
    /// | `char`, `String` | strings |
    /// | sequences, arrays, sets, tuples, bytes | arrays |
    /// | maps | objects if the keys are `String`s, otherwise arrays of pairs `[key, value]` |
    /// | structs | objects; without names, arrays; with one such field, what is in it; without fields, `null` |
    /// | enums | `"Variant"`, or `{"Variant": ..}` with the fields as those of a struct; also `{"Ok": ..}`, `{"Err": ..}` |
    /// | options, `()` | `null`, or the content; in `{"Some": ..}` if the content's type has a `null` of its own |
    /// | missing fields | left out |
    ///
    /// A NaN comes back as the usual one, and its sign and other bits are lost.
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
            Value::Some(value) if value.may_be_null() => tagged("Some", value.to_json()),
            Value::Some(value) => value.to_json(),
            Value::Ok(value) => tagged("Ok", value.to_json()),
            Value::Err(value) => tagged("Err", value.to_json()),
            Value::Seq(values) | Value::Tuple(values) => array(values),
            Value::Map(entries) => map(entries),
            Value::Struct(value) => fields(&value.fields),
            Value::Enum(value) => match &value.fields {
                FieldValues::Unit => Json::String(value.variant.to_string()),
                others => tagged(&value.variant, fields(others)),
            },
        }
    }

    /// Whether values of this value's type can be `null`: a `Some` around has to be told from it.
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

/// With as many digits as tell the number from others of 32 bits.
fn short_float(float: f32) -> Json {
    let digits = float.to_string();
    match digits.parse().ok().and_then(Number::from_f64) {
        Some(number) => Json::Number(number),
        None => Json::String(digits),
    }
}

fn array(values: &[Value]) -> Json {
    values.iter().map(Value::to_json).collect()
}

fn tagged(name: &str, content: Json) -> Json {
    Json::Object(Map::from_iter([(name.to_owned(), content)]))
}

fn map(entries: &[(Value, Value)]) -> Json {
    let text_keys = entries.iter().map(|(key, value)| Some((key.as_str()?.to_owned(), value.to_json())));
    match text_keys.collect::<Option<Map<_, _>>>() {
        Some(object) => Json::Object(object),
        None => entries.iter().map(|(key, value)| Json::Array(vec![key.to_json(), value.to_json()])).collect(),
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

//! Keys and values between the command line and the types of an object.

use netshm::data::Schema;
use netshm::dynamic::Value;
use serde_json::Value as Json;

use crate::failure::Failure;

/// Reads a value: JSON, or plain text where the type is a text, or something that JSON writes as a string.
pub(crate) fn parse(text: &str, schema: &Schema, what: &str) -> Result<Value, Failure> {
    parse_with(text, schema, what, Value::from_json)
}

/// Works like [`parse`], for a row of a table, which may lack fields that were added later.
pub(crate) fn parse_row(text: &str, schema: &Schema, what: &str) -> Result<Value, Failure> {
    parse_with(text, schema, what, Value::from_json_row)
}

type FromJson = fn(&Json, &Schema) -> Result<Value, netshm::dynamic::Unfit>;

fn parse_with(text: &str, schema: &Schema, what: &str, read: FromJson) -> Result<Value, Failure> {
    let as_text = || read(&Json::String(text.to_owned()), schema);
    if *schema == Schema::Text && !text.starts_with('"') {
        return as_text().map_err(|unfit| unfit_for(what, schema, &unfit));
    }
    match serde_json::from_str::<Json>(text) {
        Ok(json) => read(&json, schema).or_else(|unfit| as_text().map_err(|_| unfit_for(what, schema, &unfit))),
        Err(error) => as_text().map_err(|_| {
            Failure::with_tip(
                format!("the {what} is neither JSON ({error}) nor the plain text of a value of its type: {text}"),
                format!("its type is {schema}"),
            )
        }),
    }
}

fn unfit_for(what: &str, schema: &Schema, unfit: &netshm::dynamic::Unfit) -> Failure {
    Failure::with_tip(format!("the {what} does not fit: {unfit}"), format!("its type is {schema}"))
}

/// Returns the value as text: texts and numbers as they are, all others as JSON. A text that would break a line is JSON as well.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) if !text.chars().any(char::is_control) && !text.starts_with('"') => text.clone(),
        value => match value.to_json() {
            // Numbers beyond 64 bits, addresses, dates, variants.
            Json::String(text) if !matches!(value, Value::Text(_)) && !text.chars().any(char::is_control) => text,
            json => json.to_string(),
        },
    }
}

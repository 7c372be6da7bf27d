//! The order of the standard library's types, for the entries of ordered maps and sets.

use std::cmp::Ordering;

use crate::dynamic::value::Value;

/// Sorts by keys of the standard library. Structs, enums and floats may have an order of their own, which nobody can know
/// here, so what has such keys stays as it is.
pub(super) fn sort<T>(items: &mut [T], key: impl Fn(&T) -> &Value) {
    if items.iter().all(|item| compare(key(item), key(item)).is_some()) {
        items.sort_by(|a, b| compare(key(a), key(b)).unwrap_or(Ordering::Equal));
    }
}

/// How two values of one type compare, if that is known.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    Some(match (a, b) {
        (Value::Unit, Value::Unit) | (Value::None, Value::None) => Ordering::Equal,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::UInt(a), Value::UInt(b)) => a.cmp(b),
        (Value::Char(a), Value::Char(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::None, Value::Some(_)) | (Value::Ok(_), Value::Err(_)) => Ordering::Less,
        (Value::Some(_), Value::None) | (Value::Err(_), Value::Ok(_)) => Ordering::Greater,
        (Value::Some(a), Value::Some(b)) | (Value::Ok(a), Value::Ok(b)) | (Value::Err(a), Value::Err(b)) => {
            return compare(a, b);
        }
        (Value::Seq(a), Value::Seq(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.iter().zip(b) {
                match compare(a, b)? {
                    Ordering::Equal => {}
                    other => return Some(other),
                }
            }
            a.len().cmp(&b.len())
        }
        (Value::Map(a), Value::Map(b)) => {
            for ((a, x), (b, y)) in a.iter().zip(b) {
                match compare(a, b)?.then(compare(x, y)?) {
                    Ordering::Equal => {}
                    other => return Some(other),
                }
            }
            a.len().cmp(&b.len())
        }
        _ => return None,
    })
}

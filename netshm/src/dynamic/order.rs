//! The order of the standard library's types, for the entries of ordered maps and sets.

use std::cmp::Ordering;

use crate::dynamic::value::Value;

/// Sorts `items` by keys of the standard library's types and returns `true`. Structs, enums and floats may have an order of their
/// own, which cannot be known here: items with such keys stay as they are, and the answer is `false`, unless there is nothing to
/// sort.
pub(super) fn sort<T>(items: &mut [T], key: impl Fn(&T) -> &Value) -> bool {
    let known = items.len() < 2 || items.iter().all(|item| compare(key(item), key(item)).is_some());
    if known {
        items.sort_by(|a, b| compare(key(a), key(b)).unwrap_or(Ordering::Equal));
    }
    known
}

/// Compares two values of one type, if that type's order is known.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    Some(match (a, b) {
        (Value::Unit, Value::Unit) | (Value::None, Value::None) => Ordering::Equal,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::UInt(a), Value::UInt(b)) => a.cmp(b),
        (Value::Int(a), Value::UInt(b)) => u128::try_from(*a).map_or(Ordering::Less, |a| a.cmp(b)),
        (Value::UInt(_), Value::Int(_)) => return compare(b, a).map(Ordering::reverse),
        (Value::Char(a), Value::Char(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::None, Value::Some(_)) | (Value::Ok(_), Value::Err(_)) => Ordering::Less,
        (Value::Some(_), Value::None) | (Value::Err(_), Value::Ok(_)) => Ordering::Greater,
        (Value::Some(a), Value::Some(b)) | (Value::Ok(a), Value::Ok(b)) | (Value::Err(a), Value::Err(b)) => {
            return compare(a, b);
        }
        (Value::Seq(a), Value::Seq(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            return lexicographic(a.iter().zip(b).map(|(a, b)| compare(a, b)), a.len().cmp(&b.len()));
        }
        (Value::Seq(a), Value::Bytes(b)) => {
            return lexicographic(a.iter().zip(b).map(|(a, b)| compare(a, &(*b).into())), a.len().cmp(&b.len()));
        }
        (Value::Bytes(_), Value::Seq(_)) => return compare(b, a).map(Ordering::reverse),
        (Value::Map(a), Value::Map(b)) => {
            let entries = a.iter().zip(b).map(|((a, x), (b, y))| Some(compare(a, b)?.then(compare(x, y)?)));
            return lexicographic(entries, a.len().cmp(&b.len()));
        }
        _ => return None,
    })
}

/// Returns the first difference of two sequences, or how their lengths compare.
fn lexicographic(mut items: impl Iterator<Item = Option<Ordering>>, lengths: Ordering) -> Option<Ordering> {
    items.find(|order| *order != Some(Ordering::Equal)).unwrap_or(Some(lengths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_what_they_are_worth() {
        let mut numbers = [Value::UInt(2), Value::Int(1), Value::Int(-1), Value::UInt(0), Value::Int(i128::MAX)];
        assert!(sort(&mut numbers, |number| number));
        assert_eq!(numbers, [Value::Int(-1), Value::UInt(0), Value::Int(1), Value::UInt(2), Value::Int(i128::MAX)],);
    }

    #[test]
    fn bytes_compare_with_numbers() {
        let mut items = [Value::Bytes(vec![2]), Value::Seq(vec![Value::Int(1), Value::Int(9)]), Value::Bytes(vec![1])];
        assert!(sort(&mut items, |item| item));
        assert_eq!(items[0], Value::Bytes(vec![1]));
        assert_eq!(items[2], Value::Bytes(vec![2]));
    }

    #[test]
    fn what_has_an_order_of_its_own_stays() {
        let point = |x| Value::structure("P", [("x", Value::from(x))]);
        let mut points = [point(2), point(1)];
        assert!(!sort(&mut points, |point| point));
        assert_eq!(points, [point(2), point(1)]);
        assert!(sort(&mut points[..1], |point| point));
    }
}

//! `netshm get`, `keys` and `scan`.

use std::ops::Range;

use netshm::dynamic::{DynArray, Value};
use serde_json::json;

use crate::args::{Get, Keys, Scan, Select};
use crate::failure::Failure;
use crate::output::Output;
use crate::rows::{Access, Rows};
use crate::values::{parse, plain};

/// Elements that are read at once.
const BATCH: usize = 4096;

pub(crate) fn get(args: &Get, out: &mut Output) -> Result<(), Failure> {
    let object = &args.member.object.name;
    let rows = Rows::open(object, args.member.member.as_deref(), Access::Read)?;
    match (&rows, rows.types()) {
        (Rows::Table(table), (Some(key), _)) => {
            let key = parse(&args.key, &key, "key")?;
            let values = if args.all { table.find_all(&key)? } else { table.find(&key)?.into_iter().collect() };
            if values.is_empty() {
                return Err(Failure::message(format!("{object}: has no key {}", args.key)));
            }
            values.iter().try_for_each(|value| print_value(value, out))
        }
        (Rows::Array(array), _) => for_each_in(array, &indices(&args.key, array)?, |_, value| print_value(&value, out)),
        (Rows::Table(_), (None, _)) => Err(Failure::message("a table without keys")),
    }
}

fn print_value(value: &Value, out: &mut Output) -> Result<(), Failure> {
    match out.json() {
        true => out.json_line(&value.to_json()),
        false => out.line(plain(value)),
    }
}

/// Reads an index, or a range of them.
pub(crate) fn indices(text: &str, array: &DynArray) -> Result<Range<usize>, Failure> {
    let wrong = || {
        let text = format!("the index is neither a number nor a range: {text}");
        Failure::with_tip(text, "write it as 3, 3..10, 3..=9, ..10 or 3..")
    };
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
    let range = match text.split_once("..") {
        None => {
            let index = number(text)?;
            index..index.saturating_add(1)
        }
        Some((start, end)) => {
            let start = if start.trim().is_empty() { 0 } else { number(start)? };
            let end = match end.strip_prefix('=') {
                Some(last) => number(last)?.saturating_add(1),
                None if end.trim().is_empty() => array.len()?.max(start),
                None => number(end)?,
            };
            start..end
        }
    };
    if range.start > range.end { Err(wrong()) } else { Ok(range) }
}

/// Visits the elements of a range.
pub(crate) fn for_each_in(
    array: &DynArray,
    range: &Range<usize>,
    mut visit: impl FnMut(usize, Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // The error for what is out of bounds, before anything is printed.
    if range.start < range.end {
        array.get(range.end - 1)?;
    }
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min(at.saturating_add(BATCH));
        let mut values = vec![Value::Unit; end - at];
        array.read_range(at..end, &mut values)?;
        for (index, value) in (at..).zip(values) {
            visit(index, value)?;
        }
        at = end;
    }
    Ok(())
}

impl Select {
    fn takes(&self, key: &str) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix.as_str()))
    }

    fn limit(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }
}

pub(crate) fn keys(args: &Keys, out: &mut Output) -> Result<(), Failure> {
    let object = &args.member.object.name;
    let Rows::Table(table) = Rows::open(object, args.member.member.as_deref(), Access::Read)? else {
        return Err(Failure::message(format!("{object}: an array has no keys; `netshm scan` prints its elements")));
    };
    let mut left = args.select.limit();
    for key in table.keys() {
        if left == 0 {
            break;
        }
        let key = key?;
        let text = plain(&key);
        if args.select.takes(&text) {
            left -= 1;
            if out.json() { out.json_line(&key.to_json())? } else { out.line(text)? }
        }
    }
    Ok(())
}

pub(crate) fn scan(args: &Scan, out: &mut Output) -> Result<(), Failure> {
    let mut left = args.select.limit();
    match Rows::open(&args.member.object.name, args.member.member.as_deref(), Access::Read)? {
        Rows::Table(table) => {
            let mut last = None;
            for binding in table.scan() {
                if left == 0 {
                    break;
                }
                let (key, value) = binding?;
                // Bindings of a key come one after the other, the newest first.
                if !args.all && last.as_ref() == Some(&key) {
                    continue;
                }
                let text = plain(&key);
                if args.select.takes(&text) {
                    left -= 1;
                    match out.json() {
                        true => out.json_line(&json!({"key": key.to_json(), "value": value.to_json()}))?,
                        false => out.line(format_args!("{text}\t{}", plain(&value)))?,
                    }
                }
                last = Some(key);
            }
        }
        Rows::Array(array) => {
            for (index, value) in array.scan().enumerate() {
                if left == 0 {
                    break;
                }
                let value = value?;
                if args.select.takes(&index.to_string()) {
                    left -= 1;
                    match out.json() {
                        true => out.json_line(&json!({"index": index, "value": value.to_json()}))?,
                        false => out.line(format_args!("{index}\t{}", plain(&value)))?,
                    }
                }
            }
        }
    }
    Ok(())
}

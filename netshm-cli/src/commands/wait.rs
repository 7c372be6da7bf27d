//! `netshm wait` and `watch`.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use netshm::Watch;
use netshm::dynamic::{DynArray, DynTable, Value};
use serde_json::{Value as Json, json};

use super::dump::for_each_set;
use super::read::indices;
use crate::args::{Wait, Watching};
use crate::failure::Failure;
use crate::output::Output;
use crate::rows::{Access, Rows};
use crate::values::{parse, plain};

/// Time that it waits at once: in between, it checks whether anybody still reads its output.
const AT_ONCE: Duration = Duration::from_millis(500);
/// The least pause between two looks at a whole table; after a long look it is as long as that took.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn wait(args: &Wait, out: &mut Output) -> Result<(), Failure> {
    let object = &args.member.object.name;
    let rows = Rows::open(object, args.member.member.as_deref(), Access::Read)?;
    let (key, value) = rows.types();
    let wanted = args.value.as_ref().map(|text| parse(text, &value, "value")).transpose()?;
    let timeout = args.timeout.map(Duration::from_secs_f64);
    let is_it = |first: &Option<Value>, found: Option<&Value>| match (&wanted, args.absent, args.changed) {
        (Some(wanted), ..) => found == Some(wanted),
        (None, true, _) => found.is_none(),
        (None, _, true) => found != first.as_ref(),
        (None, false, false) => found.is_some(),
    };
    let outcome = match &rows {
        Rows::Table(table) => {
            let Some(key) = key else { return Err(Failure::message("a table without keys")) };
            let key = parse(&args.key, &key, "key")?;
            let first = table.find(&key)?;
            table.wait_until(&key, timeout, |found| is_it(&first, found))
        }
        Rows::Array(array) => {
            let range = indices(&args.key, array)?;
            if range.len() != 1 || args.absent {
                return Err(Failure::message(
                    "`wait` waits for one element of an array, with `--value` or `--changed`",
                ));
            }
            let first = Some(array.get(range.start)?);
            let is_it = |found: &Value| match &wanted {
                Some(wanted) => found == wanted,
                // It always has one.
                None => Some(found) != first.as_ref(),
            };
            array.wait_until(range.start, timeout, is_it).map(Some)
        }
    };
    match outcome {
        Ok(Some(value)) if out.json() => out.json_line(&value.to_json()),
        Ok(Some(value)) => out.line(plain(&value)),
        Ok(None) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Rows of a watched table or array, by their keys or indices.
type Rowset = HashMap<String, (Json, Json)>;

/// Subject of a watch.
enum Watched<'a> {
    Table(&'a DynTable, Vec<Value>),
    Array(&'a DynArray, Vec<usize>),
}

impl Watched<'_> {
    fn watch(&self) -> Result<Watch, Failure> {
        Ok(match self {
            Watched::Table(table, keys) if keys.len() == 1 => table.watch_key(&keys[0])?,
            Watched::Table(table, _) => table.watch()?,
            Watched::Array(array, indices) if indices.len() == 1 => array.watch_element(indices[0])?,
            Watched::Array(array, _) => array.watch()?,
        })
    }

    fn rows(&self) -> Result<Rowset, Failure> {
        let mut rows = Rowset::new();
        let mut put = |name: String, key: Json, value: &Value| drop(rows.insert(name, (key, value.to_json())));
        match self {
            Watched::Table(table, keys) if keys.is_empty() => {
                for binding in table.scan() {
                    let (key, value) = binding?;
                    // The newest binding comes first.
                    let name = key.to_json();
                    let text = name.to_string();
                    rows.entry(text).or_insert_with(|| (name, value.to_json()));
                }
            }
            Watched::Table(table, keys) => {
                for (key, value) in keys.iter().zip(table.find_many(keys)?) {
                    if let Some(value) = value {
                        put(key.to_json().to_string(), key.to_json(), &value);
                    }
                }
            }
            Watched::Array(array, indices) if indices.is_empty() => {
                for_each_set(array, |index, value| {
                    put(index.to_string(), index.into(), value);
                    Ok(())
                })?;
            }
            Watched::Array(array, indices) => {
                for index in indices {
                    put(index.to_string(), (*index).into(), &array.get(*index)?);
                }
            }
        }
        Ok(rows)
    }

    /// Returns the value of array elements that are not among the rows.
    fn default(&self) -> Result<Option<Json>, Failure> {
        Ok(match self {
            Watched::Table(..) => None,
            Watched::Array(array, _) => Some(array.default_value()?.to_json()),
        })
    }
}

pub(crate) fn watch(args: &Watching, out: &mut Output) -> Result<(), Failure> {
    let rows = Rows::open(&args.member.object.name, args.member.member.as_deref(), Access::Read)?;
    let watched = match (&rows, rows.types()) {
        (Rows::Table(table), (Some(key), _)) => {
            Watched::Table(table, args.keys.iter().map(|text| parse(text, &key, "key")).collect::<Result<_, _>>()?)
        }
        (Rows::Array(array), _) => {
            let ranges = args.keys.iter().map(|text| indices(text, array)).collect::<Result<Vec<_>, _>>()?;
            Watched::Array(array, ranges.into_iter().flatten().collect())
        }
        (Rows::Table(_), _) => return Err(Failure::message("a table without keys")),
    };
    let end = args.timeout.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    let mut left = args.limit.unwrap_or(u64::MAX);
    let default = watched.default()?;
    // Before the first look: what changes afterwards is noticed.
    let mut watch = watched.watch()?;
    let mut before = if args.initial { Rowset::new() } else { watched.rows()? };
    let mut is_due = args.initial;
    loop {
        if is_due {
            let started = Instant::now();
            let now = watched.rows()?;
            left = print_changes(&before, &now, default.as_ref(), left, out)?;
            out.flush()?;
            before = now;
            if left == 0 {
                return Ok(());
            }
            thread::sleep(started.elapsed().max(PAUSE));
        }
        let rest = end.map_or(AT_ONCE, |end| end.saturating_duration_since(Instant::now()).min(AT_ONCE));
        is_due = watch.changed(Some(rest))?;
        if !is_due && (end.is_some_and(|end| Instant::now() >= end) || out.is_closed()) {
            return Ok(());
        }
    }
}

/// Prints what differs, and returns how many more may be printed.
fn print_changes(
    before: &Rowset,
    now: &Rowset,
    default: Option<&Json>,
    mut left: u64,
    out: &mut Output,
) -> Result<u64, Failure> {
    let set = now.iter().filter(|(name, row)| before.get(*name) != Some(row)).map(|(_, row)| (row, Some(&row.1)));
    // Elements that are not among the rows any more have the default again.
    let gone = before.iter().filter(|(name, _)| !now.contains_key(*name)).map(|(_, row)| (row, default));
    let mut changes: Vec<_> = set.chain(gone).collect();
    changes.sort_by_cached_key(|((key, _), _)| (key.as_u64(), key.to_string()));
    for ((key, _), value) in changes {
        if left == 0 {
            break;
        }
        left -= 1;
        match (out.json(), value) {
            (true, Some(value)) => out.json_line(&json!({"change": "set", "key": key, "value": value}))?,
            (true, None) => out.json_line(&json!({"change": "removed", "key": key}))?,
            (false, Some(value)) => out.line(format_args!("set\t{}\t{}", text(key), text(value)))?,
            (false, None) => out.line(format_args!("removed\t{}", text(key)))?,
        }
    }
    Ok(left)
}

/// Shows a text as it is, unless it would break the line, and all else as JSON.
fn text(json: &Json) -> String {
    match json {
        Json::String(text) if !text.chars().any(char::is_control) && !text.starts_with('"') => text.clone(),
        json => json.to_string(),
    }
}

//! `netshm set`, `add`, `remove`, `incr`, `clear` and `resize`.

use std::io::{self, IsTerminal, Write};

use netshm::data::{Scalar, Schema};
use netshm::dynamic::{DynTable, FieldValues, Value};
use serde_json::json;

use super::read::indices;
use crate::args::{Add, Clear, Incr, Remove, Resize, Set};
use crate::failure::Failure;
use crate::output::Output;
use crate::rows::{Access, Rows};
use crate::values::{parse, parse_row, plain};

/// Returns the member, which must be a table, with the types of its keys and values.
fn table(member: &crate::args::Member, instead: &str) -> Result<(Box<DynTable>, Schema, Schema), Failure> {
    let object = &member.object.name;
    let rows = Rows::open(object, member.member.as_deref(), Access::Write)?;
    match (rows.types(), rows) {
        ((Some(key), value), Rows::Table(table)) => Ok((table, key, value)),
        _ => Err(Failure::message(format!("{object}: is an array{instead}"))),
    }
}

pub(crate) fn set(args: &Set) -> Result<(), Failure> {
    let rows = Rows::open(&args.member.object.name, args.member.member.as_deref(), Access::Write)?;
    match (rows.types(), rows) {
        ((Some(key), value), Rows::Table(table)) => {
            Ok(table.replace(&parse(&args.key, &key, "key")?, &parse_row(&args.value, &value, "value")?)?)
        }
        ((_, element), Rows::Array(array)) => {
            let range = indices(&args.key, &array)?;
            let value = parse(&args.value, &element, "value")?;
            if range.len() == 1 { Ok(array.set(range.start, &value)?) } else { Ok(array.fill(range, &value)?) }
        }
        (_, Rows::Table(_)) => Err(Failure::message("a table without keys")),
    }
}

pub(crate) fn add(args: &Add) -> Result<(), Failure> {
    let (table, key, value) = table(&args.member, "; `netshm set` sets its elements")?;
    let (key, value) = (parse(&args.key, &key, "key")?, parse_row(&args.value, &value, "value")?);
    if !args.if_absent {
        return Ok(table.add(&key, &value)?);
    }
    match table.add_if_absent(&key, &value)? {
        true => Ok(()),
        false => Err(Failure::message(format!("{}: has a value for {} already", args.member.object.name, args.key))),
    }
}

pub(crate) fn remove(args: &Remove, out: &mut Output) -> Result<(), Failure> {
    let (table, key, _) = table(&args.member, "; `netshm resize` makes it shorter")?;
    let mut removed = 0;
    let mut missing = Vec::new();
    for text in &args.keys {
        let key = parse(text, &key, "key")?;
        let count = if args.all { table.remove_all(&key)? } else { usize::from(table.remove(&key)?) };
        removed += count;
        if count == 0 {
            missing.push(text.as_str());
        }
    }
    if out.json() {
        out.json_document(&json!({"removed": removed}))?;
    }
    match missing[..] {
        [] => Ok(()),
        _ => {
            out.flush()?;
            Err(Failure::message(format!("{}: has no key {}", args.member.object.name, missing.join(", "))))
        }
    }
}

pub(crate) fn incr(args: &Incr, out: &mut Output) -> Result<(), Failure> {
    let object = &args.member.object.name;
    let rows = Rows::open(object, args.member.member.as_deref(), Access::Write)?;
    let (key, value) = rows.types();
    let increase = |old: Option<Value>| increased(old, &value, args);
    let new = match rows {
        Rows::Table(table) => {
            let Some(key) = key else { return Err(Failure::message("a table without keys")) };
            let key = parse(&args.key, &key, "key")?;
            table.group_retry(|| -> Result<_, Failure> {
                let new = increase(table.find(&key)?)?;
                table.replace(&key, &new)?;
                Ok(new)
            })?
        }
        Rows::Array(array) => {
            let range = indices(&args.key, &array)?;
            if range.len() != 1 {
                return Err(Failure::message("`incr` adds to one element at a time"));
            }
            array.group_retry(|| -> Result<_, Failure> {
                let new = increase(Some(array.get(range.start)?))?;
                array.set(range.start, &new)?;
                Ok(new)
            })?
        }
    };
    let number = match &args.field {
        Some(field) => new.field(field).unwrap_or(&Value::Unit),
        None => &new,
    };
    if out.json() { out.json_line(&number.to_json()) } else { out.line(plain(number)) }
}

/// Returns the value with a number in it increased.
fn increased(old: Option<Value>, schema: &Schema, args: &Incr) -> Result<Value, Failure> {
    let Some(field) = &args.field else { return sum(old, schema, &args.by) };
    let no_field = || Failure::with_tip(format!("the value has no field {field:?}"), format!("its type is {schema}"));
    let Schema::Struct(_, fields) = schema else { return Err(no_field()) };
    let Some(Value::Struct(mut value)) = old else {
        return Err(Failure::message(format!("{} has no value, so there is no field to add to", args.key)));
    };
    let types: Vec<_> = fields.schemas().collect();
    let place = match &mut value.fields {
        FieldValues::Named(named) => {
            named.iter_mut().position(|(name, _)| **name == **field).map(|at| (at, &mut named[at].1))
        }
        FieldValues::Tuple(values) => field.parse::<usize>().ok().and_then(|at| Some((at, values.get_mut(at)?))),
        FieldValues::Unit => None,
    };
    let Some((at, place)) = place else { return Err(no_field()) };
    let old = std::mem::replace(place, Value::Unit);
    *place = sum(Some(old).filter(|old| *old != Value::Missing), types[at], &args.by)?;
    Ok(Value::Struct(value))
}

fn sum(old: Option<Value>, schema: &Schema, by: &str) -> Result<Value, Failure> {
    let Schema::Scalar(scalar) = schema else {
        return Err(Failure::with_tip("only numbers can be incremented", format!("the type is {schema}")));
    };
    let wrong = |_| Failure::message(format!("{by} cannot be added to a {schema}"));
    match scalar {
        Scalar::F32 | Scalar::F64 => {
            let by = by.parse::<f64>().map_err(|_| wrong(()))?;
            Ok(match (scalar, old) {
                (Scalar::F32, Some(Value::F32(old))) => Value::F32((f64::from(old) + by) as f32),
                (Scalar::F32, _) => Value::F32(by as f32),
                (_, Some(Value::F64(old))) => Value::F64(old + by),
                _ => Value::F64(by),
            })
        }
        Scalar::Bool | Scalar::Char => {
            Err(Failure::with_tip("only numbers can be incremented", format!("the type is {schema}")))
        }
        _ => {
            let by = by.parse::<i128>().map_err(|_| wrong(()))?;
            let overflow = || Failure::message(format!("the sum is out of the range of {schema}; nothing was changed"));
            let sum = match old {
                Some(Value::UInt(old)) => Value::UInt(old.checked_add_signed(by).ok_or_else(overflow)?),
                Some(Value::Int(old)) => Value::Int(old.checked_add(by).ok_or_else(overflow)?),
                _ => Value::Int(by),
            };
            // The type has its own range.
            Value::from_json(&sum.to_json(), schema).map_err(|_| overflow())
        }
    }
}

pub(crate) fn clear(args: &Clear) -> Result<(), Failure> {
    let (table, ..) = table(&args.member, "; `netshm resize NAME 0` removes its elements")?;
    confirm(args.yes, &format!("remove all rows of {}", args.member.object.name))?;
    Ok(table.clear()?)
}

pub(crate) fn resize(args: &Resize) -> Result<(), Failure> {
    let object = &args.member.object.name;
    match Rows::open(object, args.member.member.as_deref(), Access::Write)? {
        Rows::Array(array) => Ok(array.resize(args.length)?),
        Rows::Table(_) => Err(Failure::message(format!("{object}: is a table, which grows by itself"))),
    }
}

/// Asks a person at a terminal before something is destroyed.
pub(crate) fn confirm(yes: bool, what: &str) -> Result<(), Failure> {
    if yes || !io::stdin().is_terminal() {
        return Ok(());
    }
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{what}? [y/N] ").and_then(|()| stderr.flush()).map_err(|error| Failure::Io("asking", error))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::Io("reading the answer", error))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::message("nothing was changed")) }
}

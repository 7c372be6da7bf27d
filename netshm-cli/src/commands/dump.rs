//! `netshm dump` and `load`: an object as lines of JSON.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::inspect::{Inspector, MemberState};
use netshm::{Error, Shm, ShmName};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::args::{Dump, Load};
use crate::failure::Failure;
use crate::output::Output;
use crate::plan::{MemberPlan, ObjectPlan, remove_added};
use crate::progress::Progress;
use crate::rows::{Rows, shown, types};

/// The version of the form.
const VERSION: u32 = 1;
/// Elements that are read at once.
const BATCH: usize = 4096;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// Says what this is.
    netshm: String,
    version: u32,
    object: String,
    #[serde(flatten)]
    plan: ObjectPlan,
    members: Vec<MemberPlan>,
}

/// Each other line: a binding, or an element.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    member: String,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    key: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    value: Json,
}

/// Reads what is there, be it `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// Visits all bindings of a table: those of a key together, the oldest first.
pub(crate) fn for_each_binding(
    table: &DynTable,
    mut visit: impl FnMut(&Value, &Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for key in table.keys() {
        let key = key?;
        // As they are at one moment.
        for value in table.find_all(&key)?.iter().rev() {
            visit(&key, value)?;
        }
    }
    Ok(())
}

/// Visits the elements of an array that differ from the default.
pub(crate) fn for_each_set(
    array: &DynArray,
    mut visit: impl FnMut(usize, &Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let default = array.default_value()?;
    let mut values = Vec::new();
    for range in array.written()? {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + BATCH);
            values.resize(end - start, Value::Unit);
            match array.read_range(start..end, &mut values) {
                // It has become shorter meanwhile.
                Err(Error::OutOfBounds { .. }) => return Ok(()),
                outcome => outcome?,
            }
            for (index, value) in (start..end).zip(&values).filter(|(_, value)| **value != default) {
                visit(index, value)?;
            }
            start = end;
        }
    }
    Ok(())
}

/// Opens a stream to a file, or to standard output.
fn target<'a>(path: Option<&Path>, out: &'a mut Output) -> Result<Box<dyn Write + 'a>, Failure> {
    match path.filter(|path| *path != Path::new("-")) {
        None => Ok(out.stream()),
        Some(path) => {
            let file = File::create(path).map_err(|error| Failure::message(format!("{}: {error}", path.display())))?;
            Ok(Box::new(BufWriter::new(file)))
        }
    }
}

pub(crate) fn dump(args: &Dump, out: &mut Output) -> Result<(), Failure> {
    let name = &args.member.object.name;
    let snapshot = Inspector::open(name)?.look()?;
    let members = match &args.member.member {
        Some(member) => vec![crate::rows::choose(name, Some(member))?],
        None => snapshot.members.clone(),
    };
    let head = Head {
        netshm: "dump".to_owned(),
        version: VERSION,
        object: name.to_string(),
        plan: ObjectPlan::of(&snapshot),
        members: members.iter().map(MemberPlan::of).collect(),
    };
    let shm = Shm::options().read_only(true).open(name)?;
    let known = head.members.iter().map(|member| member.rows).sum::<Option<u64>>();
    let progress = Progress::new(known, "dumping");
    let mut stream = target(args.output.as_deref(), out)?;
    write_line(&mut stream, &head)?;
    for member in &members {
        let name = || member.name.clone();
        match Rows::of(shm.clone(), member)? {
            Rows::Table(table) => for_each_binding(&table, |key, value| {
                progress.row();
                let line = Line { member: name(), key: Some(key.to_json()), index: None, value: value.to_json() };
                write_line(&mut stream, &line)
            })?,
            Rows::Array(array) => for_each_set(&array, |index, value| {
                progress.row();
                let line = Line { member: name(), key: None, index: Some(index), value: value.to_json() };
                write_line(&mut stream, &line)
            })?,
        }
    }
    Ok(stream.flush()?)
}

fn write_line(stream: &mut dyn Write, line: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *stream, line)?;
    Ok(stream.write_all(b"\n")?)
}

/// Opens standard input, or a file.
pub(crate) fn source(path: Option<&Path>) -> Result<Box<dyn BufRead>, Failure> {
    match path.filter(|path| *path != Path::new("-")) {
        None => Ok(Box::new(BufReader::new(io::stdin()))),
        Some(path) => {
            let file = File::open(path).map_err(|error| Failure::message(format!("{}: {error}", path.display())))?;
            Ok(Box::new(BufReader::new(file)))
        }
    }
}

/// A member that is loaded.
struct Target {
    plan: MemberPlan,
    rows: Rows,
    types: (Option<netshm::data::Schema>, netshm::data::Schema),
}

pub(crate) fn load(args: &Load, out: &mut Output) -> Result<(), Failure> {
    let mut lines = Lines { rest: source(args.input.as_deref())?.lines(), number: 0 };
    let head = head(&mut lines)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => crate::names::object(head.object.as_ref())?,
    };
    let mut made = Made { name: &name, is_new: false, present: Vec::new(), planned: Vec::new() };
    let targets = targets(args, &name, &head, &mut made)?;
    let progress = Progress::new(head.members.iter().map(|member| member.rows).sum(), "loading");
    let Some(any) = targets.values().next() else { return Err(Failure::message("the dump has no members")) };
    let mut empties = args.replace;
    let mut loaded = 0u64;
    loop {
        let batch = || -> Result<bool, Failure> {
            if empties {
                targets.values().try_for_each(empty)?;
            }
            targets.values().try_for_each(|target| target.plan.lengthen(&target.rows))?;
            for _ in 0..args.batch.unwrap_or(u64::MAX) {
                let Some((number, line)) = lines.row()? else { return Ok(true) };
                put(&targets, &line).map_err(|failure| at_line(number, failure))?;
                progress.row();
                loaded += 1;
            }
            Ok(false)
        };
        if group(&any.rows, batch)? {
            break;
        }
        empties = false;
    }
    made.keep();
    drop(progress);
    if out.json() { out.json_document(&json!({"name": name.to_string(), "rows": loaded})) } else { Ok(()) }
}

/// Reads the first line of a dump.
fn head(lines: &mut Lines) -> Result<Head, Failure> {
    let Some((_, first)) = lines.next()? else { return Err(Failure::message("the input is empty")) };
    let head: Head = serde_json::from_str(&first).map_err(|error| {
        Failure::message(format!("line 1 is not the first line of a dump by `netshm dump`: {error}"))
    })?;
    if head.netshm != "dump" || head.version != VERSION {
        return Err(Failure::message(format!("the dump has version {}; this program reads {VERSION}", head.version)));
    }
    Ok(head)
}

/// The lines of a dump.
struct Lines {
    rest: io::Lines<Box<dyn BufRead>>,
    /// Lines that have been read.
    number: u64,
}

impl Lines {
    /// Returns the next line and its number.
    fn next(&mut self) -> Result<Option<(u64, String)>, Failure> {
        let line = self.rest.next().transpose().map_err(reading)?;
        self.number += u64::from(line.is_some());
        Ok(line.map(|line| (self.number, line)))
    }

    /// Returns the next row, which is a line that is not empty, and the line's number.
    fn row(&mut self) -> Result<Option<(u64, Line)>, Failure> {
        while let Some((number, line)) = self.next()? {
            if !line.trim().is_empty() {
                let row = serde_json::from_str(&line);
                return row
                    .map(|row| Some((number, row)))
                    .map_err(|error| at_line(number, Failure::message(error.to_string())));
            }
        }
        Ok(None)
    }
}

/// Runs a group on the object of these rows.
pub(crate) fn group<R>(rows: &Rows, body: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    match rows {
        Rows::Table(table) => table.group(body),
        Rows::Array(array) => array.group(body),
    }
}

/// Removes what there is. Elements of arrays get the default.
fn empty(target: &Target) -> Result<(), Failure> {
    match &target.rows {
        Rows::Table(table) => Ok(table.clear()?),
        Rows::Array(array) => {
            let default = array.default_value()?;
            for range in array.written()? {
                array.fill(range, &default)?;
            }
            Ok(())
        }
    }
}

fn reading(error: io::Error) -> Failure {
    Failure::message(format!("reading the input: {error}"))
}

fn at_line(number: u64, failure: Failure) -> Failure {
    match failure {
        Failure::Message(text, tip) => Failure::Message(format!("line {number}: {text}"), tip),
        // A deadlock, or a full object, has nothing to do with the line.
        other => other,
    }
}

/// What goes away again unless it is complete: the object, or members that were not there.
struct Made<'a> {
    name: &'a ShmName,
    is_new: bool,
    present: Vec<MemberState>,
    planned: Vec<String>,
}

impl Made<'_> {
    fn keep(&mut self) {
        self.is_new = false;
        self.planned.clear();
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if self.is_new {
            let _ = self.name.unlink();
        } else if !self.planned.is_empty() {
            remove_added(self.name, &self.present, self.planned.iter().map(String::as_str));
        }
    }
}

/// Makes the members, or opens them.
fn targets(args: &Load, name: &ShmName, head: &Head, made: &mut Made<'_>) -> Result<HashMap<String, Target>, Failure> {
    let shm = match Inspector::open(name).and_then(|inspector| inspector.look()) {
        Ok(snapshot) => {
            made.present = snapshot.members;
            Shm::open(name)?
        }
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let shm = Shm::options().create_new(true).mode(args.mode).open(name)?;
            made.is_new = true;
            shm
        }
        Err(error) => return Err(error.into()),
    };
    let object = if made.is_new { head.plan.clone() } else { ObjectPlan::default() };
    let mut targets = HashMap::new();
    let (unnamed, named): (Vec<_>, Vec<_>) = head.members.iter().partition(|plan| plan.name.is_empty());
    for plan in unnamed.into_iter().chain(named) {
        let key = plan.name.clone();
        let mut plan = plan.clone();
        if let Some(member) = &args.member {
            if head.members.len() > 1 {
                return Err(Failure::message("--member renames the only member of a dump, but this one has several"));
            }
            member.clone_into(&mut plan.name);
        }
        if let Some(found) = made.present.iter().find(|member| member.name == plan.name) {
            if found.rows > 0 && !args.replace && !args.append {
                return Err(Failure::with_tip(
                    format!("{name}: the member {} has {} rows already", shown(&found.name), found.rows),
                    "`--append` adds to them, `--replace` removes them first, in the same step",
                ));
            }
            if found.schema != plan.schema {
                return Err(Failure::message(format!(
                    "{name}: the member {} is a {}, and in the dump a {}",
                    shown(&found.name),
                    found.schema,
                    plan.schema
                )));
            }
        }
        made.planned.push(plan.name.clone());
        let rows = plan.make(&shm, &object)?;
        targets.insert(key, Target { types: types(&plan.schema), rows, plan });
    }
    Ok(targets)
}

fn put(targets: &HashMap<String, Target>, line: &Line) -> Result<(), Failure> {
    let unfit = |what: &str, unfit| Failure::message(format!("the {what} does not fit: {unfit}"));
    let Some(target) = targets.get(&line.member) else {
        return Err(Failure::message(format!("the dump has no member {}", shown(&line.member))));
    };
    match (&target.rows, &target.types, &line.key, line.index) {
        (Rows::Table(table), (Some(key), value), Some(json), _) => {
            let key = Value::from_json(json, key).map_err(|error| unfit("key", error))?;
            let value = Value::from_json_row(&line.value, value).map_err(|error| unfit("value", error))?;
            Ok(table.add(&key, &value)?)
        }
        (Rows::Array(array), (_, element), _, Some(index)) => {
            let value = Value::from_json(&line.value, element).map_err(|error| unfit("value", error))?;
            Ok(array.set(index, &value)?)
        }
        (Rows::Table(_), ..) => Err(Failure::message("a row of a table has a \"key\" and a \"value\"")),
        (Rows::Array(_), ..) => Err(Failure::message("an element has an \"index\" and a \"value\"")),
    }
}

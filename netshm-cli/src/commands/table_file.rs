//! `netshm export` and `import`: a table or an array as CSV.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use netshm::data::{Container, Fields, Schema};
use netshm::dynamic::Value;
use serde_json::{Map, Value as Json, json};

use super::dump::{for_each_binding, group, source};
use crate::args::{Export, Import};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::rows::{Access, Rows};
use crate::values::{parse, plain};

/// The columns of a key or a value: one, or one for each field of a struct.
struct Columns<'a> {
    titles: Vec<String>,
    /// The fields, if it is a struct with named ones: their names in JSON and their types.
    fields: Option<Vec<(&'a str, &'a Schema, bool)>>,
    schema: &'a Schema,
}

impl<'a> Columns<'a> {
    fn of(schema: &'a Schema, name: &str) -> Columns<'a> {
        let is_plain_struct = matches!(schema, Schema::Struct(_, Fields::Named(fields)) if !fields.is_empty())
            // Types that JSON writes as texts have one column.
            && Value::from_json(&Json::String(String::new()), schema).is_err();
        match schema {
            Schema::Struct(_, Fields::Named(fields)) if is_plain_struct => Columns {
                titles: fields
                    .iter()
                    .map(|field| if name == "value" { field.name.clone() } else { format!("{name}.{}", field.name) })
                    .collect(),
                fields: Some(fields.iter().map(|field| (field.name.as_str(), &field.schema, field.is_added)).collect()),
                schema,
            },
            _ => Columns { titles: vec![name.to_owned()], fields: None, schema },
        }
    }

    fn cells(&self, value: &Value, record: &mut Vec<String>) {
        match &self.fields {
            None => record.push(cell(value)),
            Some(fields) => {
                record.extend(fields.iter().map(|(name, ..)| value.field(name).map_or_else(String::new, cell)));
            }
        }
    }

    /// Returns whether rows may lack the column.
    fn may_lack(&self, title: &str) -> bool {
        self.fields.iter().flatten().zip(&self.titles).any(|((_, schema, is_added), known)| {
            known == title && (*is_added || matches!(schema, Schema::Container(Container::Option, _)))
        })
    }

    /// Returns the value in cells, which come in the order of the titles.
    fn value(&self, cells: &[Option<&str>]) -> Result<Value, Failure> {
        let Some(fields) = &self.fields else {
            let text = cells.first().copied().flatten().unwrap_or_default();
            return read_cell(text, self.schema, &self.titles[0]);
        };
        let mut object = Map::new();
        for (((name, schema, is_added), cell), title) in fields.iter().zip(cells).zip(&self.titles) {
            let text = cell.unwrap_or_default();
            // Older rows lack fields that were added later.
            if *is_added && text.is_empty() && read_cell(text, schema, title).is_err() {
                continue;
            }
            object.insert((*name).to_owned(), read_cell(text, schema, title)?.to_json());
        }
        Value::from_json_row(&Json::Object(object), self.schema)
            .map_err(|unfit| Failure::message(format!("the value does not fit: {unfit}")))
    }
}

/// Returns the text of a value; nothing for `None` and for what is missing. An option of an option is JSON, which distinguishes them.
fn cell(value: &Value) -> String {
    match value {
        Value::None | Value::Missing => String::new(),
        Value::Some(inner) if matches!(**inner, Value::None | Value::Some(_)) => value.to_json().to_string(),
        Value::Some(inner) => match cell(inner) {
            // An empty text is told from none.
            text if text.is_empty() => inner.to_json().to_string(),
            text => text,
        },
        value => plain(value),
    }
}

fn read_cell(text: &str, schema: &Schema, title: &str) -> Result<Value, Failure> {
    match schema {
        Schema::Container(Container::Option, _) if text.is_empty() => Ok(Value::None),
        Schema::Container(Container::Option, of) if of.len() == 1 && !is_option(&of[0]) => {
            read_cell(text, &of[0], title).map(|value| Value::Some(Box::new(value)))
        }
        _ => parse(text, schema, &format!("column {title:?}")),
    }
}

fn is_option(schema: &Schema) -> bool {
    match schema {
        Schema::Container(Container::Option, _) => true,
        Schema::Container(Container::Box, of) => of.first().is_some_and(is_option),
        _ => false,
    }
}

fn csv_failure(error: &csv::Error) -> Failure {
    Failure::message(format!("CSV: {error}"))
}

pub(crate) fn export(args: &Export, out: &mut Output) -> Result<(), Failure> {
    let rows = Rows::open(&args.member.object.name, args.member.member.as_deref(), Access::Read)?;
    let (key, value) = rows.types();
    let values = Columns::of(&value, "value");
    let keys = key.as_ref().map(|key| Columns::of(key, "key"));
    let stream: Box<dyn Write + '_> = match args.output.as_deref().filter(|path| *path != Path::new("-")) {
        None => out.stream(),
        Some(path) => {
            let file = File::create(path).map_err(|error| Failure::message(format!("{}: {error}", path.display())))?;
            Box::new(BufWriter::new(file))
        }
    };
    let mut writer = csv::WriterBuilder::new().delimiter(args.delimiter.byte()).from_writer(stream);
    let mut write = |record: &[String]| -> Result<(), Failure> {
        writer.write_record(record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error.into(),
            other => Failure::message(format!("CSV: {other:?}")),
        })
    };
    let first = keys.as_ref().map_or_else(|| vec!["index".to_owned()], |keys| keys.titles.clone());
    write(&[first, values.titles.clone()].concat())?;
    let mut record = Vec::new();
    match (&rows, &keys) {
        (Rows::Table(table), Some(keys)) => {
            let progress = Progress::new(Some(table.len()? as u64), "exporting");
            for_each_binding(table, |key, value| {
                record.clear();
                keys.cells(key, &mut record);
                values.cells(value, &mut record);
                progress.row();
                write(&record)
            })?;
        }
        (Rows::Array(array), _) => {
            let progress = Progress::new(Some(array.len()? as u64), "exporting");
            for (index, value) in array.scan().enumerate() {
                record.clear();
                record.push(index.to_string());
                values.cells(&value?, &mut record);
                progress.row();
                write(&record)?;
            }
        }
        (Rows::Table(_), None) => return Err(Failure::message("a table without keys")),
    }
    Ok(writer.flush()?)
}

/// The columns of a table's or an array's rows, and where a file has them.
struct Target<'a> {
    rows: &'a Rows,
    keys: Option<&'a Columns<'a>>,
    values: &'a Columns<'a>,
    /// Places of the columns of the key, or of the index.
    first_places: Vec<Option<usize>>,
    value_places: Vec<Option<usize>>,
    replaces: bool,
}

impl<'a> Target<'a> {
    /// Finds the columns in the first line of a file, which must have all that are needed and no others.
    fn new(
        args: &Import,
        rows: &'a Rows,
        keys: Option<&'a Columns<'a>>,
        values: &'a Columns<'a>,
        head: &csv::StringRecord,
    ) -> Result<Target<'a>, Failure> {
        let places: HashMap<&str, usize> = head.iter().enumerate().map(|(place, title)| (title, place)).collect();
        let first = keys.map_or_else(|| vec!["index".to_owned()], |keys| keys.titles.clone());
        let known: Vec<_> = first.iter().chain(&values.titles).collect();
        if let Some(unknown) = head.iter().find(|title| !known.iter().any(|known| known == title)) {
            let expected = known.iter().map(|title| title.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Failure::with_tip(
                format!("{}: has nothing for the column {unknown:?}", args.member.object.name),
                format!("the columns can be {expected}; the first line of the file names those it has"),
            ));
        }
        let missing = known.iter().find(|title| !places.contains_key(title.as_str()) && !values.may_lack(title));
        if let Some(missing) = missing {
            return Err(Failure::message(format!(
                "the column {missing:?} is missing; the first line names the columns"
            )));
        }
        let place = |title: &String| places.get(title.as_str()).copied();
        let first_places = first.iter().map(place).collect();
        let value_places = values.titles.iter().map(place).collect();
        Ok(Target { rows, keys, values, first_places, value_places, replaces: args.replace })
    }

    /// Stores a row.
    fn put(&self, record: &csv::StringRecord) -> Result<(), Failure> {
        let cells = |places: &[Option<usize>]| -> Vec<Option<&str>> {
            places.iter().map(|place| place.and_then(|place| record.get(place))).collect()
        };
        let value = self.values.value(&cells(&self.value_places))?;
        match (self.rows, self.keys) {
            (Rows::Table(table), Some(keys)) => {
                let key = keys.value(&cells(&self.first_places))?;
                if self.replaces { Ok(table.replace(&key, &value)?) } else { Ok(table.add(&key, &value)?) }
            }
            (Rows::Array(array), _) => {
                let text = cells(&self.first_places)[0].unwrap_or_default();
                let index: usize = text
                    .trim()
                    .parse()
                    .map_err(|_| Failure::message(format!("{text:?} is not the index of an element")))?;
                if index >= array.len()? {
                    let length = index.checked_add(1).ok_or_else(|| Failure::message("the index is too large"))?;
                    array.resize(length)?;
                }
                Ok(array.set(index, &value)?)
            }
            (Rows::Table(_), None) => Err(Failure::message("a table without keys")),
        }
    }
}

pub(crate) fn import(args: &Import, out: &mut Output) -> Result<(), Failure> {
    let rows = Rows::open(&args.member.object.name, args.member.member.as_deref(), Access::Write)?;
    let (key, value) = rows.types();
    let values = Columns::of(&value, "value");
    let keys = key.as_ref().map(|key| Columns::of(key, "key"));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(args.delimiter.byte())
        .flexible(true)
        .from_reader(source(args.input.as_deref())?);
    let head = reader.headers().map_err(|error| csv_failure(&error))?.clone();
    let target = Target::new(args, &rows, keys.as_ref(), &values, &head)?;
    let progress = Progress::new(None, "importing");
    let mut records = reader.into_records();
    let (mut added, mut is_last) = (0u64, false);
    while !is_last {
        group(&rows, || {
            for _ in 0..args.batch.unwrap_or(u64::MAX) {
                let Some(record) = records.next() else {
                    is_last = true;
                    break;
                };
                let record = record.map_err(|error| csv_failure(&error))?;
                let line = record.position().map_or(0, csv::Position::line);
                target.put(&record).map_err(|failure| match failure {
                    Failure::Message(text, tip) => Failure::Message(format!("line {line}: {text}"), tip),
                    other => other,
                })?;
                progress.row();
                added += 1;
            }
            Ok(())
        })?;
    }
    drop(progress);
    if out.json() { out.json_document(&json!({"rows": added})) } else { Ok(()) }
}

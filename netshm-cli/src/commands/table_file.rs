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

/// Returns the text of a value; nothing for `None` and for what is missing. An option of an option is JSON, which tells them apart.
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

pub(crate) fn import(args: &Import, out: &mut Output) -> Result<(), Failure> {
    let object = &args.member.object.name;
    let rows = Rows::open(object, args.member.member.as_deref(), Access::Write)?;
    let (key, value) = rows.types();
    let values = Columns::of(&value, "value");
    let keys = key.as_ref().map(|key| Columns::of(key, "key"));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(args.delimiter.byte())
        .flexible(true)
        .from_reader(source(args.input.as_deref())?);
    let head = reader.headers().map_err(|error| csv_failure(&error))?.clone();
    let places: HashMap<&str, usize> = head.iter().enumerate().map(|(place, title)| (title, place)).collect();
    let first = keys.as_ref().map_or_else(|| vec!["index".to_owned()], |keys| keys.titles.clone());
    let known: Vec<_> = first.iter().chain(&values.titles).collect();
    if let Some(unknown) = head.iter().find(|title| !known.iter().any(|known| known == title)) {
        let expected = known.iter().map(|title| title.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Failure::with_tip(
            format!("{object}: has nothing for the column {unknown:?}"),
            format!("the columns can be {expected}; the first line of the file names those it has"),
        ));
    }
    let optional = |title: &String| {
        let fields = values.fields.iter().flatten().zip(&values.titles);
        fields.into_iter().any(|((_, schema, is_added), known)| {
            known == title && (*is_added || matches!(schema, Schema::Container(Container::Option, _)))
        })
    };
    if let Some(missing) = known.iter().find(|title| !places.contains_key(title.as_str()) && !optional(title)) {
        return Err(Failure::message(format!("the column {missing:?} is missing; the first line names the columns")));
    }
    let place = |title: &String| places.get(title.as_str()).copied();
    let first_places: Vec<_> = first.iter().map(place).collect();
    let value_places: Vec<_> = values.titles.iter().map(place).collect();
    let progress = Progress::new(None, "importing");
    let mut records = reader.into_records();
    let mut added = 0u64;
    let put = |record: &csv::StringRecord| -> Result<(), Failure> {
        let cells = |places: &[Option<usize>]| -> Vec<Option<&str>> {
            places.iter().map(|place| place.and_then(|place| record.get(place))).collect()
        };
        let value = values.value(&cells(&value_places))?;
        match (&rows, &keys) {
            (Rows::Table(table), Some(keys)) => {
                let key = keys.value(&cells(&first_places))?;
                if args.replace { Ok(table.replace(&key, &value)?) } else { Ok(table.add(&key, &value)?) }
            }
            (Rows::Array(array), _) => {
                let text = cells(&first_places)[0].unwrap_or_default();
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
    };
    loop {
        let mut is_last = false;
        group(&rows, || {
            for _ in 0..args.batch.unwrap_or(u64::MAX) {
                let Some(record) = records.next() else {
                    is_last = true;
                    break;
                };
                let record = record.map_err(|error| csv_failure(&error))?;
                let line = record.position().map_or(0, csv::Position::line);
                put(&record).map_err(|failure| match failure {
                    Failure::Message(text, tip) => Failure::Message(format!("line {line}: {text}"), tip),
                    other => other,
                })?;
                progress.row();
                added += 1;
            }
            Ok(())
        })?;
        if is_last {
            break;
        }
    }
    drop(progress);
    if out.json() { out.json_document(&json!({"rows": added})) } else { Ok(()) }
}

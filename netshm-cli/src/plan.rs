//! What an object and its members are made of: as the text of a schema says it, and as the head of a dump.

use netshm::data::{Container, Fields, ObjectSchema, Scalar, Schema};
use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::inspect::{Inspector, MemberState, Snapshot};
use netshm::{Locking, ManageOptions, Shm, ShmName};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::rows::Rows;

/// Plan of an object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ObjectPlan {
    pub(crate) locking: Option<Locking>,
    pub(crate) pagesize: Option<u64>,
    pub(crate) slots: Option<u32>,
    pub(crate) max_size: Option<u64>,
}

impl ObjectPlan {
    pub(crate) fn of(snapshot: &Snapshot) -> ObjectPlan {
        ObjectPlan {
            locking: Some(snapshot.locking),
            pagesize: Some(snapshot.pagesize),
            slots: Some(snapshot.slots),
            max_size: Some(snapshot.max_size),
        }
    }
}

/// Plan of a member.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MemberPlan {
    /// Empty for the member without a name.
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) schema: ObjectSchema,
    #[serde(default)]
    pub(crate) init: Option<u64>,
    #[serde(default)]
    pub(crate) stripes: Option<u32>,
    /// Of an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) len: Option<u64>,
    /// Number of rows, shown to a person who waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
}

impl MemberPlan {
    pub(crate) fn of(member: &MemberState) -> MemberPlan {
        let is_array = matches!(member.schema, ObjectSchema::Array { .. });
        MemberPlan {
            name: member.name.clone(),
            schema: member.schema.clone(),
            init: Some(member.init),
            stripes: Some(member.stripes.len() as u32),
            default: member.default_value.as_ref().map(Value::to_json),
            len: is_array.then_some(member.rows),
            rows: (!is_array).then_some(member.rows),
        }
    }

    pub(crate) fn named(name: &str, schema: ObjectSchema) -> MemberPlan {
        MemberPlan { name: name.to_owned(), schema, init: None, stripes: None, default: None, len: None, rows: None }
    }

    /// Makes the member, or opens it if it is there and of this type. Arrays are as long as they were, or empty.
    pub(crate) fn make(&self, shm: &Shm, object: &ObjectPlan) -> Result<Rows, Failure> {
        match &self.schema {
            ObjectSchema::Array { element } => {
                let default = match &self.default {
                    Some(json) => Value::from_json(json, element).map_err(|unfit| {
                        Failure::with_tip(
                            format!("the default value does not fit: {unfit}"),
                            format!("its type is {element}"),
                        )
                    })?,
                    None => zero_value(element, &mut MOST_VALUES.clone()).ok_or_else(|| {
                        Failure::with_tip(
                            format!("an array of {element} needs a default value"),
                            "write it after the type, as JSON: Array<..> = VALUE",
                        )
                    })?,
                };
                let array =
                    self.options(DynArray::options(), object).manage(shm.clone(), self.schema.clone(), &default)?;
                Ok(Rows::Array(Box::new(array)))
            }
            schema => {
                let table = self.options(DynTable::options(), object).manage(shm.clone(), schema.clone())?;
                Ok(Rows::Table(Box::new(table)))
            }
        }
    }

    /// Makes an array as long as planned, if it is shorter.
    pub(crate) fn lengthen(&self, rows: &Rows) -> Result<(), Failure> {
        if let (Rows::Array(array), Some(len)) = (rows, self.len) {
            let len = usize::try_from(len).map_err(|_| Failure::message(format!("{len} elements are too many")))?;
            if array.len()? < len {
                array.resize(len)?;
            }
        }
        Ok(())
    }

    fn options<T>(&self, mut options: ManageOptions<T>, object: &ObjectPlan) -> ManageOptions<T> {
        if !self.name.is_empty() {
            options = options.named(&self.name);
        }
        if let Some(init) = self.init {
            options = options.init(init);
        }
        if let Some(stripes) = self.stripes {
            options = options.stripes(stripes);
        }
        if let Some(locking) = object.locking {
            options = options.locking(locking);
        }
        if let Some(pagesize) = object.pagesize {
            options = options.pagesize(pagesize);
        }
        if let Some(slots) = object.slots {
            options = options.slots(slots);
        }
        if let Some(max_size) = object.max_size {
            options = options.max_size(max_size);
        }
        options
    }
}

/// Removes members that have been added to an object in vain: those of the `planned` ones that were not `present` and have no rows.
/// Whoever has one open keeps it.
pub(crate) fn remove_added<'a>(name: &ShmName, present: &[MemberState], planned: impl Iterator<Item = &'a str>) {
    let Ok(snapshot) = Inspector::open(name).and_then(|inspector| inspector.look()) else { return };
    let Ok(shm) = Shm::open(name) else { return };
    let is_there = |members: &[MemberState], name: &str| members.iter().any(|member| member.name == name);
    let empty: Vec<_> = snapshot.members.into_iter().filter(|member| member.rows == 0).collect();
    for added in planned.filter(|added| !added.is_empty() && !is_there(present, added) && is_there(&empty, added)) {
        // What cannot be removed is empty.
        let _ = shm.remove_member(added);
    }
}

/// The most values inside a value that is made up.
const MOST_VALUES: u64 = 1 << 20;

/// Returns the value that `Default` gives for the usual types; `None` for enums, for types that contain themselves, and where it would have
/// more than `left` values inside.
fn zero_value(schema: &Schema, left: &mut u64) -> Option<Value> {
    *left = left.checked_sub(1)?;
    Some(match schema {
        Schema::Scalar(Scalar::Bool) => Value::Bool(false),
        Schema::Scalar(Scalar::Char) => Value::Char('\0'),
        Schema::Scalar(Scalar::F32) => Value::F32(0.0),
        Schema::Scalar(Scalar::F64) => Value::F64(0.0),
        Schema::Scalar(_) => Value::UInt(0),
        Schema::Text => Value::Text(String::new()),
        Schema::Container(Container::Option, _) => Value::None,
        Schema::Container(Container::Vec, of) if *of == [Schema::Scalar(Scalar::U8)] => Value::Bytes(Vec::new()),
        Schema::Container(Container::Vec | Container::BTreeSet | Container::HashSet, _) => Value::Seq(Vec::new()),
        Schema::Container(Container::BTreeMap | Container::HashMap, _) => Value::Map(Vec::new()),
        Schema::Container(Container::Box, of) => zero_value(of.first()?, left)?,
        Schema::Array(element, len) if **element == Schema::Scalar(Scalar::U8) => {
            *left = left.checked_sub(*len)?;
            Value::Bytes(vec![0; *len as usize])
        }
        Schema::Array(element, len) => {
            let before = *left;
            let value = zero_value(element, left)?;
            *left = before.checked_sub((before - *left).checked_mul(*len)?)?;
            Value::Seq(vec![value; *len as usize])
        }
        Schema::Tuple(items) if items.is_empty() => Value::Unit,
        Schema::Tuple(items) => Value::Tuple(items.iter().map(|item| zero_value(item, left)).collect::<Option<_>>()?),
        Schema::Struct(name, fields) => {
            let fields = match fields {
                Fields::Unit => netshm::dynamic::FieldValues::Unit,
                Fields::Tuple(items) => netshm::dynamic::FieldValues::Tuple(
                    items.iter().map(|item| zero_value(item, left)).collect::<Option<_>>()?,
                ),
                Fields::Named(fields) => netshm::dynamic::FieldValues::named(
                    fields
                        .iter()
                        .map(|field| Some((field.name.as_str(), zero_value(&field.schema, left)?)))
                        .collect::<Option<Vec<_>>>()?,
                ),
            };
            Value::Struct(Box::new(netshm::dynamic::Struct { name: name.as_str().into(), fields }))
        }
        _ => return None,
    })
}

/// Reads the members of an object from text as `netshm schema` prints it, or from its JSON.
pub(crate) fn members(text: &str) -> Result<Vec<MemberPlan>, Failure> {
    if text.trim_start().starts_with('{') {
        return from_json(text);
    }
    let mut rest = text.trim();
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (member, behind) = member(rest)?;
        members.push(member);
        rest = behind.trim_start();
    }
    if members.is_empty() { Err(wrong("there is no type in it", text)) } else { Ok(members) }
}

#[derive(Deserialize)]
struct Document {
    members: Vec<MemberPlan>,
}

fn from_json(text: &str) -> Result<Vec<MemberPlan>, Failure> {
    match serde_json::from_str::<Document>(text) {
        Ok(document) if !document.members.is_empty() => Ok(document.members),
        Ok(_) => Err(Failure::message("the schema has no members")),
        Err(error) => Err(Failure::message(format!("the schema is not that of `netshm --json schema`: {error}"))),
    }
}

fn wrong(what: &str, text: &str) -> Failure {
    let line = text.lines().next().unwrap_or_default();
    Failure::with_tip(
        format!("the schema cannot be read: {what}: {line}"),
        "write it as 'HashTable<String, u64>', 'Array<f64> = 1.5, len 100', or 'name: HashTable<..>' for a member",
    )
}

/// Reads a member as `name: HashTable<..>`, `Array<..> = default, len 10` or `Table`, and returns what follows.
fn member(text: &str) -> Result<(MemberPlan, &str), Failure> {
    let (name, rest) = member_name(text)?;
    let end = end_of_type(rest).ok_or_else(|| wrong("a bracket is not closed", rest))?;
    let (schema, rest) = rest.split_at(end);
    let schema: ObjectSchema = schema.trim().parse().map_err(|error| wrong(&format!("{error}"), schema))?;
    let mut plan = MemberPlan::named(&name, schema);
    let mut rest = rest;
    if let Some(behind) = rest.trim_start().strip_prefix('=') {
        let mut values = serde_json::Deserializer::from_str(behind).into_iter::<Json>();
        let value = values.next().and_then(Result::ok).ok_or_else(|| wrong("a default value is JSON", behind))?;
        plan.default = Some(value);
        rest = &behind[values.byte_offset()..];
    }
    if let Some(behind) = rest.trim_start().strip_prefix(',') {
        let behind = behind.trim_start();
        let digits = behind.strip_prefix("len").map(str::trim_start).ok_or_else(|| wrong("`len` expected", behind))?;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (number, behind) = digits.split_at(end);
        plan.len = Some(number.parse().map_err(|_| wrong("a length is a number", digits))?);
        rest = behind;
    }
    Ok((plan, rest))
}

fn member_name(text: &str) -> Result<(String, &str), Failure> {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let name = values.next().and_then(Result::ok).ok_or_else(|| wrong("a name is not closed", text))?;
        let rest = text[values.byte_offset()..].trim_start();
        let rest = rest.strip_prefix(':').ok_or_else(|| wrong("`:` expected after a name", rest))?;
        return Ok((name, rest.trim_start()));
    }
    let end = text.find(|c: char| matches!(c, '<' | ':') || c.is_whitespace()).unwrap_or(text.len());
    match text[end..].strip_prefix(':') {
        Some(rest) => Ok((text[..end].to_owned(), rest.trim_start())),
        None => Ok((String::new(), text)),
    }
}

/// Returns where the type at the start of the text ends.
fn end_of_type(text: &str) -> Option<usize> {
    let head = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    if !text[head..].starts_with('<') {
        return Some(head);
    }
    let (mut depth, mut in_quotes, mut escaped) = (0u32, false, false);
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < head) {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '<' | '{' | '(' | '[' => depth += 1,
            '>' | '}' | ')' | ']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + c.len_utf8());
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, Option<Json>, Option<u64>)> {
        let members = members(text).unwrap();
        members.into_iter().map(|m| (m.name, m.schema.to_string(), m.default, m.len)).collect()
    }

    #[test]
    fn schemas_are_read_as_they_are_printed() {
        let text = "users: HashTable<String, User {\n    \"a > b\": u64,\n}>\n\"two words\": Array<Option<u8>> = null, len 7\n";
        assert_eq!(
            read(text),
            [
                ("users".to_owned(), "HashTable<String, User { \"a > b\": u64 }>".to_owned(), None, None),
                ("two words".to_owned(), "Array<Option<u8>>".to_owned(), Some(Json::Null), Some(7)),
            ]
        );
        assert_eq!(read("Table"), [(String::new(), "Table".to_owned(), None, None)]);
        assert_eq!(read("a: Table\nArray<u64>").len(), 2);
        let json = r#"{"members": [{"name": "x", "schema": "Array<u64>", "default": 3}]}"#;
        assert_eq!(read(json), [("x".to_owned(), "Array<u64>".to_owned(), Some(Json::from(3)), None)]);
        for text in ["", "HashTable<u64", "HashTable<u64>", "a: b: Table", "Array<u64> = x", "Array<u64>, size 3", "{}"]
        {
            assert!(members(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zero_values_fit_their_types() {
        for text in [
            "u8",
            "i128",
            "f32",
            "char",
            "String",
            "()",
            "[u8; 3]",
            "[String; 2]",
            "P { x: f64, y: (bool, Vec<u8>) }",
            "U {}",
        ] {
            let schema: Schema = text.parse().unwrap();
            let value = zero_value(&schema, &mut MOST_VALUES.clone()).unwrap();
            assert_eq!(Value::from_json(&value.to_json(), &schema).unwrap().to_json(), value.to_json(), "{text}");
        }
        let endless: Schema = "A { a: ^A }".parse().unwrap();
        let vast: Schema = "[[[String; 65536]; 65536]; 65536]".parse().unwrap();
        for schema in [endless, vast] {
            assert_eq!(zero_value(&schema, &mut MOST_VALUES.clone()), None);
        }
    }
}

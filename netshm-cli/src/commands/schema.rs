//! `netshm schema`.

use netshm::data::{Fields, ObjectSchema, Schema as Type};
use netshm::inspect::{Inspector, MemberState};
use serde_json::{Value as Json, json};

use super::members::kind;
use super::rust_source;
use crate::args::Schema;
use crate::failure::Failure;
use crate::output::Output;
use crate::rows::{choose, types};

pub(crate) fn run(args: &Schema, out: &mut Output) -> Result<(), Failure> {
    let name = &args.member.object.name;
    let snapshot = Inspector::open(name)?.look()?;
    let members = match &args.member.member {
        Some(member) => vec![choose(name, Some(member))?],
        None => snapshot.members.clone(),
    };
    if args.rust {
        return out.bytes(rust_source::of(name, snapshot.locking, &members).as_bytes());
    }
    if out.json() {
        let members: Vec<_> = members.iter().map(document).collect();
        return out.json_document(&json!({"name": name.to_string(), "members": members}));
    }
    for member in &members {
        let name = if member.name.is_empty() { String::new() } else { format!("{}: ", quoted(&member.name)) };
        let default = member.default_value.as_ref().map_or_else(String::new, |value| format!(" = {}", value.to_json()));
        let is_array = matches!(member.schema, ObjectSchema::Array { .. });
        let len = if is_array { format!(", len {}", member.rows) } else { String::new() };
        out.line(format_args!("{name}{:#}{default}{len}", member.schema))?;
    }
    Ok(())
}

/// Returns the name of a member in the text of a schema: in quotes unless it is a plain one.
pub(crate) fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if is_plain && !name.is_empty() { name.to_owned() } else { Json::from(name).to_string() }
}

fn document(member: &MemberState) -> Json {
    let (key, value) = types(&member.schema);
    let is_array = matches!(member.schema, ObjectSchema::Array { .. });
    let mut document = json!({
        "name": member.name,
        "kind": kind(member.kind),
        "schema": member.schema.to_string(),
        "key": key.as_ref().map(tree),
        if is_array { "element" } else { "value" }: tree(&value),
    });
    if is_array {
        document["default"] = member.default_value.as_ref().map(netshm::dynamic::Value::to_json).into();
        document["len"] = member.rows.into();
    }
    document
}

/// Returns the tree of a type.
fn tree(schema: &Type) -> Json {
    match schema {
        Type::Scalar(scalar) => json!({"type": scalar.name()}),
        Type::Text => json!({"type": "String"}),
        Type::Container(container, of) => {
            json!({"type": container.name(), "of": of.iter().map(tree).collect::<Vec<_>>()})
        }
        Type::Array(element, len) => json!({"type": "array", "of": [tree(element)], "len": len}),
        Type::Tuple(items) => json!({"type": "tuple", "of": items.iter().map(tree).collect::<Vec<_>>()}),
        Type::Struct(name, of) => {
            let mut json = json!({"type": "struct", "name": name});
            json["fields"] = fields(of);
            json
        }
        Type::Enum(name, variants) => {
            let variant = |variant: &netshm::data::Variant| json!({"name": variant.name, "index": variant.index, "fields": fields(&variant.fields)});
            json!({"type": "enum", "name": name, "variants": variants.iter().map(variant).collect::<Vec<_>>()})
        }
        Type::Back(name, skipped) => json!({"type": "back", "name": name, "skipped": skipped}),
        other => json!({"type": other.to_string()}),
    }
}

fn fields(fields: &Fields) -> Json {
    match fields {
        Fields::Unit => json!([]),
        Fields::Tuple(items) => items.iter().map(tree).collect(),
        Fields::Named(fields) => {
            let field = |field: &netshm::data::Field| {
                let mut json = tree(&field.schema);
                json["field"] = field.name.clone().into();
                json["added"] = field.is_added.into();
                if field.has_default {
                    json["default"] = true.into();
                }
                json
            };
            fields.iter().map(field).collect()
        }
    }
}

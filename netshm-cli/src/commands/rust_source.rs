//! Rust source of types that have the schema of an object.

use std::collections::BTreeSet;
use std::fmt::Write;

use netshm::data::{Container, Fields, ObjectSchema, Schema, Variant};
use netshm::dynamic::Value;
use netshm::inspect::MemberState;
use netshm::{Locking, ShmName};

const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum",
    "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move",
    "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "crate", "self", "super",
];

/// Returns the types of the standard library and other crates that are stored as structs.
fn known() -> Vec<(Schema, &'static str)> {
    use std::{ffi, net, path, time};
    vec![
        (Schema::of::<net::Ipv4Addr>(), "std::net::Ipv4Addr"),
        (Schema::of::<net::Ipv6Addr>(), "std::net::Ipv6Addr"),
        (Schema::of::<net::IpAddr>(), "std::net::IpAddr"),
        (Schema::of::<net::SocketAddrV4>(), "std::net::SocketAddrV4"),
        (Schema::of::<net::SocketAddrV6>(), "std::net::SocketAddrV6"),
        (Schema::of::<net::SocketAddr>(), "std::net::SocketAddr"),
        (Schema::of::<path::PathBuf>(), "std::path::PathBuf"),
        (Schema::of::<ffi::OsString>(), "std::ffi::OsString"),
        (Schema::of::<ffi::CString>(), "std::ffi::CString"),
        (Schema::of::<time::Duration>(), "std::time::Duration"),
        (Schema::of::<time::SystemTime>(), "std::time::SystemTime"),
        (Schema::of::<std::cmp::Ordering>(), "std::cmp::Ordering"),
    ]
}

/// A type that is to be written, under the name that it gets.
struct Defined<'a> {
    schema: &'a Schema,
    name: String,
}

/// Position of a type.
#[derive(Clone, Copy)]
struct Place {
    /// True in the key of a table.
    is_key: bool,
    /// True in the key of a map or an element of a set.
    is_sorted: bool,
    /// True behind a pointer: such a type may contain itself.
    is_boxed: bool,
}

const PLAIN: Place = Place { is_key: false, is_sorted: false, is_boxed: false };

#[derive(Default)]
struct Source<'a> {
    known: Vec<(Schema, &'static str)>,
    defined: Vec<Defined<'a>>,
    bodies: Vec<String>,
    /// Indices of types that are keys, and of those that are sorted or hashed.
    keys: BTreeSet<usize>,
    sorted: BTreeSet<usize>,
    /// Those that need a default value.
    defaults: BTreeSet<usize>,
    uses: BTreeSet<&'static str>,
}

/// Writes the types of the members, and how to use them.
pub(crate) fn of(object: &ShmName, locking: Locking, members: &[MemberState]) -> String {
    let mut source = Source { known: known(), ..Source::default() };
    let mut fields = Vec::new();
    for member in members {
        let kind = match &member.schema {
            ObjectSchema::HashTable { key, value } => {
                let key = source.name_of(key, Place { is_key: true, is_sorted: true, ..PLAIN }, &mut Vec::new());
                let value = source.name_of(value, PLAIN, &mut Vec::new());
                source.uses.insert("HashTable");
                format!("HashTable<{key}, {value}>")
            }
            ObjectSchema::Array { element } => {
                source.uses.insert("Array");
                format!("Array<{}>", source.name_of(element, PLAIN, &mut Vec::new()))
            }
            _ => {
                source.uses.insert("Table");
                "Table".to_owned()
            }
        };
        fields.push((member, kind));
    }
    let mut text = source.definitions();
    if let [(member, kind)] = &fields[..]
        && member.name.is_empty()
    {
        let _ = writeln!(text, "\n/// What is in `{object}`.\npub type Contents = {kind};");
    } else if !fields.is_empty() {
        source.uses.extend(["Locking", "ShmSchema"]);
        text.push_str(&structure(object, locking, &fields));
    }
    let uses = source.uses.iter().copied().collect::<Vec<_>>().join(", ");
    let head = format!("// The types of {object}, as it describes itself; written by `netshm schema --rust`.\n\n");
    format!("{head}use netshm::{{{uses}}};\n{text}")
}

/// Returns the object as a struct.
fn structure(object: &ShmName, locking: Locking, fields: &[(&MemberState, String)]) -> String {
    let text = object.to_string();
    let place = text.strip_prefix("posix:").unwrap_or(&text);
    let mut out = format!("\n/// What is in `{object}`.\n#[derive(ShmSchema)]\n");
    let _ = writeln!(out, "#[shm(object = {place:?}, locking = Locking::{locking})]\npub struct Contents {{");
    for (member, kind) in fields {
        if member.name.is_empty() {
            let _ = writeln!(out, "    // The member without a name is a {kind}; manage it beside this struct.");
            continue;
        }
        let name = identifier(&member.name, false);
        let mut attributes = Vec::new();
        if name.trim_start_matches("r#") != member.name {
            attributes.push(format!("name = {:?}", member.name));
        }
        if let ObjectSchema::Array { .. } = member.schema {
            attributes.push(format!("len = {}", member.rows));
            attributes.push(match member.default_value.as_ref().and_then(expression) {
                Some(default) => format!("default = {default}"),
                None => "default".to_owned(),
            });
        }
        if !attributes.is_empty() {
            let _ = writeln!(out, "    #[shm({})]", attributes.join(", "));
        }
        let _ = writeln!(out, "    pub {name}: {kind},");
    }
    out.push_str("}\n");
    out
}

/// Returns a value as a Rust expression, if it is a simple one.
fn expression(value: &Value) -> Option<String> {
    Some(match value {
        Value::Unit => "()".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::F32(number) if number.is_finite() => format!("{number:?}"),
        Value::F64(number) if number.is_finite() => format!("{number:?}"),
        Value::Char(c) => format!("{c:?}"),
        Value::Text(text) => format!("{text:?}.to_owned()"),
        Value::None => "None".to_owned(),
        Value::Some(value) => format!("Some({})", expression(value)?),
        Value::Seq(values) if values.is_empty() => "Default::default()".to_owned(),
        Value::Tuple(values) => {
            let items = values.iter().map(expression).collect::<Option<Vec<_>>>()?;
            format!("({}{})", items.join(", "), if items.len() == 1 { "," } else { "" })
        }
        _ => return None,
    })
}

impl<'a> Source<'a> {
    /// Returns the name of a type in Rust; structs and enums are defined on the way. `around` are those that it stands in.
    fn name_of(&mut self, schema: &'a Schema, place: Place, around: &mut Vec<&'a Schema>) -> String {
        match schema {
            Schema::Scalar(scalar) => scalar.name().to_owned(),
            Schema::Text => "String".to_owned(),
            Schema::Container(container, of) => self.container(*container, of, place, around),
            Schema::Array(element, len) => format!("[{}; {len}]", self.name_of(element, place, around)),
            Schema::Tuple(items) => {
                let items: Vec<_> = items.iter().map(|item| self.name_of(item, place, around)).collect();
                format!("({}{})", items.join(", "), if items.len() == 1 { "," } else { "" })
            }
            Schema::Struct(name, _) | Schema::Enum(name, _) => {
                if let Some((_, path)) = self.known.iter().find(|(known, _)| known == schema) {
                    return (*path).to_owned();
                }
                self.define(schema, name, place, around)
            }
            Schema::Back(name, skipped) => {
                let is_it =
                    |schema: &&&Schema| matches!(schema, Schema::Struct(n, _) | Schema::Enum(n, _) if n == name);
                let found = around.iter().rev().filter(is_it).nth(*skipped as usize);
                let index =
                    found.and_then(|found| self.defined.iter().position(|known| std::ptr::eq(known.schema, *found)));
                let name = index.map_or_else(|| identifier(name, true), |index| self.defined[index].name.clone());
                if place.is_boxed { name } else { format!("Box<{name}>") }
            }
            other => other.to_string(),
        }
    }

    fn container(
        &mut self,
        container: Container,
        of: &'a [Schema],
        place: Place,
        around: &mut Vec<&'a Schema>,
    ) -> String {
        let boxed = Place { is_boxed: true, ..place };
        let sorted = Place { is_sorted: true, ..boxed };
        let inside = match container {
            Container::BTreeMap | Container::HashMap => [sorted, boxed],
            Container::BTreeSet | Container::HashSet => [sorted; 2],
            Container::Vec | Container::Box => [boxed; 2],
            _ => [place; 2],
        };
        let of: Vec<_> = of.iter().zip(inside).map(|(part, place)| self.name_of(part, place, around)).collect();
        let path = match container {
            Container::BTreeMap | Container::HashMap | Container::BTreeSet | Container::HashSet => "std::collections::",
            _ => "",
        };
        format!("{path}{}<{}>", container.name(), of.join(", "))
    }

    fn define(&mut self, schema: &'a Schema, stored: &str, place: Place, around: &mut Vec<&'a Schema>) -> String {
        let known = self.defined.iter().position(|known| known.schema == schema);
        let index = match known {
            Some(index) if self.is_noted(index, place) => return self.defined[index].name.clone(),
            Some(index) => index,
            None => {
                let name = self.unused(&identifier(stored, true));
                self.defined.push(Defined { schema, name });
                self.bodies.push(String::new());
                self.defined.len() - 1
            }
        };
        if place.is_key {
            self.keys.insert(index);
        }
        if place.is_sorted {
            self.sorted.insert(index);
        }
        let schema = self.defined[index].schema;
        around.push(schema);
        let place = Place { is_boxed: false, ..place };
        let body = match schema {
            Schema::Enum(_, variants) => self.variants(variants, place, around),
            Schema::Struct(_, fields) => match fields {
                Fields::Unit => " {}\n".to_owned(),
                Fields::Tuple(_) => format!("{};\n", self.fields(fields, "pub ", "", place, around)),
                Fields::Named(_) => format!("{}\n", self.fields(fields, "pub ", "", place, around)),
            },
            _ => String::new(),
        };
        around.pop();
        let name = self.defined[index].name.clone();
        let keyword = if matches!(schema, Schema::Enum(..)) { "enum" } else { "struct" };
        let rename = if name.trim_start_matches("r#") == stored {
            String::new()
        } else {
            format!("#[shm(rename = {stored:?})]\n")
        };
        self.bodies[index] = format!("{rename}pub {keyword} {name}{body}");
        name
    }

    /// Returns whether what follows from a place is known of a type already.
    fn is_noted(&self, index: usize, place: Place) -> bool {
        (!place.is_key || self.keys.contains(&index)) && (!place.is_sorted || self.sorted.contains(&index))
    }

    fn unused(&self, name: &str) -> String {
        let taken = |name: &str| self.defined.iter().any(|known| known.name == name) || name == "Contents";
        let mut candidate = name.to_owned();
        let mut number = 2;
        while taken(&candidate) {
            candidate = format!("{name}{number}");
            number += 1;
        }
        candidate
    }

    fn variants(&mut self, variants: &'a [Variant], place: Place, around: &mut Vec<&'a Schema>) -> String {
        let mut body = " {\n".to_owned();
        let mut expected = 0;
        for variant in variants {
            let name = identifier(&variant.name, true);
            let mut attributes = Vec::new();
            if variant.index != expected {
                attributes.push(format!("index = {}", variant.index));
            }
            if name.trim_start_matches("r#") != variant.name {
                attributes.push(format!("rename = {:?}", variant.name));
            }
            if !attributes.is_empty() {
                let _ = writeln!(body, "    #[shm({})]", attributes.join(", "));
            }
            expected = variant.index.wrapping_add(1);
            let _ = writeln!(body, "    {name}{},", self.fields(&variant.fields, "", "    ", place, around));
        }
        body.push_str("}\n");
        body
    }

    fn fields(
        &mut self,
        fields: &'a Fields,
        visible: &str,
        indent: &str,
        place: Place,
        around: &mut Vec<&'a Schema>,
    ) -> String {
        match fields {
            Fields::Unit => String::new(),
            Fields::Tuple(items) => {
                let items: Vec<_> =
                    items.iter().map(|item| format!("{visible}{}", self.name_of(item, place, around))).collect();
                format!("({})", items.join(", "))
            }
            Fields::Named(fields) => {
                let mut body = " {\n".to_owned();
                for field in fields {
                    let name = identifier(&field.name, false);
                    let mut attributes = Vec::new();
                    if name.trim_start_matches("r#") != field.name {
                        attributes.push(format!("rename = {:?}", field.name));
                    }
                    let kind = self.name_of(&field.schema, place, around);
                    if field.is_added || field.has_default {
                        self.needs_default(&field.schema);
                        attributes.push("default".to_owned());
                    }
                    if !attributes.is_empty() {
                        let _ = writeln!(body, "{indent}    #[shm({})]", attributes.join(", "));
                    }
                    let _ = writeln!(body, "{indent}    {visible}{name}: {kind},");
                }
                let _ = write!(body, "{indent}}}");
                body
            }
        }
    }

    /// Notes that values of a type are made by default.
    fn needs_default(&mut self, schema: &Schema) {
        match schema {
            Schema::Tuple(items) => items.iter().for_each(|item| self.needs_default(item)),
            Schema::Array(element, _) => self.needs_default(element),
            Schema::Struct(_, fields) => {
                let index = self.defined.iter().position(|known| known.schema == schema);
                if index.is_some_and(|index| self.defaults.insert(index)) {
                    fields.schemas().for_each(|field| self.needs_default(field));
                }
            }
            Schema::Enum(..) => {
                self.defaults.extend(self.defined.iter().position(|known| known.schema == schema));
            }
            _ => {}
        }
    }

    fn definitions(&mut self) -> String {
        let mut text = String::new();
        for (index, body) in self.bodies.iter().enumerate() {
            let mut derives = vec!["ShmData"];
            self.uses.insert("ShmData");
            if self.keys.contains(&index) {
                derives.push("ShmKey");
                self.uses.insert("ShmKey");
            }
            derives.extend(["Debug", "Clone", "PartialEq"]);
            if self.sorted.contains(&index) {
                derives.extend(["Eq", "PartialOrd", "Ord", "Hash"]);
            }
            let is_struct = matches!(self.defined[index].schema, Schema::Struct(..));
            if self.defaults.contains(&index) && is_struct {
                derives.push("Default");
            }
            let _ = write!(text, "\n#[derive({})]\n{body}", derives.join(", "));
            if self.defaults.contains(&index) && !is_struct {
                let _ = writeln!(text, "// Add `Default`: older rows lack a field of this type.");
            }
        }
        text
    }
}

/// Returns a name in Rust that is as close to the stored one as possible; `is_type` for types and variants.
fn identifier(stored: &str, is_type: bool) -> String {
    let mut name: String = stored.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    if !name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_') || name == "_" {
        name.insert_str(0, if is_type { "T" } else { "f_" });
    }
    match name.as_str() {
        "self" | "Self" | "super" | "crate" => format!("{name}_"),
        word if KEYWORDS.contains(&word) => format!("r#{name}"),
        _ => name,
    }
}

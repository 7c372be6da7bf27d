//! Schemas as text.

use std::fmt::{self, Display, Formatter, Write};

use super::{Field, Fields, Schema, Variant};

/// On one line; with `{:#}` structs and enums take a line for each field or variant.
impl Display for Schema {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { pretty: f.alternate(), depth: 0, out: f };
        printer.schema(self)
    }
}

struct Printer<'a, 'b> {
    out: &'a mut Formatter<'b>,
    pretty: bool,
    depth: usize,
}

impl Printer<'_, '_> {
    fn schema(&mut self, schema: &Schema) -> fmt::Result {
        match schema {
            Schema::Scalar(scalar) => self.out.write_str(scalar.name()),
            Schema::Text => self.out.write_str("String"),
            Schema::Container(container, of) => {
                self.out.write_str(container.name())?;
                self.list("<", of, ">")
            }
            Schema::Array(element, len) => {
                self.out.write_char('[')?;
                self.schema(element)?;
                write!(self.out, "; {len}]")
            }
            Schema::Tuple(items) => self.list("(", items, if items.len() == 1 { ",)" } else { ")" }),
            Schema::Struct(name, fields) => {
                self.name(name)?;
                match fields {
                    Fields::Unit => self.out.write_str(" {}"),
                    fields => self.fields(fields),
                }
            }
            Schema::Enum(name, variants) => {
                self.out.write_str("enum ")?;
                self.name(name)?;
                let mut expected = 0;
                self.block(variants, |printer, Variant { index, name, fields }| {
                    if *index != expected {
                        write!(printer.out, "{index}: ")?;
                    }
                    expected = index.wrapping_add(1);
                    printer.name(name)?;
                    printer.fields(fields)
                })
            }
            Schema::Back(name, skipped) => {
                self.out.write_char('^')?;
                self.name(name)?;
                if *skipped > 0 { write!(self.out, "#{skipped}") } else { Ok(()) }
            }
        }
    }

    fn fields(&mut self, fields: &Fields) -> fmt::Result {
        match fields {
            Fields::Unit => Ok(()),
            Fields::Tuple(items) => self.list("(", items, ")"),
            Fields::Named(fields) => self.block(fields, |printer, field| {
                let Field { name, schema, has_default, is_added } = field;
                printer.name(name)?;
                printer.out.write_str(if *is_added { "?: " } else { ": " })?;
                printer.schema(schema)?;
                if *has_default && !is_added { printer.out.write_str(" = ..") } else { Ok(()) }
            }),
        }
    }

    fn list(&mut self, open: &str, items: &[Schema], close: &str) -> fmt::Result {
        self.out.write_str(open)?;
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.write_str(", ")?;
            }
            self.schema(item)?;
        }
        self.out.write_str(close)
    }

    fn block<T>(&mut self, items: &[T], mut print: impl FnMut(&mut Self, &T) -> fmt::Result) -> fmt::Result {
        self.out.write_str(" {")?;
        self.depth += 1;
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.write_char(',')?;
            }
            self.space()?;
            print(self, item)?;
        }
        self.depth -= 1;
        if !items.is_empty() {
            if self.pretty {
                self.out.write_char(',')?;
            }
            self.space()?;
        }
        self.out.write_char('}')
    }

    fn space(&mut self) -> fmt::Result {
        if self.pretty { write!(self.out, "\n{:width$}", "", width = self.depth * 4) } else { self.out.write_char(' ') }
    }

    /// Writes a name as it is if it looks like one of Rust's, otherwise in quotes.
    fn name(&mut self, name: &str) -> fmt::Result {
        if is_plain(name) { self.out.write_str(name) } else { write!(self.out, "{name:?}") }
    }
}

/// Returns whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_start) && chars.all(is_part) && name != "enum"
}

pub(super) fn is_start(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

pub(super) fn is_part(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

//! Schemas in words.

use std::fmt::{self, Formatter};

use super::declaration::{Declaration, Declared};
use super::place::Place;
use crate::layout::method::Locking;

/// Columns by which nested lines are indented.
const INDENT: &str = "    ";

/// Width of the names of properties.
const PROPERTY: usize = 13;

impl Declaration {
    /// Describes the schema for a person to read, if it is in that place.
    #[must_use]
    pub fn describe(&self, place: &Place) -> String {
        Described { declaration: self, place }.to_string()
    }
}

/// A declaration and the place that its objects are in.
struct Described<'a> {
    declaration: &'a Declaration,
    place: &'a Place,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {}", self.declaration.name, self.place)?;
        indented(f, self.declaration.docs, 1)?;
        for entry in &self.declaration.entries {
            writeln!(f)?;
            entry.write(self.place, f)?;
        }
        Ok(())
    }
}

/// Works like [`describe`](Declaration::describe), in the place that was declared.
impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Described { declaration: self, place: &self.place }.fmt(f)
    }
}

impl Declared {
    fn write(&self, place: &Place, out: &mut Formatter<'_>) -> fmt::Result {
        indented(out, &format!("{}: {:#}", self.field, (self.schema)()), 1)?;
        indented(out, self.docs, 2)?;
        let mut property =
            |name: &str, value: &dyn fmt::Display| writeln!(out, "{INDENT}{INDENT}{name:PROPERTY$}{value}");
        let name = self.name_in(place);
        match &name {
            Ok(name) => property("name", name)?,
            Err(error) => property("name", error)?,
        }
        match (self.shape.locking, &name) {
            (Some(locking), _) => property("locking", &locking)?,
            (None, Ok(name)) if !self.read_only => {
                property("locking", &format_args!("{} (the default)", Locking::best(name)))?;
            }
            (None, _) => property("locking", &"as the object was created")?,
        }
        if self.read_only {
            property("access", &"read-only")?;
        } else {
            property("mode", &format_args!("{:#o}", self.permissions()))?;
        }
        let options: [(&str, Option<u64>, &str); 6] = [
            ("init", self.shape.init, " keys"),
            ("pagesize", self.shape.pagesize, " bytes"),
            ("max_size", self.shape.max_size, " bytes"),
            ("stripes", self.shape.stripes.map(u64::from), ""),
            ("stripe_room", self.shape.stripe_room.map(u64::from), " stripes"),
            ("slots", self.shape.slots.map(u64::from), ""),
        ];
        for (name, value, unit) in options {
            if let Some(value) = value {
                property(name, &format_args!("{value}{unit}"))?;
            }
        }
        if self.shape.give_back_live {
            property("memory", &"given back beside others")?;
        }
        if let Some(timeout) = self.limits.lock_timeout {
            property("lock_timeout", &format_args!("{timeout:?}"))?;
        }
        if let Some(length) = self.length {
            property("len", &format_args!("{length} or more"))?;
        }
        if let Some(default) = self.default {
            property("default", &default)?;
        }
        Ok(())
    }
}

/// Writes the lines of a text, indented.
fn indented(out: &mut Formatter<'_>, text: &str, steps: usize) -> fmt::Result {
    for line in text.lines() {
        if line.is_empty() {
            writeln!(out)?;
        } else {
            writeln!(out, "{:width$}{line}", "", width = steps * INDENT.len())?;
        }
    }
    Ok(())
}

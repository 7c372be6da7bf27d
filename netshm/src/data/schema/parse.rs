//! Schemas from text. The text may come from a damaged object, so nesting is bounded.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use super::text::{is_part, is_start};
use super::{Container, Field, Fields, ObjectSchema, Scalar, Schema, Variant};

/// The deepest nesting of types.
const MAX_DEPTH: u32 = 256;

/// A text is no schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseSchemaError {
    /// Position of the mistake in the text, in bytes.
    pub at: usize,
    /// The expected syntax.
    pub expected: &'static str,
}

impl fmt::Display for ParseSchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no schema: {} expected at byte {}", self.expected, self.at)
    }
}

impl Error for ParseSchemaError {}

type Parsed<T> = Result<T, ParseSchemaError>;

impl FromStr for Schema {
    type Err = ParseSchemaError;

    fn from_str(text: &str) -> Parsed<Schema> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let schema = parser.schema()?;
        parser.end()?;
        Ok(schema)
    }
}

impl FromStr for ObjectSchema {
    type Err = ParseSchemaError;

    fn from_str(text: &str) -> Parsed<ObjectSchema> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let start = parser.at;
        let schema = match parser.name()?.as_str() {
            "HashTable" => {
                parser.expect("<")?;
                let key = parser.schema()?;
                parser.expect(",")?;
                let value = parser.schema()?;
                parser.expect(">")?;
                ObjectSchema::HashTable { key, value }
            }
            "Array" => {
                parser.expect("<")?;
                let element = parser.schema()?;
                parser.expect(">")?;
                ObjectSchema::Array { element }
            }
            "Table" => ObjectSchema::Table,
            _ => return Err(ParseSchemaError { at: start, expected: "`HashTable`, `Array` or `Table`" }),
        };
        parser.end()?;
        Ok(schema)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn fail<T>(&self, expected: &'static str) -> Parsed<T> {
        Err(ParseSchemaError { at: self.at, expected })
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_ascii_start().len();
    }

    /// Takes a sign, if it comes next.
    fn accept(&mut self, sign: &str) -> bool {
        self.spaces();
        let there = self.rest().starts_with(sign);
        if there {
            self.at += sign.len();
        }
        there
    }

    fn expect(&mut self, sign: &'static str) -> Parsed<()> {
        if self.accept(sign) { Ok(()) } else { self.fail(sign) }
    }

    fn end(&mut self) -> Parsed<()> {
        self.spaces();
        if self.rest().is_empty() { Ok(()) } else { self.fail("the end") }
    }

    /// Parses a name, which may be in quotes.
    fn name(&mut self) -> Parsed<String> {
        self.spaces();
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        if !self.rest().starts_with(is_start) {
            return self.fail("a name");
        }
        let len = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        let name = self.rest()[..len].to_owned();
        self.at += len;
        Ok(name)
    }

    /// Parses a quoted name, as `{:?}` writes it.
    fn quoted(&mut self) -> Parsed<String> {
        let mut name = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(name);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => name.push('\n'),
                    Some((_, 't')) => name.push('\t'),
                    Some((_, 'r')) => name.push('\r'),
                    Some((_, '0')) => name.push('\0'),
                    Some((_, 'u')) => {
                        let digits: String = chars.by_ref().map(|(_, c)| c).take_while(|c| *c != '}').collect();
                        let code = u32::from_str_radix(digits.trim_start_matches('{'), 16).ok();
                        match code.and_then(char::from_u32) {
                            Some(c) => name.push(c),
                            None => break,
                        }
                    }
                    Some((_, c)) => name.push(c),
                    None => break,
                },
                c => name.push(c),
            }
        }
        self.fail("a name in quotes")
    }

    fn number(&mut self) -> Parsed<u64> {
        self.spaces();
        let len = self.rest().find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest().len());
        match self.rest()[..len].parse() {
            Ok(number) => {
                self.at += len;
                Ok(number)
            }
            Err(_) => self.fail("a number"),
        }
    }

    fn schema(&mut self) -> Parsed<Schema> {
        if self.depth == MAX_DEPTH {
            return self.fail("less nesting");
        }
        self.depth += 1;
        let schema = self.any_schema();
        self.depth -= 1;
        schema
    }

    fn any_schema(&mut self) -> Parsed<Schema> {
        if self.accept("(") {
            return self.tuple();
        }
        if self.accept("[") {
            let element = self.schema()?;
            self.expect(";")?;
            let len = self.number()?;
            self.expect("]")?;
            return Ok(Schema::Array(Box::new(element), len));
        }
        if self.accept("^") {
            return self.back();
        }
        self.spaces();
        let quoted = self.rest().starts_with('"');
        let name = self.name()?;
        if !quoted && name == "enum" {
            return self.enumeration();
        }
        match self.fields()? {
            Some(Fields::Named(fields)) if fields.is_empty() => Ok(Schema::Struct(name, Fields::Unit)),
            Some(fields) => Ok(Schema::Struct(name, fields)),
            None => self.known(&name),
        }
    }

    /// Reads a tuple after its parenthesis. As in Rust, one item in parentheses is a tuple if a comma says so.
    fn tuple(&mut self) -> Parsed<Schema> {
        let (items, comma) = self.list(")", Self::schema)?;
        if items.len() == 1 && !comma { self.fail("a comma in the tuple") } else { Ok(Schema::Tuple(items)) }
    }

    /// Reads a back reference after its sign.
    fn back(&mut self) -> Parsed<Schema> {
        let name = self.name()?;
        let skipped = if self.accept("#") { self.number()? } else { 0 };
        match u32::try_from(skipped) {
            Ok(skipped) => Ok(Schema::Back(name, skipped)),
            Err(_) => self.fail("a smaller number"),
        }
    }

    /// Reads an enum after the word. A variant without an index has the one after that of the variant before.
    fn enumeration(&mut self) -> Parsed<Schema> {
        let name = self.name()?;
        self.expect("{")?;
        let mut next = 0;
        let (variants, _) = self.list("}", |parser| {
            parser.spaces();
            let index = if parser.rest().starts_with(|c: char| c.is_ascii_digit()) {
                let index = parser.number()?;
                parser.expect(":")?;
                index
            } else {
                next
            };
            next = index.wrapping_add(1);
            Ok(Variant { index, name: parser.name()?, fields: parser.fields()?.unwrap_or(Fields::Unit) })
        })?;
        Ok(Schema::Enum(name, variants))
    }

    /// Reads the rest of a container, a text or a scalar, by its name.
    fn known(&mut self, name: &str) -> Parsed<Schema> {
        if let Some(container) = Container::ALL.into_iter().find(|container| container.name() == name) {
            self.expect("<")?;
            let (of, _) = self.list(">", Self::schema)?;
            return if of.len() == container.arity() {
                Ok(Schema::Container(container, of))
            } else {
                self.fail("another number of types")
            };
        }
        if name == "String" {
            return Ok(Schema::Text);
        }
        match Scalar::ALL.into_iter().find(|scalar| scalar.name() == name) {
            Some(scalar) => Ok(Schema::Scalar(scalar)),
            None => self.fail("a type"),
        }
    }

    /// Reads the fields of a struct or variant, if there are any.
    fn fields(&mut self) -> Parsed<Option<Fields>> {
        if self.accept("(") {
            return Ok(Some(Fields::Tuple(self.list(")", Self::schema)?.0)));
        }
        if !self.accept("{") {
            return Ok(None);
        }
        let (fields, _) = self.list("}", |parser| {
            let name = parser.name()?;
            let is_added = parser.accept("?");
            parser.expect(":")?;
            let schema = parser.schema()?;
            let has_default = !is_added && parser.accept("=");
            if has_default {
                parser.expect("..")?;
            }
            Ok(Field { name, schema, has_default, is_added })
        })?;
        Ok(Some(Fields::Named(fields)))
    }

    /// Parses items with commas between, up to a sign; returns them, and whether a comma came last.
    fn list<T>(&mut self, close: &'static str, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<(Vec<T>, bool)> {
        let mut items = Vec::new();
        loop {
            if self.accept(close) {
                return Ok((items, true));
            }
            items.push(item(self)?);
            if !self.accept(",") {
                self.expect(close)?;
                return Ok((items, false));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_tree_are_the_same() {
        for text in [
            "u8",
            "()",
            "(u64,)",
            "(u64, [i32; 7])",
            "Vec<Option<String>>",
            "Session { user: u64, name: String }",
            "Session { user: u64, name?: String, \"a b\"?: u8 }",
            "Session { user: u64, name: String = .., hits?: u32 }",
            "Meters(f64)",
            "Nothing {}",
            "Empty()",
            "enum Shape { Circle(f64), Rect { w: f64, h: f64 }, Empty }",
            "enum State { 3: A, B, 7: C(u8) }",
            "Tree { value: u64, children: Vec<^Tree> }",
            "T { t: T { inner: Vec<^T>, outer: Option<^T#1> } }",
            "\"wei\\\"rd\\n\\u{1b}\" { \"a b\": u8, \"enum\": u8 }",
            "BTreeMap<String, HashSet<char>>",
            "u64(u8)",
        ] {
            let schema: Schema = text.parse().unwrap();
            assert_eq!(schema.to_string(), text);
            assert_eq!(format!("{schema:#}").parse::<Schema>().unwrap(), schema);
        }
        assert_eq!("Unit { }".parse::<Schema>().unwrap(), Schema::Struct("Unit".to_owned(), Fields::Unit));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for (text, at) in
            [("", 0), ("u65", 3), ("(u64)", 5), ("Vec<u8", 6), ("Vec<u8, u8>", 11), ("A { x u8 }", 6), ("u8 u8", 3)]
        {
            assert_eq!(text.parse::<Schema>().unwrap_err().at, at, "{text}");
        }
        assert!("[".repeat(100_000).parse::<Schema>().is_err());
        assert!("\"\\u{}\"(u8)".parse::<Schema>().is_err());
    }

    #[test]
    fn objects_are_described_too() {
        for text in ["HashTable<String, Session { user: u64 }>", "Array<f64>", "Table"] {
            assert_eq!(text.parse::<ObjectSchema>().unwrap().to_string(), text);
        }
        assert!("HashMap<u8, u8>".parse::<ObjectSchema>().is_err());
    }
}

//! Types that can read what an older version of themselves wrote.

use super::{Container, Field, Fields, ObjectSchema, Schema, Variant};

/// The relation of a stored type to that of a program that can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It is the same type; the texts differ only in which fields were added later.
    Same,
    /// It lacks something. The text is to take the place of the stored one before the program writes.
    Older {
        text: String,
        /// True if it has something that the program lacks.
        is_newer_too: bool,
    },
    /// It is a newer version, which the program can read and write too: values may have words after those that it knows, or be
    /// of variants that it does not know.
    Newer,
}

/// Compares the type `new` of an object with the stored text. A program reads older values if types that may grow have got further
/// fields with defaults, or, enums, further variants. Those are the outermost struct or enum of a table's values, whose rows have a
/// length, and all that is marked as extensible. Keys never grow. Fields that were added once need a default for ever, since there
/// may be values without them; so a program that lacks only such fields reads and writes as well. So does one that lacks fields that
/// have had a default from the start, in all programs that have written so far: it stores first that there may be values without them.
/// (A program without such a default stores first that there are none.)
pub(crate) fn relation(new: &ObjectSchema, stored: &str) -> Option<Relation> {
    let old: ObjectSchema = stored.parse().ok()?;
    let mut merge = Merge { lacks: false };
    let merged = match (new, &old) {
        (ObjectSchema::HashTable { key, value }, ObjectSchema::HashTable { key: old_key, value: old_value }) => {
            let value = if key == old_key { merge.row(value, old_value)? } else { return None };
            ObjectSchema::HashTable { key: key.clone(), value }
        }
        (ObjectSchema::Array { element }, ObjectSchema::Array { element: old_element }) => {
            ObjectSchema::Array { element: merge.part(element, old_element)? }
        }
        _ => return None,
    };
    let text = merged.to_string();
    Some(match (text == old.to_string(), merge.lacks) {
        (true, false) => Relation::Same,
        (true, true) => Relation::Newer,
        (false, is_newer_too) => Relation::Older { text, is_newer_too },
    })
}

impl ObjectSchema {
    /// Forgets the defaults of fields that no value can lack.
    pub(super) fn with_useful_defaults(mut self) -> Self {
        match &mut self {
            ObjectSchema::HashTable { key, value } => {
                forget_defaults(key, false);
                let may_grow = matches!(value, Schema::Struct(..)) && !refers_to_itself(value);
                forget_defaults(value, may_grow);
            }
            ObjectSchema::Array { element } => forget_defaults(element, false),
            ObjectSchema::Table => {}
        }
        self
    }
}

/// Forgets the defaults of all fields but the last ones of structs that may grow.
fn forget_defaults(schema: &mut Schema, may_grow: bool) {
    match schema {
        Schema::Scalar(_) | Schema::Text | Schema::Back(..) => {}
        Schema::Container(container, of) => {
            let marked = *container == Container::Extensible;
            of.iter_mut().for_each(|schema| {
                let may_grow = marked && !is_inside_without_length(schema);
                forget_defaults(schema, may_grow);
            });
        }
        Schema::Array(element, _) => forget_defaults(element, false),
        Schema::Tuple(items) => items.iter_mut().for_each(|item| forget_defaults(item, false)),
        Schema::Struct(_, fields) => forget_defaults_of(fields, may_grow),
        Schema::Enum(_, variants) => {
            variants.iter_mut().for_each(|variant| forget_defaults_of(&mut variant.fields, false));
        }
    }
}

fn forget_defaults_of(fields: &mut Fields, may_grow: bool) {
    match fields {
        Fields::Unit => {}
        Fields::Tuple(items) => items.iter_mut().for_each(|item| forget_defaults(item, false)),
        Fields::Named(fields) => {
            let mut may_lack = may_grow;
            for field in fields.iter_mut().rev() {
                may_lack &= field.has_default || field.is_added;
                field.has_default &= may_lack;
                forget_defaults(&mut field.schema, false);
            }
        }
    }
}

/// Makes one type of that of a program and the stored one, which has all that one of them has.
struct Merge {
    /// True if the program's lacks something.
    lacks: bool,
}

impl Merge {
    /// Evolves the outermost type of a table's values.
    fn row(&mut self, new: &Schema, old: &Schema) -> Option<Schema> {
        let merged = match (new, old) {
            (Schema::Struct(..), Schema::Struct(..)) | (Schema::Enum(..), Schema::Enum(..)) => {
                self.growing(new, old)?
            }
            _ => return self.part(new, old),
        };
        (!grows(&merged, [new, old]) || !refers_to_itself(old)).then_some(merged)
    }

    /// Evolves a type inside another.
    fn part(&mut self, new: &Schema, old: &Schema) -> Option<Schema> {
        Some(match (new, old) {
            (Schema::Container(Container::Extensible, new), Schema::Container(Container::Extensible, old)) => {
                let ([new], [old]) = (new.as_slice(), old.as_slice()) else { return None };
                let merged = self.growing(new, old)?;
                if grows(&merged, [new, old]) && is_inside_without_length(old) {
                    return None;
                }
                Schema::Container(Container::Extensible, vec![merged])
            }
            // What is compared or hashed does not grow.
            (Schema::Container(container, new), Schema::Container(old_container, old))
                if container == old_container =>
            {
                let keys = match container {
                    Container::BTreeMap | Container::BTreeSet | Container::HashMap | Container::HashSet => 1,
                    _ => 0,
                };
                let same_keys = new.iter().zip(old).take(keys).all(|(new, old)| new == old);
                Schema::Container(*container, if same_keys { self.parts(new, old)? } else { return None })
            }
            (Schema::Array(new, len), Schema::Array(old, old_len)) if len == old_len => {
                Schema::Array(Box::new(self.part(new, old)?), *len)
            }
            (Schema::Tuple(new), Schema::Tuple(old)) => Schema::Tuple(self.parts(new, old)?),
            (Schema::Struct(name, new), Schema::Struct(old_name, old)) if name == old_name => {
                Schema::Struct(name.clone(), self.fields(new, old)?)
            }
            (Schema::Enum(name, new), Schema::Enum(old_name, old)) if name == old_name && new.len() == old.len() => {
                Schema::Enum(name.clone(), self.variants(new, old)?)
            }
            _ => return (new == old).then(|| old.clone()),
        })
    }

    fn parts(&mut self, new: &[Schema], old: &[Schema]) -> Option<Vec<Schema>> {
        let parts = new.iter().zip(old).map(|(new, old)| self.part(new, old)).collect();
        if new.len() == old.len() { parts } else { None }
    }

    /// Evolves the fields of a type that may not grow.
    fn fields(&mut self, new: &Fields, old: &Fields) -> Option<Fields> {
        Some(match (new, old) {
            (Fields::Unit, Fields::Unit) => Fields::Unit,
            (Fields::Tuple(new), Fields::Tuple(old)) => Fields::Tuple(self.parts(new, old)?),
            (Fields::Named(new), Fields::Named(old)) if new.len() == old.len() => Fields::Named(self.known(new, old)?),
            _ => return None,
        })
    }

    /// Evolves the fields that both types have.
    fn known(&mut self, new: &[Field], old: &[Field]) -> Option<Vec<Field>> {
        let fields = new.iter().zip(old).map(|(new, old)| {
            // A text that says so is that of a program that reads values without the field.
            let is_read = !old.is_added || new.has_default || new.is_added;
            let same = new.name == old.name && is_read;
            let schema = if same { self.part(&new.schema, &old.schema)? } else { return None };
            // A program without a default cannot read values without the field, so from now on there must be none.
            let has_default = old.has_default && (new.has_default || new.is_added);
            Some(Field { schema, has_default, ..old.clone() })
        });
        fields.collect()
    }

    /// Evolves a struct or an enum that may grow.
    fn growing(&mut self, new: &Schema, old: &Schema) -> Option<Schema> {
        match (new, old) {
            (Schema::Struct(name, new), Schema::Struct(old_name, old)) if name == old_name => {
                let (Some(new), Some(old)) = (named(new), named(old)) else {
                    // Without names there are no further fields, but what is inside may grow.
                    return Some(Schema::Struct(name.clone(), self.fields(new, old)?));
                };
                let both = new.len().min(old.len());
                let mut fields = self.known(&new[..both], &old[..both])?;
                for field in &new[both..] {
                    let field = Field { is_added: true, ..field.clone() };
                    fields.push((field.has_default || new[fields.len()].is_added).then_some(field)?);
                }
                for field in &old[both..] {
                    self.lacks = true;
                    let is_read = field.is_added || field.has_default;
                    fields.push(is_read.then(|| Field { is_added: true, ..field.clone() })?);
                }
                Some(Schema::Struct(name.clone(), if fields.is_empty() { Fields::Unit } else { Fields::Named(fields) }))
            }
            (Schema::Enum(name, new), Schema::Enum(old_name, old)) if name == old_name => {
                let both = new.len().min(old.len());
                if both == 0 && new.len() != old.len() {
                    return None;
                }
                let mut variants = self.variants(&new[..both], &old[..both])?;
                self.lacks |= old.len() > both;
                variants.extend_from_slice(&new[both..]);
                variants.extend_from_slice(&old[both..]);
                Some(Schema::Enum(name.clone(), variants))
            }
            _ => (new == old).then(|| old.clone()),
        }
    }

    /// Evolves the variants that both types have.
    fn variants(&mut self, new: &[Variant], old: &[Variant]) -> Option<Vec<Variant>> {
        let variants = new.iter().zip(old).map(|(new, old)| {
            let same = new.index == old.index && new.name == old.name;
            let fields = if same { self.fields(&new.fields, &old.fields)? } else { return None };
            Some(Variant { fields, ..old.clone() })
        });
        variants.collect()
    }
}

/// Returns the fields of a struct that can have further ones.
fn named(fields: &Fields) -> Option<&[Field]> {
    match fields {
        Fields::Named(fields) => Some(fields),
        Fields::Unit => Some(&[]),
        Fields::Tuple(_) => None,
    }
}

/// Returns whether a struct made of two has fields that one of them lacks. Then it must not stand inside itself without a length:
/// one within an older value would take what follows it for its further fields. (Of an enum within, the index tells the variant, whose
/// fields are what they were.)
fn grows(merged: &Schema, made_of: [&Schema; 2]) -> bool {
    let fields = |schema: &Schema| match schema {
        Schema::Struct(_, fields) => fields.schemas().count(),
        _ => 0,
    };
    made_of.into_iter().any(|schema| fields(merged) > fields(schema))
}

/// Returns whether a struct or enum contains itself. (A dangling back reference counts.)
pub(super) fn refers_to_itself(outermost: &Schema) -> bool {
    leads_out(outermost, &mut Vec::new(), false)
}

/// Returns whether a type that is marked as extensible contains itself without that mark, and so without a length.
pub(super) fn is_inside_without_length(marked: &Schema) -> bool {
    matches!(marked, Schema::Struct(..)) && leads_out(marked, &mut Vec::new(), true)
}

/// Returns whether a type refers to the outermost one; `around` are the names of the enclosing structs and enums, outermost first.
/// If `but_marked`, references that are marked as extensible do not count.
fn leads_out<'a>(schema: &'a Schema, around: &mut Vec<&'a str>, but_marked: bool) -> bool {
    match schema {
        Schema::Scalar(_) | Schema::Text => false,
        Schema::Container(Container::Extensible, of) if but_marked && matches!(of[..], [Schema::Back(..)]) => false,
        Schema::Container(_, of) | Schema::Tuple(of) => of.iter().any(|schema| leads_out(schema, around, but_marked)),
        Schema::Array(element, _) => leads_out(element, around, but_marked),
        Schema::Struct(name, fields) => {
            around.push(name);
            let found = fields.schemas().any(|schema| leads_out(schema, around, but_marked));
            around.pop();
            found
        }
        Schema::Enum(name, variants) => {
            around.push(name);
            let mut schemas = variants.iter().flat_map(|Variant { fields, .. }| fields.schemas());
            let found = schemas.any(|schema| leads_out(schema, around, but_marked));
            around.pop();
            found
        }
        Schema::Back(name, skipped) => {
            let mut named = around.iter().enumerate().rev().filter(|(_, known)| *known == name);
            named.nth(*skipped as usize).is_none_or(|(index, _)| index == 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(value: &str, with_defaults: &[&str]) -> ObjectSchema {
        let mut schema: ObjectSchema = format!("HashTable<u8, {value}>").parse().unwrap();
        if let ObjectSchema::HashTable { value: Schema::Struct(_, Fields::Named(fields)), .. } = &mut schema {
            for field in fields {
                field.has_default = with_defaults.contains(&field.name.as_str());
            }
        }
        schema
    }

    fn extends(new: &ObjectSchema, old: &str) -> bool {
        relation(new, old).is_some()
    }

    #[test]
    fn fields_with_defaults_and_variants_come_at_the_end() {
        let old = "HashTable<u8, A { x: u8 }>";
        assert!(extends(&table("A { x: u8, y: u8, z: u8 }", &["y", "z"]), old));
        assert!(extends(&table("A { x: u8 }", &["x"]), "HashTable<u8, A {}>"));
        assert!(!extends(&table("A { x: u8, y: u8, z: u8 }", &["z"]), old));
        assert!(!extends(&table("A { y: u8, x: u8 }", &["x", "y"]), old));
        assert!(!extends(&table("B { x: u8, y: u8 }", &["y"]), old));
        assert!(!extends(&table("A { x: u8, y: u8 }", &["y"]), "HashTable<u16, A { x: u8 }>"));
        assert!(!extends(&table("A { x: u8 }", &[]), "HashTable<u8, A { x: u8, y: u8 }>"));
        let old = "HashTable<u8, enum E { A, B(u8) }>";
        assert!(extends(&table("enum E { A, B(u8), C }", &[]), old));
        assert!(!extends(&table("enum E { A, B(u16), C }", &[]), old));
        assert!(!extends(&table("enum E { B(u8) }", &[]), old));
        assert!(!extends(&table("enum E { A, B(u8), C }", &[]), "no schema"));
    }

    #[test]
    fn a_field_that_was_added_once_needs_a_default_for_ever() {
        let older = |text: &str| Some(Relation::Older { text: format!("HashTable<u8, {text}>"), is_newer_too: false });
        let first = "HashTable<u8, A { x: u8 }>";
        assert_eq!(relation(&table("A { x: u8, y: u8 }", &["y"]), first), older("A { x: u8, y?: u8 }"));
        let second = "HashTable<u8, A { x: u8, y?: u8 }>";
        assert_eq!(relation(&table("A { x: u8, y: u8 }", &["y"]), second), Some(Relation::Same));
        assert_eq!(relation(&table("A { x: u8, y: u8 }", &[]), second), None);
        assert_eq!(relation(&table("A { x: u8, y: u8, z: u8 }", &["z"]), second), None);
        let third = older("A { x: u8, y?: u8, z?: u8 }");
        assert_eq!(relation(&table("A { x: u8, y: u8, z: u8 }", &["y", "z"]), second), third);
        // A program that has no default for a field that all rows have keeps it so, and then nobody may lack it.
        let began = "HashTable<u8, A { x: u8, y: u8 = .. }>";
        assert_eq!(relation(&table("A { x: u8, y: u8 }", &["y"]), began), Some(Relation::Same));
        assert_eq!(relation(&table("A { x: u8, y: u8 }", &[]), began), older("A { x: u8, y: u8 }"));
        let older_and_newer =
            |text: &str| Some(Relation::Older { text: format!("HashTable<u8, {text}>"), is_newer_too: true });
        assert_eq!(relation(&table("A { x: u8 }", &[]), began), older_and_newer("A { x: u8, y?: u8 }"));
        assert_eq!(relation(&table("A { x: u8 }", &[]), "HashTable<u8, A { x: u8, y: u8 = .., z: u8 }>"), None);
        // Rows of an object that began with both fields have both.
        let began = "HashTable<u8, A { x: u8, y: u8 }>";
        assert_eq!(relation(&table("A { x: u8, y: u8, z: u8 }", &["z"]), began), older("A { x: u8, y: u8, z?: u8 }"));
    }

    #[test]
    fn defaults_count_where_values_may_lack_the_field() {
        let of = |value: &str| {
            let schema = ObjectSchema::hash_table("A { x: u8 = .. }".parse().unwrap(), value.parse().unwrap());
            schema.to_string().replace("HashTable<A { x: u8 }, ", "").trim_end_matches('>').to_owned()
        };
        assert_eq!(of("A { x: u8 = .., y: u8, z: u8 = .. }"), "A { x: u8, y: u8, z: u8 = .. }");
        assert_eq!(of("A { x: B { x: u8 = .. } = .. }"), "A { x: B { x: u8 } = .. }");
        assert_eq!(of("A { x: Vec<^A>, y: u8 = .. }"), "A { x: Vec<^A>, y: u8 }");
        assert_eq!(of("enum E { A { x: u8 = .. } }"), "enum E { A { x: u8 } }");
        let marked = "[(Extensible<A { x: Vec<Extensible<^A>>, y: u8 = .. }>, B { x: u8 = .. }); 2]";
        assert_eq!(of(marked).matches("..").count(), 1);
        assert_eq!(of(&marked.replace("Extensible<^A>", "^A")).matches("..").count(), 0);
    }

    #[test]
    fn what_is_inside_a_struct_without_names_may_grow() {
        let old = "HashTable<u8, A(u8, Vec<Extensible<B { x: u8 }>>)>";
        let new =
            |value: &str| ObjectSchema::hash_table(Schema::Scalar(crate::data::Scalar::U8), value.parse().unwrap());
        assert!(extends(&new("A(u8, Vec<Extensible<B { x: u8, y: u8 = .. }>>)"), old));
        let newer = relation(
            &new("A(u8, Vec<Extensible<B { x: u8 }>>)"),
            "HashTable<u8, A(u8, Vec<Extensible<B { x: u8, y?: u8 }>>)>",
        );
        assert_eq!(newer, Some(Relation::Newer));
        for other in [
            "A(u8, Vec<Extensible<B { x: u8, y: u8 }>>)",
            "A(u8, Vec<Extensible<B { x: u8, y: u8 = .. }>>, u8)",
            "A(u16, Vec<Extensible<B { x: u8, y: u8 = .. }>>)",
            "A {}",
            "A { x: u8 }",
        ] {
            assert!(!extends(&new(other), old), "{other}");
        }
    }

    #[test]
    fn a_struct_that_stands_inside_itself_does_not_grow() {
        for inside in [
            "Option<^A>",
            "Vec<^A>",
            "[Vec<^A>; 2]",
            "(u8, BTreeMap<u8, ^A>)",
            "B { a: Vec<^A> }",
            "enum B { X, Y(Vec<^A>), Z { up: Option<^A> } }",
            "A { own: Vec<^A>, up: Vec<^A#1> }",
            "Vec<^Nowhere>",
        ] {
            let new = table(&format!("A {{ x: {inside}, y: u8 }}"), &["y"]);
            assert!(!extends(&new, &format!("HashTable<u8, A {{ x: {inside} }}>")), "{inside}");
        }
        // Another type may.
        let new = table("A { x: Vec<^A> }", &[]);
        assert!(!extends(&new, "HashTable<u8, A { x: Vec<^A>, y: u8 = .. }>"));
        for inside in ["B { b: Vec<^B> }", "A { own: Vec<^A> }"] {
            let new = table(&format!("A {{ x: {inside}, y: u8 }}"), &["y"]);
            assert!(extends(&new, &format!("HashTable<u8, A {{ x: {inside} }}>")), "{inside}");
        }
        // With its length where it is inside as well, and without it.
        let extended = |inside: &str| {
            let of = |more: &str| {
                let value = format!("(u8, Extensible<A {{ x: {inside}{more} }}>)").parse().unwrap();
                ObjectSchema::hash_table(Schema::Scalar(crate::data::Scalar::U8), value)
            };
            [(of(", y: u8 = .."), of("")), (of(""), of(", y: u8 = .."))]
                .map(|(new, old)| extends(&new, &old.to_string()))
        };
        assert_eq!(extended("Vec<Extensible<^A>>"), [true; 2]);
        assert_eq!(extended("B { a: Option<Extensible<^A>>, b: Vec<^B> }"), [true; 2]);
        assert!(!extended("Vec<^A>")[0]);
        assert!(!extended("B { a: Option<Extensible<^A>>, b: Vec<^A> }")[0]);
        let new = table("enum E { A(Vec<^E>), B }", &[]);
        assert!(extends(&new, "HashTable<u8, enum E { A(Vec<^E>) }>"));
    }
}

//! Which types can read what an older version of themselves wrote.

use super::{Field, Fields, ObjectSchema, Schema, Variant};

/// The relation of a stored type to that of a program that can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It is the same type; the texts differ only in which fields were added later.
    Same,
    /// It is an older version. The text is to take the place of the stored one before the program writes.
    Older(String),
    /// It is a newer version, which the program can read and write too: rows may have words behind those that it knows, or be
    /// of variants that it does not know.
    Newer,
}

/// Compares the type `new` of a table with the stored text. A program reads older rows if the keys are the same, and the
/// values, a struct, have got further fields with defaults, or, an enum, further variants. Fields that were added once need
/// a default for ever, since there may be rows without them; so a program that lacks only such fields reads and writes as well.
pub(crate) fn relation(new: &ObjectSchema, stored: &str) -> Option<Relation> {
    let ObjectSchema::HashTable { key, value } = new else { return None };
    let Ok(ObjectSchema::HashTable { key: old_key, value: old_value }) = stored.parse() else { return None };
    if *key != old_key {
        return None;
    }
    let outermost = match (value, &old_value) {
        (Schema::Struct(name, fields), Schema::Struct(old_name, old)) if name == old_name => {
            let (fields, old_fields) = (named(fields)?, named(old)?);
            if let Some(newer) = old_fields.get(fields.len()..).filter(|newer| !newer.is_empty()) {
                let is_prefix = extended_fields(fields, &old_fields[..fields.len()]).is_some();
                return (is_prefix && newer.iter().all(|field| field.is_added)).then_some(Relation::Newer);
            }
            let fields = extended_fields(fields, old_fields)?;
            // A struct within has no length, so one of an older row would take what follows it for its further fields.
            if fields.len() > old_fields.len() && refers_to_itself(&old_value) {
                return None;
            }
            Schema::Struct(name.clone(), if fields.is_empty() { Fields::Unit } else { Fields::Named(fields) })
        }
        (Schema::Enum(name, variants), Schema::Enum(old_name, old)) if name == old_name => {
            if old.len() > variants.len() {
                return (!variants.is_empty() && old.starts_with(variants)).then_some(Relation::Newer);
            }
            // One within is read as well: its index tells the variant, whose fields are what they were.
            variants.starts_with(old).then(|| value.clone())?
        }
        _ => return None,
    };
    if outermost == old_value {
        return Some(Relation::Same);
    }
    Some(Relation::Older(ObjectSchema::HashTable { key: old_key, value: outermost }.to_string()))
}

/// Returns the fields of a struct that can have further ones.
fn named(fields: &Fields) -> Option<&[Field]> {
    match fields {
        Fields::Named(fields) => Some(fields),
        Fields::Unit => Some(&[]),
        Fields::Tuple(_) => None,
    }
}

/// Returns the fields of a struct, with those marked that rows may lack, if it extends the old fields.
fn extended_fields(new: &[Field], old: &[Field]) -> Option<Vec<Field>> {
    let mut old_fields = old.iter();
    let fields = new.iter().map(|field| {
        let is_added = match old_fields.next() {
            Some(old) if old.name == field.name && old.schema == field.schema => old.is_added,
            Some(_) => return None,
            None => true,
        };
        // A text that says so is that of a program that reads rows without the field.
        (!is_added || field.has_default || field.is_added).then(|| Field { is_added, ..field.clone() })
    });
    let fields = fields.collect::<Option<Vec<_>>>()?;
    old_fields.next().is_none().then_some(fields)
}

/// Returns whether a struct or enum contains itself. (A dangling back reference counts.)
fn refers_to_itself(outermost: &Schema) -> bool {
    /// Returns whether the type refers to the outermost one; `around` are the names of the enclosing structs and enums, outermost first.
    fn leads_out<'a>(schema: &'a Schema, around: &mut Vec<&'a str>) -> bool {
        match schema {
            Schema::Scalar(_) | Schema::Text => false,
            Schema::Container(_, of) | Schema::Tuple(of) => of.iter().any(|schema| leads_out(schema, around)),
            Schema::Array(element, _) => leads_out(element, around),
            Schema::Struct(name, fields) => {
                around.push(name);
                let found = fields.schemas().any(|schema| leads_out(schema, around));
                around.pop();
                found
            }
            Schema::Enum(name, variants) => {
                around.push(name);
                let mut schemas = variants.iter().flat_map(|Variant { fields, .. }| fields.schemas());
                let found = schemas.any(|schema| leads_out(schema, around));
                around.pop();
                found
            }
            Schema::Back(name, skipped) => {
                let mut named = around.iter().enumerate().rev().filter(|(_, known)| *known == name);
                named.nth(*skipped as usize).is_none_or(|(index, _)| index == 0)
            }
        }
    }
    leads_out(outermost, &mut Vec::new())
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
        let older = |text: &str| Some(Relation::Older(format!("HashTable<u8, {text}>")));
        let first = "HashTable<u8, A { x: u8 }>";
        assert_eq!(relation(&table("A { x: u8, y: u8 }", &["y"]), first), older("A { x: u8, y?: u8 }"));
        let second = "HashTable<u8, A { x: u8, y?: u8 }>";
        assert_eq!(relation(&table("A { x: u8, y: u8 }", &["y"]), second), Some(Relation::Same));
        assert_eq!(relation(&table("A { x: u8, y: u8 }", &[]), second), None);
        assert_eq!(relation(&table("A { x: u8, y: u8, z: u8 }", &["z"]), second), None);
        let third = older("A { x: u8, y?: u8, z?: u8 }");
        assert_eq!(relation(&table("A { x: u8, y: u8, z: u8 }", &["y", "z"]), second), third);
        // Rows of an object that began with both fields have both.
        let began = "HashTable<u8, A { x: u8, y: u8 }>";
        assert_eq!(relation(&table("A { x: u8, y: u8, z: u8 }", &["z"]), began), older("A { x: u8, y: u8, z?: u8 }"));
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
        for inside in ["B { b: Vec<^B> }", "A { own: Vec<^A> }"] {
            let new = table(&format!("A {{ x: {inside}, y: u8 }}"), &["y"]);
            assert!(extends(&new, &format!("HashTable<u8, A {{ x: {inside} }}>")), "{inside}");
        }
        let new = table("enum E { A(Vec<^E>), B }", &[]);
        assert!(extends(&new, "HashTable<u8, enum E { A(Vec<^E>) }>"));
    }
}

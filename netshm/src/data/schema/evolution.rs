//! Which types can read what an older version of themselves wrote.

use super::{Fields, ObjectSchema, Schema};

/// Whether a table of the type `new` can be opened where the text of `old` is stored: the keys are the same, and the
/// values, a struct, have got further fields with defaults, or, an enum, further variants.
pub(crate) fn extends(new: &ObjectSchema, old: &str) -> bool {
    match (new, old.parse()) {
        (ObjectSchema::HashTable { key, value }, Ok(ObjectSchema::HashTable { key: old_key, value: old_value })) => {
            *key == old_key && value_extends(value, &old_value)
        }
        _ => false,
    }
}

fn value_extends(new: &Schema, old: &Schema) -> bool {
    match (new, old) {
        (Schema::Struct(name, fields), Schema::Struct(old_name, old_fields)) => {
            let none = Vec::new();
            let Fields::Named(fields) = fields else { return false };
            let old_fields = match old_fields {
                Fields::Named(fields) => fields,
                Fields::Unit => &none,
                Fields::Tuple(_) => return false,
            };
            name == old_name
                && fields.starts_with(old_fields)
                && fields[old_fields.len()..].iter().all(|field| field.has_default)
        }
        (Schema::Enum(name, variants), Schema::Enum(old_name, old_variants)) => {
            name == old_name && variants.starts_with(old_variants)
        }
        _ => false,
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

    #[test]
    fn fields_with_defaults_and_variants_come_at_the_end() {
        let old = "HashTable<u8, A { x: u8 }>";
        assert!(extends(&table("A { x: u8, y: u8, z: u8 }", &["y", "z"]), old));
        assert!(extends(&table("A { x: u8 }", &["x"]), "HashTable<u8, A {}>"));
        assert!(!extends(&table("A { x: u8, y: u8, z: u8 }", &["z"]), old));
        assert!(!extends(&table("A { y: u8, x: u8 }", &["x", "y"]), old));
        assert!(!extends(&table("B { x: u8, y: u8 }", &["y"]), old));
        assert!(!extends(&table("A { x: u8, y: u8 }", &["y"]), "HashTable<u16, A { x: u8 }>"));
        let old = "HashTable<u8, enum E { A, B(u8) }>";
        assert!(extends(&table("enum E { A, B(u8), C }", &[]), old));
        assert!(!extends(&table("enum E { A, B(u16), C }", &[]), old));
        assert!(!extends(&table("enum E { B(u8) }", &[]), old));
        assert!(!extends(&table("enum E { A, B(u8), C }", &[]), "no schema"));
    }
}

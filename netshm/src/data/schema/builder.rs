//! Building schemas: what derived and hand-written managers call.

use std::any::TypeId;

use super::{Container, Field, Fields, Schema, Variant};
use crate::data::DataManager;

/// Builds the description of a type. It knows which types it is inside of, so that a recursive type refers back to itself.
#[derive(Debug, Default)]
pub struct Types {
    /// The structs and enums around, outermost first: the type, and its name in the schema. (Names in Rust do not tell types
    /// apart: two versions of a crate can have one of the same path, as can two blocks of a module.)
    around: Vec<(TypeId, String)>,
    /// The transparent types around that are being described as what is inside.
    transparent: Vec<Transparent>,
}

/// A transparent type around.
#[derive(Debug)]
struct Transparent {
    described: TypeId,
    /// The number of structs and enums around it.
    depth: usize,
    /// True if it has been met inside itself, with no struct or enum between.
    is_met: bool,
}

impl Types {
    pub(super) fn new() -> Self {
        Types::default()
    }

    /// Describes a type that is part of another. Options and results are padded, and elements packed, by
    /// the constants of the type, so the description marks where they differ from what the schema suggests.
    pub fn of<T: DataManager>(&mut self) -> Schema {
        let schema = T::schema(self);
        let is_variable = T::FIXED.is_none() && schema.fixed_words().is_some();
        let is_unpacked = T::PACKED == 0 && matches!(schema, Schema::Scalar(_));
        if is_variable || is_unpacked { Schema::Container(Container::Box, vec![schema]) } else { schema }
    }

    /// Describes a struct with named fields, or with none.
    pub fn structure<T>(&mut self, name: &str, fields: impl FnOnce(&mut Members<'_>)) -> Schema {
        self.define::<T>(name, |types| {
            let mut members = Members { types, fields: Vec::new() };
            fields(&mut members);
            Schema::Struct(name.to_owned(), members.done())
        })
    }

    /// Describes a struct whose fields have no names.
    pub fn tuple_structure<T>(&mut self, name: &str, fields: impl FnOnce(&mut Items<'_>)) -> Schema {
        self.define::<T>(name, |types| {
            let mut items = Items { types, items: Vec::new() };
            fields(&mut items);
            Schema::Struct(name.to_owned(), Fields::Tuple(items.items))
        })
    }

    /// Describes an enum.
    pub fn enumeration<T>(&mut self, name: &str, variants: impl FnOnce(&mut Variants<'_>)) -> Schema {
        self.define::<T>(name, |types| {
            let mut list = Variants { types, variants: Vec::new() };
            variants(&mut list);
            Schema::Enum(name.to_owned(), list.variants)
        })
    }

    /// Describes a type whose values begin with the number of their words: [`Encoder::extensible`](crate::data::Encoder::extensible).
    pub fn extensible(&mut self, describe: impl FnOnce(&mut Self) -> Schema) -> Schema {
        Schema::Container(Container::Extensible, vec![describe(self)])
    }

    /// Describes a struct that is stored as its only field. If it contains itself with no other struct or enum
    /// between, nothing could be referred to: then it is described as a struct of its name.
    #[doc(hidden)]
    pub fn transparent<T>(&mut self, name: &str, describe: impl Fn(&mut Self) -> Schema) -> Schema {
        let described = typeid::of::<T>();
        if !self.around.iter().any(|(known, _)| *known == described) {
            let depth = self.around.len();
            let same = |outer: &&mut Transparent| outer.described == described && outer.depth == depth;
            if let Some(outer) = self.transparent.iter_mut().find(same) {
                outer.is_met = true;
                // The outer one drops it.
                return Schema::Tuple(Vec::new());
            }
            self.transparent.push(Transparent { described, depth, is_met: false });
            let schema = describe(self);
            if self.transparent.pop().is_some_and(|own| !own.is_met) {
                return schema;
            }
        }
        self.define::<T>(name, |types| Schema::Struct(name.to_owned(), Fields::Tuple(vec![describe(types)])))
    }

    /// Returns a back reference if `T` is being described already, otherwise calls `describe`.
    fn define<T>(&mut self, name: &str, describe: impl FnOnce(&mut Self) -> Schema) -> Schema {
        if let Some(back) = self.begin(typeid::of::<T>(), name) {
            return back;
        }
        let schema = describe(self);
        self.around.pop();
        schema
    }

    /// Returns a back reference to a type that is being described already; otherwise notes that it is from now on.
    fn begin(&mut self, described: TypeId, name: &str) -> Option<Schema> {
        if let Some(known) = self.around.iter().rposition(|(known, _)| *known == described) {
            let (_, known_name) = &self.around[known];
            let skipped = self.around[known + 1..].iter().filter(|(_, name)| name == known_name).count();
            return Some(Schema::Back(known_name.clone(), skipped as u32));
        }
        self.around.push((described, name.to_owned()));
        None
    }
}

/// Named fields, in the order in which they are stored.
#[derive(Debug)]
pub struct Members<'a> {
    types: &'a mut Types,
    fields: Vec<Field>,
}

impl Members<'_> {
    /// Adds a field of type `F`.
    pub fn field<F: DataManager>(&mut self, name: &str) {
        self.field_with(name, F::schema);
    }

    /// Adds a field that is described by a function.
    pub fn field_with(&mut self, name: &str, describe: impl FnOnce(&mut Types) -> Schema) {
        let schema = describe(self.types);
        self.push(name, schema);
    }

    fn push(&mut self, name: &str, schema: Schema) {
        self.fields.push(Field { name: name.to_owned(), schema, has_default: false, is_added: false });
    }

    /// Rows that end before the last field so far are read with a default for it.
    pub fn has_default(&mut self) {
        if let Some(field) = self.fields.last_mut() {
            field.has_default = true;
        }
    }

    fn done(self) -> Fields {
        if self.fields.is_empty() { Fields::Unit } else { Fields::Named(self.fields) }
    }
}

/// Fields without names, in the order in which they are stored.
#[derive(Debug)]
pub struct Items<'a> {
    types: &'a mut Types,
    items: Vec<Schema>,
}

impl Items<'_> {
    /// Adds a field of type `F`.
    pub fn item<F: DataManager>(&mut self) {
        self.item_with(F::schema);
    }

    /// Adds a field that is described by a function.
    pub fn item_with(&mut self, describe: impl FnOnce(&mut Types) -> Schema) {
        let schema = describe(self.types);
        self.items.push(schema);
    }
}

/// The variants of an enum.
#[derive(Debug)]
pub struct Variants<'a> {
    types: &'a mut Types,
    variants: Vec<Variant>,
}

impl Variants<'_> {
    /// Adds a variant without fields; `index` is stored.
    pub fn unit(&mut self, index: u64, name: &str) {
        self.push(index, name, Fields::Unit);
    }

    /// Adds a variant whose fields have no names.
    pub fn tuple(&mut self, index: u64, name: &str, fields: impl FnOnce(&mut Items<'_>)) {
        let mut items = Items { types: &mut *self.types, items: Vec::new() };
        fields(&mut items);
        let items = items.items;
        self.push(index, name, Fields::Tuple(items));
    }

    /// Adds a variant with named fields.
    pub fn structure(&mut self, index: u64, name: &str, fields: impl FnOnce(&mut Members<'_>)) {
        let mut members = Members { types: &mut *self.types, fields: Vec::new() };
        fields(&mut members);
        let fields = members.fields;
        self.push(index, name, Fields::Named(fields));
    }

    fn push(&mut self, index: u64, name: &str, fields: Fields) {
        self.variants.push(Variant { index, name: name.to_owned(), fields });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataError, Decoder, Encoder};

    macro_rules! described {
        ($name:ident, $types:ident => $schema:expr) => {
            struct $name;
            impl DataManager for $name {
                fn encode(&self, _: &mut Encoder<'_>) -> Result<(), DataError> {
                    Ok(())
                }
                fn decode(_: &mut Decoder<'_>) -> Result<Self, DataError> {
                    Ok($name)
                }
                fn schema($types: &mut Types) -> Schema {
                    $schema
                }
            }
        };
    }

    described!(Tree, types => types.structure::<Self>("Tree", |fields| {
        fields.field::<u64>("value");
        fields.field::<Vec<Tree>>("children");
    }));

    // Two types of one name, the inner of which refers to the outer.
    described!(Outer, types => types.structure::<Self>("Node", |fields| fields.field::<Inner>("inner")));
    described!(Inner, types => types.structure::<Self>("Node", |fields| {
        fields.field::<Box<Inner>>("own");
        fields.field::<Option<Box<Outer>>>("up");
    }));

    described!(State, types => types.enumeration::<Self>("State", |variants| {
        variants.unit(0, "Idle");
        variants.tuple(1, "Busy", |fields| fields.item::<u32>());
        variants.structure(9, "Failed", |fields| fields.field_with("why", Types::of::<String>));
    }));

    #[test]
    fn recursive_types_refer_back() {
        assert_eq!(Schema::of::<Tree>().to_string(), "Tree { value: u64, children: Vec<^Tree> }");
        assert_eq!(Schema::of::<Outer>().to_string(), "Node { inner: Node { own: ^Node, up: Option<^Node#1> } }");
        assert_eq!(Schema::of::<Outer>().to_string().parse::<Schema>().unwrap(), Schema::of::<Outer>());
    }

    #[test]
    fn what_counts_as_variable_is_told_where_it_matters() {
        assert_eq!(Schema::of::<Option<Box<u64>>>().to_string(), "Option<Box<u64>>");
        assert_eq!(Schema::of::<Option<Box<Box<u64>>>>().to_string(), "Option<Box<u64>>");
        assert_eq!(Schema::of::<Vec<Box<u8>>>().to_string(), "Vec<Box<u8>>");
        assert_eq!(Schema::of::<Box<u64>>().to_string(), "Box<u64>");
        assert_eq!(Schema::of::<Option<Box<String>>>().to_string(), "Option<String>");
        assert_eq!(Schema::of::<Option<Box<u64>>>().fixed_words(), None);
    }

    #[test]
    fn enums_list_their_variants() {
        assert_eq!(Schema::of::<State>().to_string(), "enum State { Idle, Busy(u32), 9: Failed { why: String } }");
    }
}

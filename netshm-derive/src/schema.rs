//! The input of `#[derive(ShmSchema)]`: a struct of tables and arrays, with its attributes read.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Attribute, DeriveInput, Expr, Ident, Lit, LitStr, Meta, Path, Type};

use crate::attr::{self, Default, Errors, Given, Known};

/// Attributes that all objects share.
#[derive(Default)]
pub(crate) struct SchemaAttrs {
    pub(crate) krate: Option<Given<Path>>,
    pub(crate) prefix: Option<Given<String>>,
    pub(crate) dir: Option<Given<String>>,
    pub(crate) object: Option<Given<String>>,
    /// Methods of `Declaration` and their arguments.
    pub(crate) locking: Option<Given<Expr>>,
    pub(crate) mode: Option<Given<Expr>>,
    pub(crate) lock_timeout: Option<Given<Expr>>,
    pub(crate) require_owner: Option<Given<()>>,
    /// Of the one object.
    pub(crate) slots: Option<Given<Expr>>,
    pub(crate) max_size: Option<Given<Expr>>,
    pub(crate) pagesize: Option<Given<Expr>>,
    pub(crate) stripe_room: Option<Given<Expr>>,
    pub(crate) give_back_live: Option<Given<()>>,
}

/// Attributes of a field.
#[derive(Default)]
pub(crate) struct ObjectAttrs {
    pub(crate) name: Option<Given<String>>,
    pub(crate) file: Option<Given<String>>,
    pub(crate) read_only: Option<Given<()>>,
    pub(crate) give_back_live: Option<Given<()>>,
    pub(crate) len: Option<Given<Expr>>,
    pub(crate) default: Option<Given<Default>>,
    /// Methods of `Entry` with one argument, in the order in which they were given.
    pub(crate) options: Vec<(&'static str, Given<Expr>)>,
}

/// The options of [`ObjectAttrs::options`].
const OPTIONS: [&str; 9] =
    ["init", "pagesize", "max_size", "stripes", "stripe_room", "slots", "mode", "locking", "lock_timeout"];

const SCHEMA: Known = Known {
    place: "schemas",
    names: &[
        "prefix",
        "dir",
        "object",
        "locking",
        "mode",
        "lock_timeout",
        "require_owner",
        "slots",
        "max_size",
        "pagesize",
        "stripe_room",
        "give_back_live",
        "crate",
    ],
};
const OBJECT: Known = Known {
    place: "the tables and arrays of a schema",
    names: &[
        "name",
        "file",
        "read_only",
        "locking",
        "mode",
        "init",
        "pagesize",
        "max_size",
        "stripes",
        "stripe_room",
        "slots",
        "give_back_live",
        "lock_timeout",
        "len",
        "default",
    ],
};

/// The struct.
pub(crate) struct SchemaInput {
    pub(crate) original: DeriveInput,
    pub(crate) attrs: SchemaAttrs,
    pub(crate) docs: String,
    pub(crate) fields: Vec<Object>,
}

/// A field.
pub(crate) struct Object {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) docs: String,
    pub(crate) attrs: ObjectAttrs,
}

/// The name of an object, as `netshm::declare::Entry` reads it.
pub(crate) enum Name {
    /// A part of a name, after the prefix or in the directory.
    Part(String),
    /// A file.
    File(String),
    /// A whole name with its scheme.
    Whole(String),
}

impl SchemaAttrs {
    fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut attrs = SchemaAttrs::default();
        attr::read(attributes, errors, |name, meta| {
            match name {
                "crate" => attr::set(&mut attrs.krate, meta, attr::value_or_text)?,
                "prefix" => attr::set(&mut attrs.prefix, meta, place)?,
                "dir" => attr::set(&mut attrs.dir, meta, place)?,
                "object" => attr::set(&mut attrs.object, meta, place)?,
                "slots" => attr::set(&mut attrs.slots, meta, attr::expression)?,
                "max_size" => attr::set(&mut attrs.max_size, meta, attr::expression)?,
                "pagesize" => attr::set(&mut attrs.pagesize, meta, attr::expression)?,
                "stripe_room" => attr::set(&mut attrs.stripe_room, meta, attr::expression)?,
                "give_back_live" => attr::set(&mut attrs.give_back_live, meta, attr::nothing)?,
                "locking" => attr::set(&mut attrs.locking, meta, attr::expression)?,
                "mode" => attr::set(&mut attrs.mode, meta, attr::expression)?,
                "lock_timeout" => attr::set(&mut attrs.lock_timeout, meta, attr::expression)?,
                "require_owner" => attr::set(&mut attrs.require_owner, meta, attr::nothing)?,
                _ => {
                    return Ok(Some(&SCHEMA));
                }
            }
            Ok(None)
        });
        attrs
    }
}

impl ObjectAttrs {
    fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut attrs = ObjectAttrs::default();
        attr::read(attributes, errors, |name, meta| {
            match name {
                "name" => attr::set(&mut attrs.name, meta, attr::text)?,
                "file" => attr::set(&mut attrs.file, meta, attr::text)?,
                "read_only" => attr::set(&mut attrs.read_only, meta, attr::nothing)?,
                "give_back_live" => attr::set(&mut attrs.give_back_live, meta, attr::nothing)?,
                "len" => attr::set(&mut attrs.len, meta, attr::expression)?,
                "default" => attr::set(&mut attrs.default, meta, attr::default)?,
                _ => {
                    let Some(option) = OPTIONS.into_iter().find(|option| *option == name) else {
                        return Ok(Some(&OBJECT));
                    };
                    let at = attrs.options.iter().position(|(known, _)| *known == option);
                    let mut slot = at.map(|at| attrs.options.remove(at).1);
                    attr::set(&mut slot, meta, attr::expression)?;
                    attrs.options.extend(slot.map(|given| (option, given)));
                }
            }
            Ok(None)
        });
        attrs
    }

    pub(crate) fn option(&self, name: &str) -> Option<&Given<Expr>> {
        self.options.iter().find(|(known, _)| *known == name).map(|(_, given)| given)
    }
}

/// Parses the text of a place, a literal, so that the macro can check the names made with it.
fn place(meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<String> {
    let value = attr::equals(meta, "\"/name\"")?;
    if value.peek(LitStr) {
        return value.parse::<LitStr>().map(|text| text.value());
    }
    let given: Expr = value.parse()?;
    Err(syn::Error::new_spanned(
        given,
        "this must be a text in quotes; a place that is known only when the program runs is given to `at(place)` or \
         `open_in(place)`",
    ))
}

impl SchemaInput {
    /// Reads the input; what is wrong with it goes to `errors`.
    pub(crate) fn read(original: &DeriveInput, errors: &mut Errors) -> SchemaInput {
        let attrs = SchemaAttrs::read(&original.attrs, errors);
        let fields = match &original.data {
            syn::Data::Struct(syn::DataStruct { fields: syn::Fields::Named(fields), .. }) => fields
                .named
                .iter()
                .map(|field| Object {
                    ident: field.ident.clone().expect("a field with a name"),
                    ty: field.ty.clone(),
                    docs: docs(&field.attrs),
                    attrs: ObjectAttrs::read(&field.attrs, errors),
                })
                .collect(),
            other => {
                let found = match other {
                    syn::Data::Struct(_) => "a struct without named fields",
                    syn::Data::Enum(_) => "an enum",
                    syn::Data::Union(_) => "a union",
                };
                errors.add(
                    original.ident.span(),
                    format!(
                        "`{}` is {found}, but a schema is a struct with named fields, from which its objects have their \
                         names: `struct {} {{ rows: HashTable<String, u64> }}`",
                        original.ident, original.ident
                    ),
                );
                Vec::new()
            }
        };
        SchemaInput { original: original.clone(), attrs, docs: docs(&original.attrs), fields }
    }
}

impl Object {
    /// Returns the field's name.
    pub(crate) fn field(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// Returns the name and the span that gives it.
    pub(crate) fn name(&self) -> (Name, Span) {
        match (&self.attrs.file, &self.attrs.name) {
            (Some(file), _) => (Name::File(file.value.clone()), file.span),
            (None, Some(Given { value, span })) => {
                let name = if value.starts_with('/') {
                    Name::Whole(format!("posix:{value}"))
                } else if value.starts_with("posix:") || value.starts_with("file:") {
                    Name::Whole(value.clone())
                } else {
                    Name::Part(value.clone())
                };
                (name, *span)
            }
            (None, None) => (Name::Part(self.field()), self.ident.span()),
        }
    }
}

/// Returns the text of doc comments, without the space at the start of each line.
fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| {
        let Meta::NameValue(meta) = &attribute.meta else { return None };
        let Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) = &meta.value else { return None };
        let text = text.value();
        let lines: Vec<&str> = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
        Some(lines.join("\n"))
    });
    lines.collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}

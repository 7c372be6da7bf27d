//! `#[shm(..)]` attributes: what they say, and where they say it.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Path, Token, Type, WherePredicate};

/// The errors found so far, reported together.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn add(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push(syn::Error::new(span, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn into_error(self) -> Option<syn::Error> {
        self.0
    }
}

/// Something given in an attribute, with the place of its name.
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// `default`, or `default = expression`.
pub(crate) type Default = Option<Expr>;

/// Attributes of a struct or an enum.
#[derive(Default)]
pub(crate) struct ContainerAttrs {
    pub(crate) krate: Option<Given<Path>>,
    pub(crate) bound: Option<Given<Vec<WherePredicate>>>,
    pub(crate) transparent: Option<Given<()>>,
    pub(crate) extensible: Option<Given<()>>,
    pub(crate) rename: Option<Given<String>>,
}

/// Attributes of a variant.
#[derive(Default)]
pub(crate) struct VariantAttrs {
    pub(crate) index: Option<Given<u64>>,
    pub(crate) other: Option<Given<()>>,
    pub(crate) rename: Option<Given<String>>,
}

/// Attributes of a field.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) with: Option<Given<Path>>,
    /// True if the functions are those for pointers that share what they point to, which `with` does not name.
    pub(crate) shared: Option<Given<()>>,
    pub(crate) as_type: Option<Given<Type>>,
    pub(crate) skip: Option<Given<()>>,
    pub(crate) rename: Option<Given<String>>,
    pub(crate) default: Option<Given<Default>>,
    pub(crate) rest: Option<Given<()>>,
}

impl ContainerAttrs {
    pub(crate) fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut attrs = ContainerAttrs::default();
        read(attributes, errors, |name, meta| {
            match name {
                "crate" => set(&mut attrs.krate, meta, value_or_text)?,
                "bound" => set(&mut attrs.bound, meta, predicates)?,
                "transparent" => set(&mut attrs.transparent, meta, nothing)?,
                "extensible" => set(&mut attrs.extensible, meta, nothing)?,
                "rename" => set(&mut attrs.rename, meta, new_name)?,
                _ => return Ok(Some(&CONTAINER)),
            }
            Ok(None)
        });
        attrs
    }
}

impl VariantAttrs {
    pub(crate) fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut attrs = VariantAttrs::default();
        read(attributes, errors, |name, meta| {
            match name {
                "index" => set(&mut attrs.index, meta, index)?,
                "other" => set(&mut attrs.other, meta, nothing)?,
                "rename" => set(&mut attrs.rename, meta, new_name)?,
                _ => return Ok(Some(&VARIANT)),
            }
            Ok(None)
        });
        attrs
    }
}

impl FieldAttrs {
    /// Returns whether functions store the field, not the manager of a type.
    pub(crate) fn by_functions(&self) -> bool {
        self.with.is_some() || self.shared.is_some()
    }

    pub(crate) fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut attrs = FieldAttrs::default();
        read(attributes, errors, |name, meta| {
            match name {
                "with" => set(&mut attrs.with, meta, value_or_text)?,
                "shared" => set(&mut attrs.shared, meta, nothing)?,
                "as" => set(&mut attrs.as_type, meta, value_or_text)?,
                "skip" => set(&mut attrs.skip, meta, nothing)?,
                "rename" => set(&mut attrs.rename, meta, new_name)?,
                "default" => set(&mut attrs.default, meta, default)?,
                "rest" => set(&mut attrs.rest, meta, nothing)?,
                _ => return Ok(Some(&FIELD)),
            }
            Ok(None)
        });
        attrs
    }
}

/// The attributes of a place, for messages.
pub(crate) struct Known {
    /// As in "for fields there are ..".
    pub(crate) place: &'static str,
    pub(crate) names: &'static [&'static str],
}

const CONTAINER: Known =
    Known { place: "structs and enums", names: &["crate", "bound", "transparent", "extensible", "rename"] };
const VARIANT: Known = Known { place: "variants", names: &["index", "other", "rename"] };
const FIELD: Known = Known { place: "fields", names: &["with", "shared", "as", "skip", "rename", "default", "rest"] };

impl Known {
    /// Returns the message for an unknown attribute, with the known ones.
    fn message(&self, name: &str) -> String {
        if let Some(meant) = similar(name, self.names) {
            return format!("unknown attribute `{name}`; did you mean `{meant}`?");
        }
        let elsewhere = [&CONTAINER, &VARIANT, &FIELD].into_iter().find(|known| known.names.contains(&name));
        let hint = match elsewhere {
            Some(known) if known.place != self.place && self.names.contains(&"rename") => {
                format!("`{name}` is for {}, for {} there are ", known.place, self.place)
            }
            _ => format!("unknown attribute `{name}`; for {} there are ", self.place),
        };
        let (last, others) = self.names.split_last().expect("some names");
        let others: Vec<_> = others.iter().map(|name| format!("`{name}`")).collect();
        format!("{hint}{} and `{last}`", others.join(", "))
    }
}

/// Returns the known name that is most like it, if one is.
fn similar<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let distance = |known: &&&str| edits(&plain(name), &plain(known));
    let nearest = names.iter().min_by_key(distance)?;
    if distance(&nearest) <= 1 + nearest.len() / 5 {
        return Some(nearest);
    }
    // As `skipped` for `skip`.
    let is_longer = |known: &&&str| name.len() <= known.len() + 3 && plain(name).starts_with(&plain(known));
    names.iter().find(is_longer).copied()
}

/// Returns the number of letters to add, remove, replace or swap with a neighbour to turn one word into the other.
fn edits(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<_>>()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

/// Reads all `#[shm(..)]` among the attributes. `take` handles one item, or says what there is instead.
pub(crate) fn read(
    attributes: &[Attribute],
    errors: &mut Errors,
    mut take: impl FnMut(&str, &ParseNestedMeta<'_>) -> syn::Result<Option<&'static Known>>,
) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("shm")) {
        let Meta::List(_) = &attribute.meta else {
            errors.add(
                attribute.meta.span(),
                "attributes stand in parentheses: `#[shm(name)]` or `#[shm(name = value)]`",
            );
            continue;
        };
        let outcome = attribute.parse_nested_meta(|meta| {
            let segments = meta.path.segments.iter().map(|segment| segment.ident.unraw().to_string());
            let name = segments.collect::<Vec<_>>().join("::");
            let outcome = match take(&name, &meta)? {
                None => Ok(()),
                Some(known) => Err(syn::Error::new(meta.path.span(), known.message(&name))),
            };
            outcome.and_then(|()| end(&name, &meta))
        });
        if let Err(error) = outcome {
            errors.push(plainer(error));
        }
    }
}

/// Parses what follows an attribute: a comma, or nothing.
fn end(name: &str, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.is_empty() || meta.input.peek(Token![,]) {
        return Ok(());
    }
    let flag = meta.input.peek(Token![=]) || meta.input.peek(syn::token::Paren);
    let message = if flag && name == "default" {
        "a default is written after a `=`: `#[shm(default = expression)]`".to_owned()
    } else if flag {
        format!("`{name}` takes no value; write `#[shm({name})]`")
    } else if meta.input.peek(Token![:]) {
        format!("a value is written after a `=`: `#[shm({name} = value)]`")
    } else if meta.input.peek(Token![;]) {
        "attributes are separated by commas: `#[shm(one, other)]`".to_owned()
    } else {
        "a comma is missing before this".to_owned()
    };
    Err(meta.input.error(message))
}

/// Rewords a message of the parser.
fn plainer(error: syn::Error) -> syn::Error {
    match error.to_string().as_str() {
        "unexpected literal in nested attribute, expected ident" => syn::Error::new(
            error.span(),
            "an attribute is written without quotes: `#[shm(name)]` or `#[shm(name = value)]`",
        ),
        _ => error,
    }
}

/// Parses the `=` before the value of an attribute; `example` shows how to write it.
pub(crate) fn equals<'a>(meta: &ParseNestedMeta<'a>, example: &str) -> syn::Result<ParseStream<'a>> {
    if meta.input.peek(Token![=]) {
        let value = meta.value()?;
        if !value.is_empty() && !value.peek(Token![,]) {
            return Ok(value);
        }
    }
    let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
    Err(syn::Error::new(meta.path.span(), format!("`{name}` needs a value; write `#[shm({name} = {example})]`")))
}

/// Parses the index of a variant.
fn index(meta: &ParseNestedMeta<'_>) -> syn::Result<u64> {
    let mut value: Expr = equals(meta, "7")?.parse()?;
    while let Expr::Group(group) = value {
        value = *group.expr;
    }
    let fault = match &value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => match number.base10_parse() {
            Ok(index) => return Ok(index),
            Err(_) => "it is larger than `u64::MAX`",
        },
        Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), .. }) => "it is negative",
        _ => "the macro must know it",
    };
    let message = format!("an index is a whole number from 0 to `u64::MAX`, as in `#[shm(index = 7)]`; {fault}");
    Err(syn::Error::new_spanned(value, message))
}

pub(crate) fn set<T>(
    slot: &mut Option<Given<T>>,
    meta: &ParseNestedMeta<'_>,
    parse: impl FnOnce(&ParseNestedMeta<'_>) -> syn::Result<T>,
) -> syn::Result<()> {
    let value = parse(meta)?;
    if slot.is_some() {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        return Err(syn::Error::new(meta.path.span(), format!("`{name}` is given twice; remove one")));
    }
    *slot = Some(Given { value, span: meta.path.span() });
    Ok(())
}

pub(crate) fn nothing(_: &ParseNestedMeta<'_>) -> syn::Result<()> {
    Ok(())
}

pub(crate) fn default(meta: &ParseNestedMeta<'_>) -> syn::Result<Default> {
    if meta.input.peek(Token![=]) { equals(meta, "expression")?.parse().map(Some) } else { Ok(None) }
}

pub(crate) fn expression(meta: &ParseNestedMeta<'_>) -> syn::Result<Expr> {
    equals(meta, "value")?.parse()
}

pub(crate) fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    let value = equals(meta, "\"name\"")?;
    if !value.peek(LitStr) {
        let given: Expr = value.parse()?;
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        let message = format!("this must be a text in quotes: `#[shm({name} = \"name\")]`");
        return Err(syn::Error::new_spanned(given, message));
    }
    value.parse::<LitStr>().map(|text| text.value())
}

/// Parses a name in a schema.
fn new_name(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    let name = text(meta)?;
    if name.is_empty() {
        Err(syn::Error::new(meta.path.span(), "this name is empty; write one, or remove `rename`"))
    } else {
        Ok(name)
    }
}

/// Parses a path or type, with or without quotes.
pub(crate) fn value_or_text<T: Parse>(meta: &ParseNestedMeta<'_>) -> syn::Result<T> {
    let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
    let (kind, example) = if name == "as" { ("type", "Type") } else { ("path", "path::to::it") };
    let value = equals(meta, example)?;
    let wrong = |span| syn::Error::new(span, format!("this is not a {kind}; write `#[shm({name} = {example})]`"));
    if value.peek(LitStr) {
        let text = value.parse::<LitStr>()?;
        return text.parse().map_err(|_| wrong(text.span()));
    }
    value.parse().map_err(|error: syn::Error| wrong(error.span()))
}

struct Predicates(Punctuated<WherePredicate, Token![,]>);

impl Parse for Predicates {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Punctuated::parse_terminated(input).map(Predicates)
    }
}

fn predicates(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<WherePredicate>> {
    let value = equals(meta, "\"T: Trait\"")?;
    if !value.peek(LitStr) {
        let given: Expr = value.parse()?;
        return Err(syn::Error::new_spanned(given, "this must be a text in quotes: `#[shm(bound = \"T: Trait\")]`"));
    }
    let text: LitStr = value.parse()?;
    match text.parse::<Predicates>() {
        Ok(predicates) => Ok(predicates.0.into_iter().collect()),
        Err(error) => Err(syn::Error::new(
            text.span(),
            format!("these are not bounds as after a `where`; write `#[shm(bound = \"T: Trait\")]` ({error})"),
        )),
    }
}

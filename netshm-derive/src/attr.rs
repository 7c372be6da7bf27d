//! `#[shm(..)]` attributes: what they say, and where they say it.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, LitInt, LitStr, Path, Token, Type, WherePredicate};

/// All that is wrong, reported together.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn add(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push(syn::Error::new(span, message));
    }

    fn push(&mut self, error: syn::Error) {
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

/// What stands on a struct or an enum.
#[derive(Default)]
pub(crate) struct ContainerAttrs {
    pub(crate) krate: Option<Given<Path>>,
    pub(crate) bound: Option<Given<Vec<WherePredicate>>>,
    pub(crate) transparent: Option<Given<()>>,
    pub(crate) rename: Option<Given<String>>,
}

/// What stands on a variant.
#[derive(Default)]
pub(crate) struct VariantAttrs {
    pub(crate) index: Option<Given<u64>>,
    pub(crate) rename: Option<Given<String>>,
}

/// What stands on a field.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) with: Option<Given<Path>>,
    pub(crate) as_type: Option<Given<Type>>,
    pub(crate) skip: Option<Given<()>>,
    pub(crate) rename: Option<Given<String>>,
    pub(crate) default: Option<Given<Default>>,
}

impl ContainerAttrs {
    pub(crate) fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut attrs = ContainerAttrs::default();
        read(attributes, errors, |name, meta| {
            match name {
                "crate" => set(&mut attrs.krate, meta, value_or_text)?,
                "bound" => set(&mut attrs.bound, meta, predicates)?,
                "transparent" => set(&mut attrs.transparent, meta, nothing)?,
                "rename" => set(&mut attrs.rename, meta, text)?,
                _ => return Ok(Some("`crate`, `bound`, `transparent` and `rename`")),
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
                "index" => set(&mut attrs.index, meta, |meta| meta.value()?.parse::<LitInt>()?.base10_parse())?,
                "rename" => set(&mut attrs.rename, meta, text)?,
                _ => return Ok(Some("for variants there are `index` and `rename`")),
            }
            Ok(None)
        });
        attrs
    }
}

impl FieldAttrs {
    pub(crate) fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut attrs = FieldAttrs::default();
        read(attributes, errors, |name, meta| {
            match name {
                "with" => set(&mut attrs.with, meta, value_or_text)?,
                "as" => set(&mut attrs.as_type, meta, value_or_text)?,
                "skip" => set(&mut attrs.skip, meta, nothing)?,
                "rename" => set(&mut attrs.rename, meta, text)?,
                "default" => set(&mut attrs.default, meta, default)?,
                _ => return Ok(Some("for fields there are `with`, `as`, `skip`, `rename` and `default`")),
            }
            Ok(None)
        });
        attrs
    }
}

/// Reads all `#[shm(..)]` among the attributes. `take` handles one item, or says what there is instead.
pub(crate) fn read(
    attributes: &[Attribute],
    errors: &mut Errors,
    mut take: impl FnMut(&str, &ParseNestedMeta<'_>) -> syn::Result<Option<&'static str>>,
) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("shm")) {
        let outcome = attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            match take(&name, &meta)? {
                None => Ok(()),
                Some(known) => {
                    let hint = if known.starts_with("for") { known.to_owned() } else { format!("there are {known}") };
                    Err(meta.error(format!("unknown attribute `{name}`; {hint}")))
                }
            }
        });
        if let Err(error) = outcome {
            errors.push(error);
        }
    }
}

pub(crate) fn set<T>(
    slot: &mut Option<Given<T>>,
    meta: &ParseNestedMeta<'_>,
    parse: impl FnOnce(&ParseNestedMeta<'_>) -> syn::Result<T>,
) -> syn::Result<()> {
    let value = parse(meta)?;
    if slot.is_some() {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        return Err(meta.error(format!("`{name}` is given twice; remove one")));
    }
    *slot = Some(Given { value, span: meta.path.span() });
    Ok(())
}

pub(crate) fn nothing(_: &ParseNestedMeta<'_>) -> syn::Result<()> {
    Ok(())
}

pub(crate) fn default(meta: &ParseNestedMeta<'_>) -> syn::Result<Default> {
    if meta.input.peek(Token![=]) { meta.value()?.parse().map(Some) } else { Ok(None) }
}

pub(crate) fn expression(meta: &ParseNestedMeta<'_>) -> syn::Result<Expr> {
    meta.value()?.parse()
}

pub(crate) fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    meta.value()?.parse::<LitStr>().map(|text| text.value())
}

/// A path or type, as it is or in quotes.
pub(crate) fn value_or_text<T: Parse>(meta: &ParseNestedMeta<'_>) -> syn::Result<T> {
    let value = meta.value()?;
    if value.peek(LitStr) { value.parse::<LitStr>()?.parse() } else { value.parse() }
}

struct Predicates(Punctuated<WherePredicate, Token![,]>);

impl Parse for Predicates {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Punctuated::parse_terminated(input).map(Predicates)
    }
}

fn predicates(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<WherePredicate>> {
    let text: LitStr = meta.value()?.parse()?;
    text.parse::<Predicates>().map(|predicates| predicates.0.into_iter().collect())
}

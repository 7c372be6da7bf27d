//! What the attributes may not say, one function each.

use std::collections::HashMap;

use syn::Member;

use crate::ast::{Data, Fields, Input, Style};
use crate::attr::Errors;

/// All checks for `ShmData`.
pub(crate) fn check(input: &Input, errors: &mut Errors) {
    transparent(input, errors);
    field_attributes(input, errors);
    defaults(input, errors);
    names(input, errors);
    variants(input, errors);
}

/// The checks that `ShmKey` adds.
pub(crate) fn check_key(input: &Input, errors: &mut Errors) {
    for field in input.fields() {
        if let Some(skip) = &field.attrs.skip {
            errors.add(
                skip.span,
                "a key cannot skip a field: keys that differ in it only would have equal words; \
                 remove the field or `skip`",
            );
        }
        if let Some(with) = &field.attrs.with {
            errors.add(
                with.span,
                "a key cannot have a field with a hand-written manager, since nothing says that equal values get equal \
                 words; use `#[shm(as = Type)]` with a key type",
            );
        }
    }
}

fn transparent(input: &Input, errors: &mut Errors) {
    let Some(transparent) = &input.attrs.transparent else { return };
    match &input.data {
        Data::Enum(_) => {
            errors.add(transparent.span, "`transparent` is for structs; an enum stores its variant as well")
        }
        Data::Struct(fields) => {
            let count = fields.stored().count();
            if count != 1 {
                errors.add(
                    transparent.span,
                    format!(
                        "`transparent` is for structs with one stored field, this one has {count}; remove it, or skip \
                         the other fields with `#[shm(skip)]`"
                    ),
                );
            } else if let Some(field) = fields.stored().find(|field| field.attrs.default.is_some()) {
                errors.add(field.span, "the field of a `transparent` struct has no default; remove `default`");
            }
        }
    }
    if let Some(rename) = &input.attrs.rename {
        errors.add(rename.span, "a `transparent` struct has no name of its own in the schema; remove `rename`");
    }
}

fn field_attributes(input: &Input, errors: &mut Errors) {
    for field in input.fields() {
        let attrs = &field.attrs;
        if let (Some(_), Some(as_type)) = (&attrs.with, &attrs.as_type) {
            errors.add(as_type.span, "`as` and `with` both say how the field is stored; remove one");
        }
        if let Some(skip) = &attrs.skip {
            let others =
                [("with", attrs.with.is_some()), ("as", attrs.as_type.is_some()), ("rename", attrs.rename.is_some())];
            for (name, _) in others.iter().filter(|(_, given)| *given) {
                errors.add(
                    skip.span,
                    format!("a field that is skipped is not stored, so `{name}` says nothing; remove one"),
                );
            }
        }
        if let (Some(rename), Member::Unnamed(_)) = (&attrs.rename, &field.member) {
            errors.add(rename.span, "a field without a name cannot be renamed; remove `rename`");
        }
    }
}

fn defaults(input: &Input, errors: &mut Errors) {
    match &input.data {
        Data::Enum(_) => {
            for default in input.fields().filter_map(|field| field.attrs.default.as_ref()) {
                errors.add(
                    default.span,
                    "fields of variants have no defaults; to extend an enum, add a variant at its end",
                );
            }
        }
        Data::Struct(fields) => trailing_defaults(fields, errors),
    }
}

fn trailing_defaults(fields: &Fields, errors: &mut Errors) {
    let mut earlier = None;
    for field in fields.stored() {
        match (&field.attrs.default, &earlier) {
            (Some(default), _) if fields.style == Style::Tuple => {
                errors.add(default.span, "only a field with a name can have a default");
            }
            (Some(default), None) => earlier = Some((default.span, field.name())),
            (None, Some((span, name))) => errors.add(
                *span,
                format!(
                    "`{name}` has a default, but `{}` behind it has none: a row of an older program ends before the new \
                     fields; move `{name}` to the end",
                    field.name()
                ),
            ),
            _ => {}
        }
    }
}

/// Names in a schema are what its fields are told apart by.
fn names(input: &Input, errors: &mut Errors) {
    let lists: Vec<&Fields> = match &input.data {
        Data::Struct(fields) => vec![fields],
        Data::Enum(variants) => variants.iter().map(|variant| &variant.fields).collect(),
    };
    for fields in lists {
        let mut known = HashMap::new();
        for field in fields.stored() {
            if known.insert(field.name(), ()).is_some() {
                let span = field.attrs.rename.as_ref().map_or(field.span, |rename| rename.span);
                errors.add(span, format!("another field is called `{}` in the schema", field.name()));
            }
        }
    }
}

fn variants(input: &Input, errors: &mut Errors) {
    let Data::Enum(variants) = &input.data else { return };
    if variants.is_empty() {
        errors.add(
            input.original.ident.span(),
            format!("`{}` has no variants, so there is no value that could be stored; add one", input.original.ident),
        );
    }
    let (mut indices, mut names) = (HashMap::new(), HashMap::new());
    for variant in variants {
        let index_span = variant.attrs.index.as_ref().map_or(variant.ident.span(), |index| index.span);
        if let Some(other) = indices.insert(variant.index, &variant.ident) {
            errors.add(
                index_span,
                format!("`{}` and `{other}` both have the index {}; change one", variant.ident, variant.index),
            );
        }
        if names.insert(variant.name(), ()).is_some() {
            let span = variant.attrs.rename.as_ref().map_or(variant.ident.span(), |rename| rename.span);
            errors.add(span, format!("another variant is called `{}` in the schema", variant.name()));
        }
    }
}

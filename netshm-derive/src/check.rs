//! Checks of attributes, one function each.

use std::collections::HashMap;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Member, Type};

use crate::ast::{Data, Fields, Input, Style};
use crate::attr::Errors;
use crate::expand::ask::contains_itself;

/// Runs all checks for `ShmData`.
pub(crate) fn check(input: &Input, errors: &mut Errors) {
    transparent(input, errors);
    extensible(input, errors);
    rest(input, errors);
    other(input, errors);
    field_attributes(input, errors);
    defaults(input, errors);
    names(input, errors);
    variants(input, errors);
    packed(input, errors);
    unsized_fields(input, errors);
}

/// Returns whether the type has a size, as far as can be seen. The compiler reports types of infinite size.
pub(crate) fn has_size(input: &Input) -> bool {
    let own = &input.original.ident;
    input.fields().all(|field| !contains_itself(&field.ty, own) && instead_of_unsized(&field.ty).is_none())
}

/// Returns whether the types of all fields may stand there: `impl Trait` and `_` may not. The compiler reports them.
pub(crate) fn has_types(input: &Input) -> bool {
    fn is_none(tokens: TokenStream) -> bool {
        tokens.into_iter().all(|token| match token {
            TokenTree::Ident(ident) => ident != "impl" && ident != "_",
            TokenTree::Group(group) => is_none(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => true,
        })
    }
    input.fields().all(|field| is_none(field.ty.to_token_stream()))
}

/// Runs the checks that `ShmKey` adds.
pub(crate) fn check_key(input: &Input, errors: &mut Errors) {
    for field in input.fields() {
        if let Some(skip) = &field.attrs.skip {
            errors.add(
                skip.span,
                "a key cannot skip a field: keys that differ in it only would have equal words; \
                 remove the field or `skip`",
            );
        }
        if let Some(rest) = &field.attrs.rest {
            errors.add(rest.span, "a key never gains fields, so it has no unknown ones; remove `rest`");
        }
        if let Some(shared) = &field.attrs.shared {
            errors.add(shared.span, "a key cannot have a `shared` field; use `#[shm(as = Type)]` with a key type");
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

fn extensible(input: &Input, errors: &mut Errors) {
    let Some(extensible) = &input.attrs.extensible else { return };
    if input.attrs.transparent.is_some() {
        errors.add(
            extensible.span,
            "a `transparent` struct is stored as its field, so it cannot gain others; remove one of both",
        );
    } else if matches!(&input.data, Data::Struct(fields) if fields.style == Style::Tuple) {
        errors.add(
            extensible.span,
            "a struct can gain fields only if they have names: write `struct Name { field: Type }`, or remove `extensible`",
        );
    }
}

/// Checks the fields that stand for unknown ones.
fn rest(input: &Input, errors: &mut Errors) {
    for field in input.fields() {
        let Some(rest) = &field.attrs.rest else { continue };
        let attrs = &field.attrs;
        let others = [
            ("with", attrs.with.is_some()),
            ("shared", attrs.shared.is_some()),
            ("as", attrs.as_type.is_some()),
            ("skip", attrs.skip.is_some()),
            ("rename", attrs.rename.is_some()),
            ("default", attrs.default.is_some()),
        ];
        let mut others = others.iter().filter(|(_, given)| *given);
        let Data::Struct(fields) = &input.data else {
            errors.add(
                rest.span,
                "fields of variants cannot be extended; unknown variants are kept by one with `#[shm(other)]`",
            );
            continue;
        };
        if input.attrs.extensible.is_none() {
            errors.add(
                rest.span,
                "`rest` keeps the fields that newer programs have added, for which the struct needs `#[shm(extensible)]`",
            );
        } else if let Some((name, _)) = others.next() {
            errors.add(rest.span, format!("`{name}` says nothing about a field that keeps unknown ones; remove one"));
        } else if !is_rest(&field.ty) {
            errors.add(field.ty.span(), "a field that keeps unknown ones is of the type `netshm::Rest`");
        } else if fields.fields.last().is_none_or(|last| last.member != field.member) {
            errors.add(
                rest.span,
                "new fields come at the end of a struct, so the field that keeps unknown ones must be the last; move it there",
            );
        }
    }
}

/// Checks the variants that stand for unknown ones.
fn other(input: &Input, errors: &mut Errors) {
    let Data::Enum(variants) = &input.data else { return };
    let mut first = None;
    for variant in variants {
        let Some(other) = &variant.attrs.other else { continue };
        let is_alone = match variant.fields.fields.as_slice() {
            [field] => variant.fields.style == Style::Tuple && is_rest(&field.ty),
            _ => false,
        };
        if input.attrs.extensible.is_none() {
            errors.add(
                other.span,
                "`other` keeps variants that newer programs have added, for which the enum needs `#[shm(extensible)]`",
            );
        } else if !is_alone {
            errors.add(
                other.span,
                format!("a variant that keeps unknown ones has one field: write `{}(netshm::Rest)`", variant.ident),
            );
        } else if variant.attrs.index.is_some() || variant.attrs.rename.is_some() {
            errors
                .add(other.span, "a variant that keeps unknown ones is not stored itself; remove its other attributes");
        } else if let Some(earlier) = first.replace(&variant.ident) {
            errors.add(other.span, format!("`{earlier}` keeps unknown variants already; remove one"));
        }
    }
}

/// Returns whether a type is a pointer that shares what it points to, as far as can be seen.
fn is_shared(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Rc" || last.ident == "Arc"),
        Type::Group(group) => is_shared(&group.elem),
        _ => false,
    }
}

/// Returns whether a type is `Rest`, judging by its last name.
fn is_rest(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Rest"),
        Type::Group(group) => is_rest(&group.elem),
        _ => false,
    }
}

fn field_attributes(input: &Input, errors: &mut Errors) {
    for field in input.fields() {
        let attrs = &field.attrs;
        if let Some(shared) = attrs.shared.as_ref().filter(|_| !is_shared(&field.ty)) {
            errors.add(shared.span, "`shared` is for fields of the types `Rc` and `Arc`; remove it");
        }
        if let (Some(shared), true) = (&attrs.shared, attrs.with.is_some() || attrs.as_type.is_some()) {
            let other = if attrs.with.is_some() { "with" } else { "as" };
            errors.add(shared.span, format!("`shared` and `{other}` both say how the field is stored; remove one"));
        }
        if let (Some(_), Some(as_type)) = (&attrs.with, &attrs.as_type) {
            errors.add(as_type.span, "`as` and `with` both say how the field is stored; remove one");
        }
        if let Some(skip) = &attrs.skip {
            let others = [
                ("with", attrs.with.is_some()),
                ("shared", attrs.shared.is_some()),
                ("as", attrs.as_type.is_some()),
                ("rename", attrs.rename.is_some()),
            ];
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
                    "`{name}` has a default, but `{}` after it has none: a row of an older program ends before the new \
                     fields; move `{name}` to the end",
                    field.name()
                ),
            ),
            _ => {}
        }
    }
}

/// Refuses two fields with one name in the schema, by which they are told apart.
fn names(input: &Input, errors: &mut Errors) {
    let lists: Vec<&Fields> = match &input.data {
        Data::Struct(fields) => vec![fields],
        Data::Enum(variants) => variants.iter().map(|variant| &variant.fields).collect(),
    };
    for fields in lists {
        let mut known = HashMap::new();
        for field in fields.stored() {
            if let Some(other) = known.insert(field.name(), &field.member) {
                let span = field.attrs.rename.as_ref().map_or(field.span, |rename| rename.span);
                let other = quote::quote!(#other);
                errors.add(
                    span,
                    format!(
                        "the field `{other}` is called `{}` in the schema already; choose another name",
                        field.name()
                    ),
                );
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
    for pair in variants.windows(2) {
        if pair[0].index == u64::MAX && pair[0].attrs.other.is_none() && pair[1].attrs.index.is_none() {
            errors.add(
                pair[1].ident.span(),
                format!(
                    "there is no index after that of `{}`, which is `u64::MAX`; write one with `#[shm(index = n)]`",
                    pair[0].ident
                ),
            );
        }
    }
    let (mut indices, mut names) = (HashMap::new(), HashMap::new());
    for variant in variants.iter().filter(|variant| variant.attrs.other.is_none()) {
        let index_span = variant.attrs.index.as_ref().map_or(variant.ident.span(), |index| index.span);
        if let Some(other) = indices.insert(variant.index, &variant.ident) {
            errors.add(
                index_span,
                format!("`{}` and `{other}` both have the index {}; change one", variant.ident, variant.index),
            );
        }
        if let Some(other) = names.insert(variant.name(), &variant.ident) {
            let span = variant.attrs.rename.as_ref().map_or(variant.ident.span(), |rename| rename.span);
            let message = format!(
                "the variant `{other}` is called `{}` in the schema already; choose another name",
                variant.name()
            );
            errors.add(span, message);
        }
    }
}

/// Checks that the type is not packed, since its fields are borrowed where they lie.
fn packed(input: &Input, errors: &mut Errors) {
    for attribute in input.original.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("packed") && !input.fields().all(|field| is_byte(&field.ty)) {
                errors.add(
                    meta.path.span(),
                    "the fields of a packed struct cannot be borrowed, as storing them would; remove `packed`: how the \
                     struct lies in the memory of the program does not matter to what is stored",
                );
            }
            if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<proc_macro2::TokenStream>()?;
            }
            Ok(())
        });
    }
}

/// Returns whether a type is aligned at any address, as far as can be seen.
fn is_byte(ty: &Type) -> bool {
    match ty {
        Type::Array(array) => is_byte(&array.elem),
        Type::Path(path) => ["u8", "i8", "bool"].iter().any(|name| path.path.is_ident(name)),
        _ => false,
    }
}

fn unsized_fields(input: &Input, errors: &mut Errors) {
    for field in input.fields() {
        if let Some(instead) = instead_of_unsized(&field.ty) {
            let message = format!("a field without a size of its own cannot be stored; use {instead}");
            errors.add(field.ty.span(), message);
        }
        if let Some(as_type) = &field.attrs.as_type
            && let Some(instead) = instead_of_unsized(&as_type.value)
        {
            errors.add(
                as_type.value.span(),
                format!("nothing is stored as a type without a size of its own; use {instead}"),
            );
        }
    }
}

/// Returns what to use instead of an unsized type.
fn instead_of_unsized(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Slice(_) => Some("`Vec<T>` or `Box<[T]>`"),
        Type::TraitObject(_) => Some("an enum of the types that there are"),
        Type::Path(path) if path.path.is_ident("str") => Some("`String` or `Box<str>`"),
        _ => None,
    }
}

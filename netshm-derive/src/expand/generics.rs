//! Bounds of generic parameters.

use std::collections::HashSet;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{Path, WhereClause, parse_quote};

use super::ask;
use crate::ast::Input;

/// Returns the where clause: that of the type itself, and for each stored field whose type mentions a parameter that this type
/// implements the trait. (A bound on the parameter would ask too much of `PhantomData<T>`, and too little of
/// `T::Item`.) A field that contains the type itself would make the compiler run in circles; there the parameters are
/// bound.
pub(super) fn bounds(input: &Input, library: &Path, name: &str) -> WhereClause {
    let name = format_ident!("{name}");
    let mut clause = input
        .original
        .generics
        .where_clause
        .clone()
        .unwrap_or_else(|| WhereClause { where_token: Default::default(), predicates: Default::default() });
    if let Some(bound) = &input.attrs.bound {
        clause.predicates.extend(bound.value.iter().cloned());
        return clause;
    }
    let parameters: HashSet<Ident> = input.original.generics.type_params().map(|param| param.ident.clone()).collect();
    let own = &input.original.ident;
    for field in input.fields() {
        let ty = &field.ty;
        if field.attrs.skip.is_some() {
            if mentions(&quote!(#ty), &|ident| parameters.contains(ident)) {
                clause.predicates.push(parse_quote!(#ty: ::core::default::Default));
            }
            continue;
        }
        if field.attrs.shared.is_some() && mentions(&quote!(#ty), &|ident| parameters.contains(ident)) {
            let target = quote!(<#ty as ::core::ops::Deref>::Target);
            clause.predicates.push(parse_quote!(#target: #library::data::Encode));
            clause.predicates.push(parse_quote!(::std::boxed::Box<#target>: #library::data::ShmData));
        }
        if field.attrs.by_functions() {
            continue;
        }
        let stored = field.stored_type();
        let tokens = stored.to_token_stream();
        if !mentions(&tokens, &|ident| parameters.contains(ident)) {
            continue;
        }
        // Nor may a bound that never holds take the place of the message about the field.
        if mentions(&tokens, &|ident| ident == own || ident == "Self") || ask::is_hopeless(field) {
            for parameter in &parameters {
                if mentions(&tokens, &|ident| ident == parameter) {
                    clause.predicates.push(parse_quote!(#parameter: #library::data::#name));
                }
            }
        } else {
            clause.predicates.push(parse_quote!(#stored: #library::data::#name));
        }
    }
    clause
}

/// Returns whether a type contains an identifier for which `wanted` holds.
fn mentions(tokens: &TokenStream, wanted: &dyn Fn(&Ident) -> bool) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => wanted(&ident),
        TokenTree::Group(group) => mentions(&group.stream(), wanted),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

//! `impl ShmKey`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::DeriveInput;

use super::ask::{self, Wanted};
use super::{allowances, generics, library};
use crate::ast::Input;
use crate::attr::{ContainerAttrs, Errors};

pub(crate) fn expand(input: &Input) -> TokenStream {
    let library = library(input);
    let ident = &input.original.ident;
    let field_bounds = generics::bounds(input, &library, "ShmKey");
    let mut where_clause = field_bounds.clone();
    if input.original.generics.type_params().next().is_some() {
        // What a generic type's own `Eq` asks of its parameters is not known here.
        where_clause.predicates.push(syn::parse_quote!(Self: ::core::cmp::Eq));
    } else if input.fields().any(ask::is_hopeless_key) {
        where_clause.predicates.push(syn::parse_quote!(for<'__a> Self: #library::__private::check::OnlyKeys<'__a>));
    }
    let (impl_generics, ty_generics, _) = input.original.generics.split_for_impl();
    let allow = allowances();
    let questions = ask::ask(input, Wanted::Key, &field_bounds);
    quote! {
        const _: () = {
            #allow
            #[automatically_derived]
            impl #impl_generics #library::data::ShmKey for #ident #ty_generics #where_clause {}

            #questions
        };
    }
}

/// Requires that a union can be stored: that it cannot is reported by the other derive, if that is there.
pub(crate) fn of_a_union(original: &DeriveInput) -> TokenStream {
    let attrs = ContainerAttrs::read(&original.attrs, &mut Errors::default());
    let library = attrs.krate.map_or_else(|| syn::parse_quote!(::netshm), |krate| krate.value);
    let ident = &original.ident;
    if !original.generics.params.is_empty() {
        return TokenStream::new();
    }
    quote_spanned! {ident.span()=>
        const _: ::core::option::Option<usize> = <#ident as #library::data::ShmData>::FIXED;
    }
}

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
    let is_generic = input.original.generics.type_params().next().is_some();
    if is_generic {
        // What a generic type's own `Eq` asks of its parameters is not known here.
        where_clause.predicates.push(syn::parse_quote!(Self: ::core::cmp::Eq));
    }
    // That the type cannot be stored is asked below, once, and makes no key of it: its tables have no operations then, each of
    // which would be an error.
    let condition =
        if !is_generic && input.fields().any(ask::is_hopeless_key) { quote!(OnlyKeys) } else { quote!(IfStored) };
    where_clause.predicates.push(syn::parse_quote!(for<'__a> Self: #library::__private::check::#condition<'__a>));
    let (impl_generics, ty_generics, _) = input.original.generics.split_for_impl();
    let allow = allowances();
    let questions = ask::ask(input, Wanted::Key, &field_bounds);
    let stored = quote_spanned! {super::at(ident)=>
        <#library::__private::check::Comparable<#ident #ty_generics>>::stored::<#ident #ty_generics>();
    };
    quote! {
        const _: () = {
            #allow
            #[automatically_derived]
            impl #impl_generics #library::data::ShmKey for #ident #ty_generics #where_clause {}

            #questions

            #allow
            #[allow(dead_code, unused_imports)]
            fn __key_is_stored #impl_generics () #field_bounds {
                use #library::__private::check::NotComparable as _;
                #stored
            }
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

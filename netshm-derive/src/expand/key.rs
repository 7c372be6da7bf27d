//! `impl ShmKey`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::{allowances, generics, library};
use crate::ast::Input;

pub(crate) fn expand(input: &Input) -> TokenStream {
    let library = library(input);
    let ident = &input.original.ident;
    let field_bounds = generics::bounds(input, &library, "ShmKey");
    let mut where_clause = field_bounds.clone();
    if input.original.generics.type_params().next().is_some() {
        // What a generic type's own `Eq` asks of its parameters is not known here.
        where_clause.predicates.push(syn::parse_quote!(Self: ::core::cmp::Eq));
    }
    let (impl_generics, ty_generics, _) = input.original.generics.split_for_impl();
    // Each field is asked for by itself, so that the message points at the one that is no key.
    let fields = input.fields().map(|field| {
        let ty = field.stored_type();
        quote_spanned! {ty.span()=> __is_key::<#ty>(); }
    });
    let allow = allowances();
    quote! {
        const _: () = {
            #allow
            #[automatically_derived]
            impl #impl_generics #library::data::ShmKey for #ident #ty_generics #where_clause {}

            fn __is_key<T: #library::data::ShmKey>() {}

            #allow
            #[allow(dead_code)]
            fn __fields_are_keys #impl_generics () #field_bounds {
                #(#fields)*
            }
        };
    }
}

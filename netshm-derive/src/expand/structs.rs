//! Structs: their fields one after the other.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Path;

use super::{Parts, binding, decode_field, default_of, describe_fields, direct, encode_field, fixed_words, with};
use crate::ast::{Fields, Style};

/// Generates the decoding of a struct: its fields in their order, then the whole.
fn read_all(library: &Path, fields: &Fields, path: &TokenStream) -> TokenStream {
    let bindings: Vec<_> = (0..fields.fields.len()).map(binding).collect();
    let reads = fields.fields.iter().zip(&bindings).map(|(field, binding)| {
        let (ty, read) = (&field.ty, decode_field(library, field));
        quote! { let #binding: #ty = #read; }
    });
    let members = fields.fields.iter().map(|field| &field.member);
    quote! {
        #(#reads)*
        ::core::result::Result::Ok(#path { #(#members: #bindings),* })
    }
}

pub(super) fn plain(library: &Path, name: &str, fields: &Fields) -> Parts {
    let encode = fields.stored().map(|field| {
        let member = &field.member;
        encode_field(library, field, &quote!(&self.#member))
    });
    let rest = fields.rest().map(|field| {
        let member = &field.member;
        quote! { __out.put_rest(&self.#member)?; }
    });
    let describe = describe_fields(library, fields);
    let schema = match fields.style {
        Style::Tuple => quote! { __types.tuple_structure::<Self>(#name, |__fields| { #describe }) },
        Style::Named | Style::Unit => quote! { __types.structure::<Self>(#name, |__fields| { #describe }) },
    };
    Parts {
        items: TokenStream::new(),
        direct: direct(library, fields),
        fixed: fixed_words(library, fields),
        encode: quote! { #(#encode)* #rest },
        decode: read_all(library, fields, &quote!(Self)),
        schema,
    }
}

/// Expands a struct that is stored, in every respect, as its only field.
pub(super) fn transparent(library: &Path, name: &str, fields: &Fields) -> Parts {
    let plain = plain(library, "", fields);
    let Some(field) = fields.stored().next() else { return plain };
    if field.attrs.by_functions() {
        let describe = with::describe(library, field);
        return Parts { schema: quote!(__types.transparent::<Self>(#name, #describe)), ..plain };
    }
    let part = {
        let stored = field.stored_type();
        quote!(<#library::__private::Part<#stored>>)
    };
    let make = make(library, fields);
    let member = &field.member;
    let items = if field.attrs.as_type.is_some() {
        TokenStream::new()
    } else {
        quote! {
            const ARRAY: bool = #part::ARRAY;
            const PACKED: usize = #part::PACKED;

            fn encode_slice(
                __items: &[Self],
                __out: &mut #library::data::Encoder<'_>,
            ) -> ::core::result::Result<(), #library::data::DataError> {
                #part::encode_inner(__items, __out, |__item: &Self| &__item.#member)
            }

            fn decode_vec(
                __len: usize,
                __input: &mut #library::data::Decoder<'_>,
            ) -> ::core::result::Result<::std::vec::Vec<Self>, #library::data::DataError> {
                if !<Self as #library::data::DataManager>::DIRECT { __input.need_copy()?; }
                #part::decode_inner(__len, __input, |__inner| #make)
            }

            fn decode_array<const __N: usize>(
                __input: &mut #library::data::Decoder<'_>,
            ) -> ::core::result::Result<[Self; __N], #library::data::DataError> {
                if !<Self as #library::data::DataManager>::DIRECT { __input.need_copy()?; }
                ::core::result::Result::Ok(#part::decode_array::<__N>(__input)?.map(|__inner| #make))
            }
        }
    };
    Parts { items, schema: quote!(__types.transparent::<Self>(#name, |__types| #part::schema(__types))), ..plain }
}

/// Returns an expression for the struct around `__inner`.
fn make(library: &Path, fields: &Fields) -> TokenStream {
    let members = fields.fields.iter().map(|field| {
        let member = &field.member;
        if field.attrs.skip.is_some() {
            let default = default_of(library, field);
            quote! { #member: #default }
        } else {
            quote! { #member: __inner }
        }
    });
    quote! { Self { #(#members),* } }
}

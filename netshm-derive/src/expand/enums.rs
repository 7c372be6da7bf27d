//! Enums: the variant's index, then its fields.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Path;

use super::{Parts, binding, decode_field, describe_fields, direct, encode_field, fixed_words};
use crate::ast::{Style, Variant};

pub(super) fn expand(library: &Path, name: &str, variants: &[Variant]) -> Parts {
    let (other, variants): (Vec<_>, Vec<_>) = variants.iter().partition(|variant| variant.attrs.other.is_some());
    let other = other.first().map(|variant| &variant.ident);
    let encode_other = other.map(|ident| quote! { Self::#ident(__rest) => __out.put_other(__rest)?, });
    let decode_other = match other {
        Some(ident) => quote! { __index => __input.other(__index).map(Self::#ident), },
        None => quote! {
            _ => ::core::result::Result::Err(#library::data::DataError::new(#name, "no variant has the stored index; a newer program may have added it")),
        },
    };
    let encode = variants.iter().map(|variant| encode(library, variant));
    let decode = variants.iter().map(|variant| decode(library, variant));
    let describe = variants.iter().map(|variant| describe(library, variant));
    let direct = variants.iter().map(|variant| direct(library, &variant.fields));
    let fixed = variants.iter().map(|variant| fixed_words(library, &variant.fields));
    Parts {
        items: TokenStream::new(),
        direct: quote! { true #(&& #direct)* },
        fixed: quote! { #library::__private::same_fixed(&[#(#fixed),*]) },
        encode: quote! { match self { #(#encode)* #encode_other } },
        decode: quote! {
            match __input.get()? {
                #(#decode)*
                #decode_other
            }
        },
        schema: quote! { __types.enumeration::<Self>(#name, |__variants| { #(#describe)* }) },
    }
}

/// Returns the arm that encodes a variant.
fn encode(library: &Path, variant: &Variant) -> TokenStream {
    let (ident, index) = (&variant.ident, variant.index);
    let stored = || variant.fields.fields.iter().enumerate().filter(|(_, field)| field.attrs.skip.is_none());
    let patterns = stored().map(|(i, field)| {
        let (member, binding) = (&field.member, binding(i));
        quote!(#member: #binding)
    });
    let writes = stored().map(|(i, field)| {
        let binding = binding(i);
        encode_field(library, field, &quote!(#binding))
    });
    quote! {
        Self::#ident { #(#patterns,)* .. } => {
            __out.put(#index)?;
            #(#writes)*
        }
    }
}

/// Returns the arm that decodes a variant.
fn decode(library: &Path, variant: &Variant) -> TokenStream {
    let (ident, index) = (&variant.ident, variant.index);
    let fields = variant.fields.fields.iter().enumerate();
    let reads = fields.clone().map(|(i, field)| {
        let (binding, ty, read) = (binding(i), &field.ty, decode_field(library, field));
        quote! { let #binding: #ty = #read; }
    });
    let members = fields.map(|(i, field)| {
        let (member, binding) = (&field.member, binding(i));
        quote!(#member: #binding)
    });
    quote! {
        #index => {
            #(#reads)*
            ::core::result::Result::Ok(Self::#ident { #(#members),* })
        }
    }
}

/// Returns the statement that describes a variant.
fn describe(library: &Path, variant: &Variant) -> TokenStream {
    let (index, name) = (variant.index, variant.name());
    let fields = describe_fields(library, &variant.fields);
    match variant.fields.style {
        Style::Unit => quote! { __variants.unit(#index, #name); },
        Style::Tuple => quote! { __variants.tuple(#index, #name, |__fields| { #fields }); },
        Style::Named => quote! { __variants.structure(#index, #name, |__fields| { #fields }); },
    }
}

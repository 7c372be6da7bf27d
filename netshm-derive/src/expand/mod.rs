//! Generated code.

pub(crate) mod ask;
pub(crate) mod data;
mod enums;
mod generics;
pub(crate) mod key;
pub(crate) mod schema;
mod structs;
mod with;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Path, parse_quote};

use crate::ast::{Field, Fields, Input, Style};
use crate::attr::Given;

/// The parts of an implementation of `DataManager`.
struct Parts {
    /// Constants, and methods beyond the three.
    items: TokenStream,
    /// An expression for whether reading the fields runs known code only.
    direct: TokenStream,
    /// An expression for `FIXED`.
    fixed: TokenStream,
    /// Statements that write `self` to `__out`.
    encode: TokenStream,
    /// Statements that read a value from `__input`, and its expression in `Ok`.
    decode: TokenStream,
    /// An expression for the schema, of `__types`.
    schema: TokenStream,
}

/// Returns the path of the library.
pub(crate) fn library(input: &Input) -> Path {
    input.attrs.krate.as_ref().map_or_else(|| parse_quote!(::netshm), |krate| krate.value.clone())
}

/// Returns the lints that generated code is exempt from: it is written for the compiler.
fn allowances() -> TokenStream {
    quote! {
        #[allow(clippy::all, clippy::pedantic, clippy::nursery, clippy::restriction, deprecated, unused_qualifications)]
    }
}

/// Puts a length before the words of a type, so that it can gain fields or variants where others follow.
fn extensible(parts: Parts, keeps_rest: bool) -> Parts {
    let Parts { items, direct, encode, decode, schema, .. } = parts;
    Parts {
        items: quote! {
            #items
            const KEEPS_REST: bool = #keeps_rest;
        },
        direct,
        fixed: quote!(::core::option::Option::None),
        encode: quote! {
            __out.extensible(|__out| {
                #encode
                ::core::result::Result::Ok(())
            })?;
        },
        decode: quote! { __input.extensible(|__input| { #decode }) },
        schema: quote! { __types.extensible(|__types| #schema) },
    }
}

/// Returns the span of a part, for messages; names in generated code are resolved as if all of it stood at the derive. (They
/// would not be known where a part of the input comes from another macro.)
fn at(part: &impl Spanned) -> Span {
    Span::call_site().located_at(part.span())
}

/// Returns a name for the contents of a field.
fn binding(index: usize) -> Ident {
    format_ident!("__field{index}")
}

/// Brings into scope what stands for the manager of a type that has none: [`ask`] reports it, nothing else does.
fn stand_ins(library: &Path) -> TokenStream {
    quote! {
        #[allow(unused_imports)]
        use #library::__private::{NoPart as _, NoSharedPart as _, NotConverted as _, NotMade as _};
    }
}

/// Writes a field, given an expression for a reference to it.
fn encode_field(library: &Path, field: &Field, value: &TokenStream) -> TokenStream {
    let ty = &field.ty;
    if field.attrs.by_functions() {
        let functions = with::functions(field);
        return quote! { #library::__private::With::<#ty>::encode(&#functions, #value, __out)?; };
    }
    match &field.attrs.as_type {
        Some(Given { value: stored, .. }) => {
            quote! { <#library::__private::Converted<#ty, #stored>>::encode(#value, __out)?; }
        }
        None => quote! { <#library::__private::Part<#ty>>::encode(#value, __out)?; },
    }
}

/// Returns an expression for the default of the field's type.
fn default_of(library: &Path, field: &Field) -> TokenStream {
    let ty = &field.ty;
    quote!(<#library::__private::Made<#ty>>::make())
}

/// Returns an expression that reads a field.
fn decode_field(library: &Path, field: &Field) -> TokenStream {
    let ty = &field.ty;
    if field.attrs.rest.is_some() {
        return quote_spanned! {at(ty)=> __input.rest()? };
    }
    if field.attrs.skip.is_some() {
        let make = match field.attrs.default.as_ref().and_then(|default| default.value.as_ref()) {
            Some(default) => quote!(#default),
            None => default_of(library, field),
        };
        return if is_phantom(ty) { make } else { quote!({ __input.need_copy()?; #make }) };
    }
    let read = if field.attrs.by_functions() {
        let functions = with::functions(field);
        quote! { { __input.need_copy()?; #library::__private::With::<#ty>::decode(&#functions, __input)? } }
    } else if let Some(as_type) = &field.attrs.as_type {
        let (stored, name) = (&as_type.value, quote!(#ty).to_string());
        quote! { <#library::__private::Converted<#ty, #stored>>::decode(__input, #name)? }
    } else {
        quote! { <#library::__private::Part<#ty>>::decode(__input)? }
    };
    match &field.attrs.default {
        None => read,
        Some(default) => {
            // Code that is not known is run only when somebody has written the row.
            let otherwise = match &default.value {
                Some(literal @ syn::Expr::Lit(_)) => quote!(#literal),
                Some(expression) => quote!({ __input.need_copy()?; #expression }),
                None => {
                    let make = default_of(library, field);
                    if field.attrs.by_functions() || field.attrs.as_type.is_some() {
                        quote!({ __input.need_copy()?; #make })
                    } else {
                        quote!({
                            if !<#library::__private::Part<#ty>>::KNOWN { __input.need_copy()?; }
                            #make
                        })
                    }
                }
            };
            quote! { if __input.remaining() == 0 { #otherwise } else { #read } }
        }
    }
}

/// Returns an expression for the total number of words of the fields, if each has a fixed size.
fn fixed_words(library: &Path, fields: &Fields) -> TokenStream {
    let parts = fields.stored().map(|field| {
        if field.attrs.by_functions() {
            quote!(::core::option::Option::None)
        } else {
            let ty = field.stored_type();
            quote! { <#library::__private::Part<#ty>>::FIXED }
        }
    });
    quote! { #library::__private::all_fixed(&[#(#parts),*]) }
}

/// Returns an expression for whether decoding the fields runs known code only.
fn direct(library: &Path, fields: &Fields) -> TokenStream {
    let parts = fields.fields.iter().map(|field| {
        let attrs = &field.attrs;
        let ty = &field.ty;
        if attrs.rest.is_some() || (attrs.skip.is_some() && is_phantom(ty)) {
            quote!(true)
        } else if attrs.skip.is_some() || attrs.by_functions() || attrs.as_type.is_some() {
            quote!(false)
        } else {
            quote! { <#library::__private::Part<#ty>>::DIRECT }
        }
    });
    quote! { true #(&& #parts)* }
}

/// Returns whether a type is `PhantomData`, which has only one value.
fn is_phantom(ty: &syn::Type) -> bool {
    match ty {
        syn::Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "PhantomData"),
        // From another macro.
        syn::Type::Group(group) => is_phantom(&group.elem),
        _ => false,
    }
}

/// Returns the statements that describe the fields to `__fields`.
fn describe_fields(library: &Path, fields: &Fields) -> TokenStream {
    fields
        .stored()
        .map(|field| {
            let name = field.name();
            let describe = if field.attrs.by_functions() {
                with::describe(library, field)
            } else {
                let ty = field.stored_type();
                quote! { <#library::__private::Part<#ty>>::schema }
            };
            let call = match fields.style {
                Style::Tuple => quote! { __fields.item_with(#describe); },
                Style::Named | Style::Unit => quote! { __fields.field_with(#name, #describe); },
            };
            let default = field.attrs.default.is_some().then(|| quote! { __fields.has_default(); });
            quote! { #call #default }
        })
        .collect()
}

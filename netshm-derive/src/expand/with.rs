//! Fields that are stored by functions of a module or type. They are named in one place for each field, so that what is wrong with
//! them is reported once.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Path, PathArguments, WhereClause};

use super::ask::located_at;
use super::{allowances, at};
use crate::ast::{Field, Input};

/// Returns the name of the function that returns the functions of a field.
fn name(field: &Field) -> Ident {
    format_ident!("__with{}", field.number)
}

/// Returns an expression for the functions of a field.
pub(super) fn functions(field: &Field) -> TokenStream {
    let (name, generics) = (name(field), &field.generics);
    quote!(#name #generics ())
}

/// Returns an expression for the function that describes a field.
pub(super) fn describe(library: &Path, field: &Field) -> TokenStream {
    let (ty, functions) = (&field.ty, functions(field));
    quote! {
        |__types: &mut #library::data::Types| #library::__private::With::<#ty>::schema(&#functions, __types)
    }
}

/// Generates what [`functions`] calls, for all fields.
pub(super) fn all(input: &Input, library: &Path, bounds: &WhereClause) -> TokenStream {
    let with = |field| one(field, input, library, bounds);
    input.fields().filter(|field| field.attrs.skip.is_none()).filter_map(with).collect()
}

fn one(field: &Field, input: &Input, library: &Path, bounds: &WhereClause) -> Option<TokenStream> {
    let (name, ty) = (name(field), &field.ty);
    let (path, span) = match (&field.attrs.with, &field.attrs.shared) {
        (Some(with), _) => (with.value.to_token_stream(), at(&with.value)),
        (None, Some(shared)) => {
            (quote!(<#library::__private::SharedPart<#ty>>), Span::call_site().located_at(shared.span))
        }
        (None, None) => return None,
    };
    let of = |function: &str| Ident::new(function, span);
    let (encode, decode, schema) = (of("encode"), of("decode"), of("schema"));
    // An import of all three is one mistake if some are not there. Those of types cannot be imported.
    let import = field.attrs.with.as_ref().is_some_and(|with| is_module(&with.value)).then(|| {
        let new = |function: &str| Ident::new(&format!("{name}_{function}"), span);
        let (new_encode, new_decode, new_schema) = (new("encode"), new("decode"), new("schema"));
        let import = quote_spanned! {span=>
            #[allow(unused_qualifications)]
            use #path::{#encode as #new_encode, #decode as #new_decode, #schema as #new_schema};
        };
        (import, [new_encode, new_decode, new_schema].map(|function| function.to_token_stream()))
    });
    let (import, [encode, decode, schema]) = import.unwrap_or_else(|| {
        let functions = [encode, decode, schema].map(|function| quote_spanned!(span=> #path::#function));
        (TokenStream::new(), functions)
    });
    // As closures, since the compiler would report what a function asks of the type once more for the type of the function.
    let (data, private) = (located_at(quote!(#library::data), span), located_at(quote!(#library::__private), span));
    let located_type = located_at(ty.to_token_stream(), span);
    let functions = quote_spanned! {span=>
        |__value: &#located_type, __out: &mut #data::Encoder<'_>| {
            #private::encode_with::<#located_type>(#encode, __value, __out)
        },
        |__input: &mut #data::Decoder<'_>| #private::decode_with::<#located_type>(#decode, __input),
        |__types: &mut #data::Types| #private::describe_with(#schema, __types)
    };
    let (impl_generics, _, _) = input.original.generics.split_for_impl();
    let allow = allowances();
    let made = located_at(quote!(#library::__private::Functions), span);
    let made = quote_spanned!(span=> #made(#functions));
    let with = located_at(quote!(impl #library::__private::With), span);
    Some(quote! {
        #import

        #allow
        #[inline(always)]
        fn #name #impl_generics () -> #with<#ty> #bounds {
            #made
        }
    })
}

/// Returns whether a path looks like that of a module.
fn is_module(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| {
        matches!(last.arguments, PathArguments::None)
            && last.ident.to_string().starts_with(|first: char| first.is_lowercase())
    })
}

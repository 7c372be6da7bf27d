//! Code that is generated when something is wrong, so that one mistake is one message: without an implementation, each use of
//! the type would be reported as well.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Path};

/// Generates an implementation that compiles and does nothing.
pub(crate) fn data(input: &DeriveInput, library: &Path) -> TokenStream {
    let ident = &input.ident;
    let (impl_generics, ty_generics, where_clause) = input.generics.split_for_impl();
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #impl_generics #library::data::ShmData for #ident #ty_generics #where_clause {
                fn encode(
                    &self,
                    _: &mut #library::data::Encoder<'_>,
                ) -> ::core::result::Result<(), #library::data::DataError> {
                    ::core::unreachable!()
                }
                fn decode(
                    _: &mut #library::data::Decoder<'_>,
                ) -> ::core::result::Result<Self, #library::data::DataError> {
                    ::core::unreachable!()
                }
                fn schema(_: &mut #library::data::Types) -> #library::data::Schema {
                    ::core::unreachable!()
                }
            }
        };
    }
}

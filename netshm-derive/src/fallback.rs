//! What is generated when something is wrong, so that one mistake is one message: without an implementation, each use of
//! the type would be reported as well.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

/// An implementation that compiles and says nothing.
pub(crate) fn data(input: &DeriveInput) -> TokenStream {
    let ident = &input.ident;
    let (impl_generics, ty_generics, where_clause) = input.generics.split_for_impl();
    quote! {
        const _: () = {
            #[automatically_derived]
            impl #impl_generics ::netshm::data::DataManager for #ident #ty_generics #where_clause {
                fn encode(
                    &self,
                    _: &mut ::netshm::data::Encoder<'_>,
                ) -> ::core::result::Result<(), ::netshm::data::DataError> {
                    ::core::unreachable!()
                }
                fn decode(
                    _: &mut ::netshm::data::Decoder<'_>,
                ) -> ::core::result::Result<Self, ::netshm::data::DataError> {
                    ::core::unreachable!()
                }
                fn schema(_: &mut ::netshm::data::Types) -> ::netshm::data::Schema {
                    ::core::unreachable!()
                }
            }
        };
    }
}

//! `impl DataManager`.

use proc_macro2::TokenStream;
use quote::quote;

use super::ask::{self, Wanted};
use super::{Parts, allowances, enums, extensible, generics, library, stand_ins, structs, with};
use crate::ast::{Data, Input};

pub(crate) fn expand(input: &Input) -> TokenStream {
    let library = library(input);
    let parts = match &input.data {
        Data::Struct(fields) if input.attrs.transparent.is_some() => {
            structs::transparent(&library, &input.name(), fields)
        }
        Data::Struct(fields) => structs::plain(&library, &input.name(), fields),
        Data::Enum(variants) => enums::expand(&library, &input.name(), variants),
    };
    let keeps_rest = matches!(&input.data, Data::Struct(fields) if fields.rest().is_some());
    let parts = if input.attrs.extensible.is_some() { extensible(parts, keeps_rest) } else { parts };
    let Parts { items, direct, fixed, encode, decode, schema } = parts;
    let ident = &input.original.ident;
    let where_clause = generics::bounds(input, &library, "ShmData");
    let (impl_generics, ty_generics, _) = input.original.generics.split_for_impl();
    let (allow, stand_ins) = (allowances(), stand_ins(&library));
    let questions = ask::ask(input, Wanted::Data, &where_clause);
    let with = with::all(input, &library, &where_clause);
    quote! {
        const _: () = {
            #stand_ins

            #allow
            #[automatically_derived]
            impl #impl_generics #library::data::ShmData for #ident #ty_generics #where_clause {
                const FIXED: ::core::option::Option<usize> = #fixed;
                // What `Drop` does is not known either, and a value that was read in vain is dropped.
                const DIRECT: bool = #direct && !{
                    #[allow(unused_imports)]
                    use #library::data::NoDrop as _;
                    <#library::data::DropProbe<Self>>::HAS_DROP
                };
                #items

                #[inline]
                fn encode(
                    &self,
                    __out: &mut #library::data::Encoder<'_>,
                ) -> ::core::result::Result<(), #library::data::DataError> {
                    #encode
                    ::core::result::Result::Ok(())
                }

                #[inline]
                fn decode(
                    __input: &mut #library::data::Decoder<'_>,
                ) -> ::core::result::Result<Self, #library::data::DataError> {
                    #decode
                }

                fn schema(__types: &mut #library::data::Types) -> #library::data::Schema {
                    #schema
                }
            }

            #questions
            #with
        };
    }
}

//! The input as the macros see it: its fields and variants with their attributes read.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Ident, Member, Type};

use crate::attr::{ContainerAttrs, Errors, FieldAttrs, VariantAttrs};

/// A struct or enum.
pub(crate) struct Input {
    pub(crate) original: DeriveInput,
    pub(crate) attrs: ContainerAttrs,
    pub(crate) data: Data,
}

pub(crate) enum Data {
    Struct(Fields),
    Enum(Vec<Variant>),
}

/// The fields of a struct or variant.
pub(crate) struct Fields {
    pub(crate) style: Style,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Unit,
    Tuple,
    Named,
}

pub(crate) struct Field {
    pub(crate) member: Member,
    pub(crate) ty: Type,
    pub(crate) attrs: FieldAttrs,
    /// Span to point at if something is wrong with the field.
    pub(crate) span: Span,
    /// Its number among all fields of the type.
    pub(crate) number: usize,
    /// The generic arguments of the type, for a call: `::<T>`.
    pub(crate) generics: TokenStream,
}

pub(crate) struct Variant {
    pub(crate) ident: Ident,
    pub(crate) attrs: VariantAttrs,
    pub(crate) fields: Fields,
    /// The number that is stored.
    pub(crate) index: u64,
}

impl Input {
    /// Reads the input, and reports wrong attributes to `errors`; returns `None` if the input cannot be used.
    pub(crate) fn read(original: &DeriveInput, errors: &mut Errors) -> Option<Input> {
        let attrs = ContainerAttrs::read(&original.attrs, errors);
        let data = match &original.data {
            syn::Data::Struct(data) => Data::Struct(Fields::read(&data.fields, errors)),
            syn::Data::Enum(data) => {
                let mut next = 0;
                let variants = data.variants.iter().map(|variant| {
                    let attrs = VariantAttrs::read(&variant.attrs, errors);
                    let index = attrs.index.as_ref().map_or(next, |index| index.value);
                    // What stands for unknown variants has none.
                    next = if attrs.other.is_some() { next } else { index.wrapping_add(1) };
                    Variant {
                        ident: variant.ident.clone(),
                        attrs,
                        fields: Fields::read(&variant.fields, errors),
                        index,
                    }
                });
                Data::Enum(variants.collect())
            }
            syn::Data::Union(data) => {
                errors.add(
                    data.union_token.span,
                    "a union cannot be stored: nothing tells which of its fields is the valid one; use an enum",
                );
                return None;
            }
        };
        let mut input = Input { original: original.clone(), attrs, data };
        input.number_fields();
        Some(input)
    }

    fn number_fields(&mut self) {
        let lists: Vec<&mut Fields> = match &mut self.data {
            Data::Struct(fields) => vec![fields],
            Data::Enum(variants) => variants.iter_mut().map(|variant| &mut variant.fields).collect(),
        };
        let (_, generics, _) = self.original.generics.split_for_impl();
        let generics = generics.as_turbofish().to_token_stream();
        for (number, field) in lists.into_iter().flat_map(|list| &mut list.fields).enumerate() {
            (field.number, field.generics) = (number, generics.clone());
        }
    }

    /// Returns the name in the schema.
    pub(crate) fn name(&self) -> String {
        self.attrs
            .rename
            .as_ref()
            .map_or_else(|| self.original.ident.unraw().to_string(), |rename| rename.value.clone())
    }

    /// Returns all fields, including those of variants.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        let lists: Vec<&Fields> = match &self.data {
            Data::Struct(fields) => vec![fields],
            Data::Enum(variants) => {
                let known = variants.iter().filter(|variant| variant.attrs.other.is_none());
                known.map(|variant| &variant.fields).collect()
            }
        };
        lists.into_iter().flat_map(|fields| &fields.fields)
    }
}

impl Fields {
    fn read(fields: &syn::Fields, errors: &mut Errors) -> Fields {
        let style = match fields {
            syn::Fields::Unit => Style::Unit,
            syn::Fields::Unnamed(_) => Style::Tuple,
            syn::Fields::Named(_) => Style::Named,
        };
        let read = |(member, field): (Member, &syn::Field)| Field {
            span: field.ident.as_ref().map_or_else(|| field.ty.span(), Ident::span),
            member,
            ty: field.ty.clone(),
            attrs: FieldAttrs::read(&field.attrs, errors),
            number: 0,
            generics: TokenStream::new(),
        };
        Fields { style, fields: fields.members().zip(fields).map(read).collect() }
    }

    /// Returns the fields that are stored, but for what stands for unknown ones.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.attrs.skip.is_none() && field.attrs.rest.is_none())
    }

    /// Returns the field that stands for unknown ones.
    pub(crate) fn rest(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.attrs.rest.is_some())
    }
}

impl Field {
    /// Returns the name in the schema.
    pub(crate) fn name(&self) -> String {
        match (&self.attrs.rename, &self.member) {
            (Some(rename), _) => rename.value.clone(),
            (None, Member::Named(ident)) => ident.unraw().to_string(),
            (None, Member::Unnamed(index)) => index.index.to_string(),
        }
    }

    /// Returns the type that is stored, unless a hand-written manager stores the field.
    pub(crate) fn stored_type(&self) -> &Type {
        self.attrs.as_type.as_ref().map_or(&self.ty, |as_type| &as_type.value)
    }
}

impl Variant {
    /// Returns the name in the schema.
    pub(crate) fn name(&self) -> String {
        self.attrs.rename.as_ref().map_or_else(|| self.ident.unraw().to_string(), |rename| rename.value.clone())
    }
}

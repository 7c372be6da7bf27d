//! Questions to the compiler about the types of fields, each at the place where the type is written: the only part of the
//! generated code that does not compile if a field cannot be stored.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{GenericArgument, Path, PathArguments, Type};

use super::{allowances, at, library};
use crate::ast::{Field, Input};

/// The trait that is required of the types of all fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Data,
    Key,
}

/// Containers of the standard library that can be stored if what they contain can, and how many of their parameters are
/// contents.
const CONTAINERS: [(&str, usize); 11] = [
    ("Vec", 1),
    ("VecDeque", 1),
    ("LinkedList", 1),
    ("BinaryHeap", 1),
    ("Option", 1),
    ("Result", 2),
    ("Box", 1),
    ("BTreeMap", 2),
    ("BTreeSet", 1),
    ("HashMap", 2),
    ("HashSet", 1),
];

/// Returns a function, never called, that requires the trait of all fields. `bounds` are those of the implementation.
pub(super) fn ask(input: &Input, wanted: Wanted, bounds: &syn::WhereClause) -> TokenStream {
    let library = library(input);
    let asked = input.fields().filter(|field| field.attrs.rest.is_none());
    let mut known = HashSet::new();
    let questions = asked.map(|field| field_questions(&library, field, wanted, &mut known));
    let (impl_generics, _, _) = input.original.generics.split_for_impl();
    let allow = allowances();
    let name = match wanted {
        Wanted::Data => format_ident!("__fields_are_data"),
        Wanted::Key => format_ident!("__fields_are_keys"),
    };
    quote! {
        #allow
        #[allow(dead_code, unused_imports)]
        fn #name #impl_generics () #bounds {
            use #library::__private::check::{NoParts as _, NotStored as _, NotWhole as _};
            #(#questions)*
        }
    }
}

/// Returns the questions about a field. About a type that is in `known` the same has been asked, and the answer is the same.
fn field_questions(library: &Path, field: &Field, wanted: Wanted, known: &mut HashSet<String>) -> TokenStream {
    let attrs = &field.attrs;
    let mut questions = TokenStream::new();
    if wanted == Wanted::Data {
        let without = match (&attrs.default, &attrs.skip) {
            (Some(default), _) if default.value.is_some() => None,
            (Some(default), _) => Some(default.span),
            (None, skip) => skip.as_ref().map(|skip| skip.span),
        };
        if let Some(span) = without {
            let ty = located_at(field.ty.to_token_stream(), span);
            questions
                .extend(quote_spanned! {Span::call_site().located_at(span)=> let _ = <#ty as #library::__private::check::FieldDefault>::ASKED; });
        }
    }
    if attrs.shared.is_some() && wanted == Wanted::Data {
        let ty = &field.ty;
        questions
            .extend(quote_spanned! {at(ty)=> let _ = <#ty as #library::__private::check::SharedContents>::ASKED; });
    }
    if attrs.skip.is_some() || attrs.by_functions() {
        return questions;
    }
    if let (Some(as_type), Wanted::Data) = (&attrs.as_type, wanted)
        && data_question(&as_type.value).0 == "data"
    {
        let (ty, stored) = (located_at(field.ty.to_token_stream(), as_type.span), &as_type.value);
        questions.extend(quote_spanned! {at(stored)=>
            <#library::__private::check::Stored<#stored>>::stands_for::<#ty, #stored>();
        });
    }
    questions.extend(type_questions(library, field.stored_type(), wanted, known));
    questions
}

/// Asks about a type; of containers, first about what they contain.
fn type_questions(library: &Path, ty: &Type, wanted: Wanted, known: &mut HashSet<String>) -> TokenStream {
    let parts = contents(ty, wanted);
    let new: Vec<_> = parts.iter().copied().filter(|part| known.insert(part.to_token_stream().to_string())).collect();
    if wanted == Wanted::Key {
        // The other derive reports types that cannot be stored.
        let questions = new.iter().map(|part| {
            let function = key_question(part);
            quote_spanned! {at(*part)=> <#library::__private::check::Stored<#part>>::#function::<#part>(); }
        });
        return questions.collect();
    }
    if let [part] = parts[..]
        && part == ty
    {
        if new.is_empty() {
            return TokenStream::new();
        }
        let asked = match data_question(ty) {
            ("data", _) => quote!(<#ty as #library::data::ShmData>::FIXED),
            (_, name) => {
                let name = Ident::new(name, Span::call_site());
                quote!(<#ty as #library::__private::check::#name>::ASKED)
            }
        };
        return quote_spanned! {at(ty)=> let _ = #asked; };
    }
    let questions = new.iter().map(|part| {
        let function = Ident::new(data_question(part).0, Span::call_site());
        quote_spanned! {at(*part)=> <#library::__private::check::Whole<#ty>>::#function::<#part>(); }
    });
    let list = parts.iter().rev().fold(quote!(()), |rest, part| quote!((#part, #rest)));
    let whole = Ident::new(whole_question(ty), Span::call_site());
    quote! {
        #(#questions)*
        <#library::__private::check::Parts<#list>>::#whole::<#ty>();
    }
}

/// Returns whether a part of a field is known not to be a key: then what else the type lacks is not reported.
pub(super) fn is_hopeless_key(field: &Field) -> bool {
    let is_hopeless = |part: &&Type| key_question(part) != "key";
    !field.attrs.by_functions() && contents(field.stored_type(), Wanted::Key).iter().any(is_hopeless)
}

/// Returns whether a part of a field looks like what cannot be stored, whatever its parameters are.
pub(super) fn is_hopeless(field: &Field) -> bool {
    let is_hopeless = |part: &&Type| !matches!(data_question(part).0, "data" | "serde");
    contents(field.stored_type(), Wanted::Data).iter().any(is_hopeless)
}

/// Returns the innermost types that must be storable, or keys, for the type to be.
fn contents(ty: &Type, wanted: Wanted) -> Vec<&Type> {
    let mut parts = Vec::new();
    collect_contents(ty, wanted, &mut parts);
    parts
}

fn collect_contents<'a>(ty: &'a Type, wanted: Wanted, parts: &mut Vec<&'a Type>) {
    match ty {
        Type::Paren(inner) => collect_contents(&inner.elem, wanted, parts),
        Type::Group(inner) => collect_contents(&inner.elem, wanted, parts),
        Type::Array(array) => collect_contents(&array.elem, wanted, parts),
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|item| collect_contents(item, wanted, parts)),
        Type::Path(path) if path.qself.is_none() => match container(&path.path) {
            Some(inner) if wanted == Wanted::Data || key_question(ty) == "key" => {
                inner.into_iter().for_each(|item| collect_contents(item, wanted, parts));
            }
            _ => parts.push(ty),
        },
        _ => parts.push(ty),
    }
}

/// Returns the types in a container of the standard library; `None` for other types, and if a content is unsized.
fn container(path: &Path) -> Option<Vec<&Type>> {
    let last = path.segments.last()?;
    let (_, count) = CONTAINERS.into_iter().find(|(name, _)| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    let types: Vec<_> = types.take(count).map(|ty| if last.ident == "Box" { element(ty) } else { ty }).collect();
    let unsized_names = ["str", "Path", "OsStr", "CStr"];
    let is_sized = |ty: &&Type| match ty {
        Type::Slice(_) | Type::TraitObject(_) | Type::Infer(_) => false,
        Type::Path(path) => {
            !path.path.segments.last().is_some_and(|last| unsized_names.iter().any(|name| last.ident == name))
        }
        _ => true,
    };
    (!types.is_empty() && types.iter().all(is_sized)).then_some(types)
}

/// Returns the element type of a slice, and other types as they are.
fn element(ty: &Type) -> &Type {
    match ty {
        Type::Slice(slice) => &slice.elem,
        _ => ty,
    }
}

/// Returns whether a type is a `Box<dyn Trait>`.
fn is_boxed_object(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let Some(PathArguments::AngleBracketed(arguments)) = path.path.segments.last().map(|last| &last.arguments) else {
        return false;
    };
    matches!(arguments.args.first(), Some(GenericArgument::Type(Type::TraitObject(_))))
}

/// Returns the last segment of a path.
fn last_name(ty: &Type) -> String {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Returns the function that requires a key. It is chosen by the look of the type; only the message differs.
fn key_question(ty: &Type) -> Ident {
    let function = match last_name(ty).as_str() {
        "f32" | "f64" => "float",
        "HashMap" | "HashSet" => "hashed",
        _ => "key",
    };
    Ident::new(function, Span::call_site())
}

/// Returns the function that requires a storable container, all of whose parts can be stored: only the message differs.
fn whole_question(ty: &Type) -> &'static str {
    match last_name(ty).as_str() {
        "HashMap" | "HashSet" => "hashed",
        "BTreeMap" | "BTreeSet" | "BinaryHeap" => "ordered",
        _ => "whole",
    }
}

/// Returns the function and the trait that require a storable type.
fn data_question(ty: &Type) -> (&'static str, &'static str) {
    match (ty, last_name(ty).as_str()) {
        (Type::Reference(_), _) => ("reference", "SharedReference"),
        (Type::Ptr(_), _) | (_, "NonNull" | "AtomicPtr") => ("pointer", "SharedPointer"),
        (Type::FnPtr(_), _) => ("function", "SharedFunction"),
        (_, "Rc" | "Arc" | "Weak") => ("owner", "SharedOwner"),
        (
            _,
            "Cell" | "RefCell" | "OnceCell" | "LazyCell" | "UnsafeCell" | "Mutex" | "RwLock" | "OnceLock" | "LazyLock",
        ) => ("cell", "SharedCell"),
        (_, name) if name.starts_with("Atomic") => ("cell", "SharedCell"),
        (_, "Rest") => ("rest", "SharedRest"),
        (_, "Instant") => ("instant", "SharedInstant"),
        (_, "Serde" | "SerdeJson" | "SerdeCbor") => ("serde", "SharedSerde"),
        (_, "Box") if is_boxed_object(ty) => ("object", "SharedObject"),
        _ => ("data", "ShmData"),
    }
}

/// Returns whether a struct with this field has infinite size: it contains itself, and not through a `Box` or a sequence.
pub(crate) fn contains_itself(ty: &Type, own: &Ident) -> bool {
    match ty {
        Type::Paren(inner) => contains_itself(&inner.elem, own),
        Type::Group(inner) => contains_itself(&inner.elem, own),
        Type::Array(array) => contains_itself(&array.elem, own),
        Type::Tuple(tuple) => tuple.elems.iter().any(|item| contains_itself(item, own)),
        Type::Path(path) if path.qself.is_none() => {
            path.path.is_ident(own)
                || path.path.is_ident("Self")
                || path.path.segments.last().is_some_and(|last| last.ident == "Option" || last.ident == "Result")
                    && container(&path.path)
                        .is_some_and(|inner| inner.into_iter().any(|item| contains_itself(item, own)))
        }
        _ => false,
    }
}

/// Returns the same tokens with another span, for messages that point there.
pub(super) fn located_at(tokens: TokenStream, span: Span) -> TokenStream {
    let tokens = tokens.into_iter().map(|mut token| {
        if let TokenTree::Group(group) = &token {
            let mut moved = proc_macro2::Group::new(group.delimiter(), located_at(group.stream(), span));
            moved.set_span(group.span().located_at(span));
            return TokenTree::Group(moved);
        }
        token.set_span(token.span().located_at(span));
        token
    });
    tokens.collect()
}

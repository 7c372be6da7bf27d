//! The derive macros of netshm: `#[derive(ShmData)]` and `#[derive(ShmKey)]`.
//!
//! Use them through the `netshm` crate, which exports them beside the traits.

mod ast;
mod attr;
mod check;
mod expand;
mod fallback;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use ast::Input;
use attr::Errors;

/// Makes a struct or enum storable in shared memory: implements `DataManager` by composing the managers of its fields.
///
/// ```ignore
/// #[derive(ShmData, Debug, Clone, PartialEq, Default)]
/// struct Session {
///     user: u64,
///     name: String,
///     hits: u32,
/// }
/// ```
///
/// Every field's type must be storable itself. A struct is stored as its fields one after the other, without headers; an
/// enum as the index of the variant and its fields. Types can be generic, and can contain themselves through `Box` or
/// `Vec`.
///
/// # Attributes of fields
/// - `#[shm(with = path)]`: the functions `path::encode`, `path::decode` and `path::schema`, of a module or a type, store
///   the field. They look like those of `DataManager`, with a reference to the field in place of `self`.
/// - `#[shm(as = Type)]`: the field is stored as a `Type`. It must be `Clone` and `Into<Type>`, and `TryFrom<Type>`.
/// - `#[shm(skip)]`: the field is not stored; reading gives its default.
/// - `#[shm(rename = "name")]`: the name in the schema, so that the field can have another one in the program.
/// - `#[shm(default)]`, `#[shm(default = expression)]`: rows that an older program wrote, without this field, are read
///   with the default. Only for the last fields of a struct.
///
/// # Attributes of variants
/// - `#[shm(index = n)]`: the number that is stored, in place of the one after the variant before.
/// - `#[shm(rename = "name")]`: the name in the schema.
///
/// # Attributes of structs and enums
/// - `#[shm(crate = path)]`: where the library is, if its name is not `netshm`.
/// - `#[shm(bound = "T: Trait")]`: what generic parameters must be able to do, in place of what follows from the fields.
/// - `#[shm(transparent)]`: a struct with one field is stored, and described, as that field.
/// - `#[shm(rename = "Name")]`: the name in the schema.
#[proc_macro_derive(ShmData, attributes(shm))]
pub fn shm_data(input: TokenStream) -> TokenStream {
    let original = parse_macro_input!(input as DeriveInput);
    let mut errors = Errors::default();
    let input = Input::read(&original, &mut errors);
    if let Some(input) = &input {
        check::check(input, &mut errors);
    }
    match (input, errors.into_error()) {
        (Some(input), None) => expand::data::expand(&input).into(),
        (_, error) => {
            let messages = error.map(|error| error.to_compile_error());
            let fallback = fallback::data(&original);
            quote::quote! { #messages #fallback }.into()
        }
    }
}

/// Makes a type a key: implements `ShmKey`, beside `#[derive(ShmData, PartialEq, Eq)]`.
///
/// All fields must be keys. `PartialEq` must mean that all fields are equal, as the derived one does: keys are compared
/// by their stored words.
///
/// ```ignore
/// #[derive(ShmData, ShmKey, PartialEq, Eq)]
/// struct Place {
///     country: String,
///     zip: u32,
/// }
/// ```
#[proc_macro_derive(ShmKey, attributes(shm))]
pub fn shm_key(input: TokenStream) -> TokenStream {
    let original = parse_macro_input!(input as DeriveInput);
    // What is wrong with the attributes as such, `ShmData` reports.
    let Some(input) = Input::read(&original, &mut Errors::default()) else { return TokenStream::new() };
    let mut errors = Errors::default();
    check::check_key(&input, &mut errors);
    match errors.into_error() {
        None => expand::key::expand(&input).into(),
        Some(error) => error.to_compile_error().into(),
    }
}

//! The derive macros of netshm: `#[derive(ShmData)]`, `#[derive(ShmKey)]` and `#[derive(ShmSchema)]`.
//!
//! Use them through the `netshm` crate, which exports them beside the traits.

mod ast;
mod attr;
mod check;
mod check_schema;
mod expand;
mod fallback;
mod schema;
mod spelling;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use ast::Input;
use attr::Errors;
use schema::SchemaInput;

/// Makes a struct or enum storable in shared memory: implements `ShmData` by composing the managers of its fields.
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
/// The crate's documentation has an example of each attribute: "Your own types", and of those for types that grow, "Changing a type".
///
/// Every field's type must be storable itself. A struct is stored as its fields one after the other, without headers; an
/// enum as the index of the variant and its fields. Types can be generic, and can contain themselves through `Box` or
/// `Vec`.
///
/// # Attributes of fields
/// - `#[shm(with = path)]`: the functions `path::encode`, `path::decode` and `path::schema`, of a module or a type, store
///   the field. They look like those of `ShmData`, with a reference to the field in place of `self`.
/// - `#[shm(as = Type)]`: the field is stored as a `Type`. It must be `Clone` and `Into<Type>`, and `TryFrom<Type>`.
/// - `#[shm(shared)]`: what an `Rc` or `Arc` points to is stored, as in a `Box`. When it is read, each pointer has a value of its own.
/// - `#[shm(skip)]`: the field is not stored; decoding sets it to its default.
/// - `#[shm(rename = "name")]`: the name in the schema, if it is to differ from the one in the program.
/// - `#[shm(default)]`, `#[shm(default = expression)]`: rows that an older program wrote, without this field, are read
///   with the default, if the struct is the value type of a table or `extensible`; such a program reads past the field, and carries
///   it over where it changes a row. Only for the last fields of a struct. Such a field needs its default for ever, and a struct
///   that contains itself (as in a `Vec`) gains fields only if it is `extensible`.
/// - `#[shm(rest)]`: the last field of an `extensible` struct, of the type `netshm::Rest`: it keeps the fields that newer programs
///   have added, so that the value can be written again without a loss.
///
/// # Attributes of variants
/// - `#[shm(index = n)]`: the stored number; by default one more than that of the previous variant.
/// - `#[shm(other)]`: a variant like `Other(netshm::Rest)` of an `extensible` enum, which stands for all variants that newer
///   programs have added.
/// - `#[shm(rename = "name")]`: the name in the schema.
///
/// # Attributes of structs and enums
/// - `#[shm(crate = path)]`: where the library is, if its name is not `netshm`.
/// - `#[shm(bound = "T: Trait")]`: the bounds of generic parameters, instead of those derived from the fields.
/// - `#[shm(transparent)]`: a struct with one field is stored, and described, as that field.
/// - `#[shm(extensible)]`: the type may gain fields with `default`, or variants, wherever it stands: in vectors, options, maps, other
///   structs, inside itself, and as the element of an array. It is stored with its length for that, a word more. (As the value of a
///   table, a type may gain them without it.)
/// - `#[shm(rename = "Name")]`: the name in the schema.
#[doc(alias = "serialize")]
#[doc(alias = "deserialize")]
#[proc_macro_derive(ShmData, attributes(shm))]
pub fn shm_data(input: TokenStream) -> TokenStream {
    let original = parse_macro_input!(input as DeriveInput);
    let mut errors = Errors::default();
    let input = Input::read(&original, &mut errors);
    if let Some(input) = &input {
        check::check(input, &mut errors);
    }
    match (input, errors.into_error()) {
        (Some(input), None) if check::has_size(&input) && check::has_types(&input) => {
            expand::data::expand(&input).into()
        }
        (input, error) => {
            let messages = error.map(|error| error.to_compile_error());
            let library = input.as_ref().map_or_else(|| syn::parse_quote!(::netshm), expand::library);
            // A type without a size cannot be in a `Result`.
            let has_size = input.as_ref().is_none_or(check::has_size);
            let fallback = has_size.then(|| fallback::data(&original, &library));
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
    // `ShmData` reports errors in the attributes themselves.
    let Some(input) = Input::read(&original, &mut Errors::default()) else {
        return expand::key::of_a_union(&original).into();
    };
    let mut errors = Errors::default();
    check::check_key(&input, &mut errors);
    match errors.into_error() {
        None if !check::has_types(&input) => TokenStream::new(),
        None => expand::key::expand(&input).into(),
        Some(error) => error.to_compile_error().into(),
    }
}

/// Declares objects as the fields of a struct: implements `netshm::ShmSchema`, which opens, creates, checks, describes and
/// removes them together, and gives the struct methods of the same names.
///
/// ```ignore
/// #[derive(ShmSchema)]
/// #[shm(prefix = "/myapp", locking = Locking::Futex, mode = 0o600)]
/// struct AppState {
///     /// One row for each signed-in user.
///     #[shm(init = 10_000)]
///     sessions: HashTable<String, Session>,
///     #[shm(file = "data/geo", locking = Locking::None, read_only)]
///     cities: HashTable<u32, City>,
///     #[shm(len = 16, default = 0)]
///     counters: Array<u64>,
/// }
///
/// let state = AppState::open_or_create()?;
/// ```
///
/// The crate's documentation has an example of each attribute: "All objects of a program".
///
/// Fields are `HashTable`s, `Array`s and `Table`s. The struct can be generic, with bounds of its own.
///
/// # Attributes of the struct
/// - `#[shm(prefix = "/myapp")]`: the objects are in POSIX shared memory; that of the field `rows` is called
///   `/myapp.rows`.
/// - `#[shm(dir = "path")]`: the objects are files in this directory; that of the field `rows` is called `rows`.
/// - `#[shm(object = "/myapp")]` or `#[shm(object = "file:path")]`, in place of both: all fields are members of this one object, and a
///   `group!` on the struct is one change over all of them. Then these are said of the object, and not of fields: `slots`,
///   `max_size`, `pagesize` and `stripe_room`, as in `netshm::ManageOptions`.
/// - `#[shm(locking = ..)]`, `#[shm(mode = ..)]`, `#[shm(lock_timeout = ..)]`, `#[shm(give_back_live)]`: the defaults of all fields.
/// - `#[shm(require_owner)]`: objects that belong to another user, or that others may write to, are refused.
/// - `#[shm(crate = path)]`: where the library is, if its name is not `netshm`.
///
/// # Attributes of fields
/// - `#[shm(name = "..")]`: the name to use instead of the field's; or, if it begins with `/`, `posix:` or `file:`, the whole name,
///   wherever the schema is.
/// - `#[shm(file = "path")]`: the object is this file. A relative path begins in the directory that the schema is in, and
///   in the current directory if the schema is in POSIX shared memory.
/// - `#[shm(read_only)]`: the object must exist, is opened for reading only, and never removed.
/// - `#[shm(len = ..)]`: the minimum length of an array.
/// - `#[shm(default)]`, `#[shm(default = expression)]`: the value of an array's elements before they are set; by
///   default the `Default` of their type.
/// - `#[shm(init = ..)]`, `pagesize`, `max_size`, `stripes`, `stripe_room`, `slots`, `locking`, `lock_timeout`, `give_back_live`: as
///   in `netshm::ManageOptions`; `mode`: as in `netshm::ShmOptions`.
#[proc_macro_derive(ShmSchema, attributes(shm))]
pub fn shm_schema(input: TokenStream) -> TokenStream {
    let original = parse_macro_input!(input as DeriveInput);
    let mut errors = Errors::default();
    let input = SchemaInput::read(&original, &mut errors);
    if let syn::Data::Struct(syn::DataStruct { fields: syn::Fields::Named(_), .. }) = &original.data {
        check_schema::check(&input, &mut errors);
    }
    let error = errors.into_error().map(|error| error.to_compile_error());
    let code = expand::schema::expand(&input, error.is_some());
    quote::quote! { #error #code }.into()
}

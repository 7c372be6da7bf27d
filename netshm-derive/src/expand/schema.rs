//! `impl ShmSchema`, and inherent methods that forward to those of the trait.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Path, parse_quote};

use super::allowances;
use crate::schema::{Object, SchemaInput};
use crate::spelling::spell;

/// Generates the implementation. If something is `wrong`, it compiles and does nothing: one mistake, one message.
pub(crate) fn expand(input: &SchemaInput, wrong: bool) -> TokenStream {
    let library: Path = input.attrs.krate.as_ref().map_or_else(|| parse_quote!(::netshm), |krate| krate.value.clone());
    let (declaration, open, objects) = if wrong {
        let nothing = quote!(::core::unreachable!());
        (nothing.clone(), nothing.clone(), nothing)
    } else {
        (declaration(&library, input), open(&library, input), objects(&library, input))
    };
    let ident = &input.original.ident;
    let (impl_generics, ty_generics, where_clause) = input.original.generics.split_for_impl();
    let (allow, methods) = (allowances(), methods(&library, input));
    let groups = (!wrong).then(|| groups(&library, input));
    let watch = (!wrong && input.attrs.object.is_some()).then(|| watch(&library, input));
    let in_one_object = input.attrs.object.is_some().then(|| one_object(&library, input));
    quote! {
        const _: () = {
            #allow
            #[automatically_derived]
            impl #impl_generics #library::declare::ShmSchema for #ident #ty_generics #where_clause {
                fn declaration() -> #library::declare::Declaration {
                    #declaration
                }

                fn open_fields(__opener: &mut #library::declare::Opener) -> #library::Result<Self> {
                    #open
                }

                fn objects(&self) -> ::std::vec::Vec<(&'static str, &dyn #library::declare::Object)> {
                    #objects
                }
            }

            #allow
            #[allow(dead_code)]
            #[automatically_derived]
            impl #impl_generics #ident #ty_generics #where_clause {
                #methods
                #groups
                #watch
            }

            #in_one_object
        };
    }
}

fn declaration(library: &Path, input: &SchemaInput) -> TokenStream {
    let name = input.original.ident.to_string();
    let object = input.attrs.object.as_ref();
    let place = match (&input.attrs.prefix, &input.attrs.dir) {
        _ if object.is_some() => {
            let name = object.map_or("", |object| &object.value);
            quote!(<#library::declare::Place as ::core::convert::From<&str>>::from(#name))
        }
        (Some(prefix), _) => {
            let prefix = &prefix.value;
            quote!(#library::declare::Place::posix(#prefix))
        }
        (None, dir) => {
            let dir = dir.as_ref().map_or("", |dir| &dir.value);
            quote!(#library::declare::Place::directory(#dir))
        }
    };
    let docs = docs(&input.docs);
    let attrs = &input.attrs;
    let one = object.map(|_| quote!(.one_object()));
    let shared = [
        ("locking", &attrs.locking),
        ("mode", &attrs.mode),
        ("lock_timeout", &attrs.lock_timeout),
        ("slots", &attrs.slots),
        ("max_size", &attrs.max_size),
        ("pagesize", &attrs.pagesize),
        ("stripe_room", &attrs.stripe_room),
    ];
    let shared = shared.into_iter().filter_map(|(name, given)| given.as_ref().map(|given| call(name, given)));
    let require_owner = attrs.require_owner.is_some().then(|| quote!(.require_owner()));
    let give_back_live = attrs.give_back_live.is_some().then(|| quote!(.give_back_live()));
    let entries = input.fields.iter().map(|object| entry(library, object));
    quote! { #library::declare::Declaration::new(#name, #place) #docs #one #(#shared)* #require_owner #give_back_live #(.entry(#entries))* }
}

fn entry(library: &Path, object: &Object) -> TokenStream {
    let (field, attrs) = (object.field(), &object.attrs);
    let docs = docs(&object.docs);
    let name = attrs.name.as_ref().map(|name| {
        let name = &name.value;
        quote!(.name(#name))
    });
    let file = attrs.file.as_ref().map(|file| {
        let file = &file.value;
        quote!(.file(#file))
    });
    let read_only = attrs.read_only.is_some().then(|| quote!(.read_only()));
    let give_back_live = attrs.give_back_live.is_some().then(|| quote!(.give_back_live()));
    let len = attrs.len.as_ref().map(|len| call("len", len));
    let default = attrs.default.as_ref().map(|default| {
        let text = default
            .value
            .as_ref()
            .map_or_else(|| "the default of its type".to_owned(), |expression| spell(expression.to_token_stream()));
        quote_spanned!(default.span=> .default_text(#text))
    });
    let options = attrs.options.iter().map(|(name, given)| call(name, given));
    let entry = at_type(object, |span| field_method(library, object, "entry", span), &quote!(#field));
    quote! { #entry #docs #name #file #read_only #give_back_live #len #default #(#options)* }
}

/// Generates `.docs("..")`, if there are any.
fn docs(docs: &str) -> Option<TokenStream> {
    (!docs.is_empty()).then(|| quote!(.docs(#docs)))
}

/// Generates a call of the method of that name, with the span of the attribute.
fn call(name: &str, given: &crate::attr::Given<syn::Expr>) -> TokenStream {
    let (method, value) = (format_ident!("{name}", span = given.span), &given.value);
    quote!(.#method(#value))
}

fn open(library: &Path, input: &SchemaInput) -> TokenStream {
    // A variable is found by where its name comes from, which must be here; the rest stands where the field's type does.
    let opener = quote!(__opener);
    let fields = input.fields.iter().map(|object| {
        let ident = &object.ident;
        let given = object.attrs.default.as_ref().and_then(|default| default.value.as_ref());
        let default = match given {
            Some(expression) => quote!(#expression),
            None => {
                let of = |span| quote_spanned!(span=> <_ as #library::declare::ElementDefault>::element_default);
                at_type(object, of, &quote!())
            }
        };
        let open = at_type(object, |span| field_method(library, object, "open", span), &quote!(#opener, #default));
        quote!(#ident: #open?)
    });
    quote! { ::core::result::Result::Ok(Self { #(#fields),* }) }
}

fn objects(library: &Path, input: &SchemaInput) -> TokenStream {
    let objects = input.fields.iter().map(|object| {
        let (ident, field) = (&object.ident, object.field());
        let method = |span| field_method(library, object, "as_object", span);
        let object = at_type(object, method, &quote!(&self.#ident));
        quote!((#field, #object))
    });
    quote! { <::std::vec::Vec<_> as ::core::convert::From<_>>::from([#(#objects),*]) }
}

/// Returns the path of a function of the field's type.
fn field_method(library: &Path, object: &Object, method: &str, span: Span) -> TokenStream {
    let (ty, method) = (&object.ty, Ident::new(method, span));
    quote_spanned!(span=> <#ty as #library::declare::Field>::#method)
}

/// Generates a call with the span of the field's type. The compiler reports the same thing about the same place
/// once only, and points at the type when it is no table.
fn at_type(object: &Object, function: impl FnOnce(Span) -> TokenStream, arguments: &TokenStream) -> TokenStream {
    let mut spans = object.ty.to_token_stream().into_iter().map(|token| token.span());
    let first = spans.next().unwrap_or_else(Span::call_site);
    let function = function(first);
    quote_spanned!(spans.last().unwrap_or(first)=> #function(#arguments))
}

/// Says that all fields are in one object.
fn one_object(library: &Path, input: &SchemaInput) -> TokenStream {
    let ident = &input.original.ident;
    let (_, ty_generics, where_clause) = input.original.generics.split_for_impl();
    let mut generics = input.original.generics.clone();
    generics.params.push(parse_quote!(__R));
    let (impl_generics, ..) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #library::declare::InOneObject<__R> for #ident #ty_generics #where_clause {}
    }
}

/// Generates the method that watches the one object.
fn watch(library: &Path, input: &SchemaInput) -> TokenStream {
    let (vis, Some(first)) = (&input.original.vis, input.fields.first()) else { return TokenStream::new() };
    let ident = &first.ident;
    let object = at_type(first, |span| field_method(library, first, "as_object", span), &quote!(&self.#ident));
    quote! {
        /// Returns a watch that reports changes to any member of the object. See `netshm::Shm::watch`.
        #vis fn watch(&self) -> #library::Result<#library::Watch> {
            #library::declare::Object::shm(#object).watch()
        }
    }
}

/// Generates what `group!` calls. The result is a parameter of the bound, so that the compiler asks for it where a group is made.
fn groups(library: &Path, input: &SchemaInput) -> TokenStream {
    let (vis, Some(first)) = (&input.original.vis, input.fields.first()) else { return TokenStream::new() };
    let ident = &first.ident;
    let call = |method, arguments| at_type(first, |span| field_method(library, first, method, span), &arguments);
    let group = call("group", quote!(&self.#ident, body));
    let group_retry = call("group_retry", quote!(&self.#ident, body));
    let group_retry_at_most = call("group_retry_at_most", quote!(&self.#ident, retries, body));
    quote! {
        /// Runs `body` as a group on the object of all fields. Use `netshm::group!`.
        #vis fn group<__R, __E: ::core::convert::From<#library::Error>>(
            &self,
            body: impl ::core::ops::FnOnce() -> ::core::result::Result<__R, __E>,
        ) -> ::core::result::Result<__R, __E>
        where
            Self: #library::declare::InOneObject<__R>,
        {
            #group
        }

        /// Runs `body` as a group, again after each deadlock.
        #vis fn group_retry<__R, __E: #library::GroupError>(
            &self,
            body: impl ::core::ops::FnMut() -> ::core::result::Result<__R, __E>,
        ) -> ::core::result::Result<__R, __E>
        where
            Self: #library::declare::InOneObject<__R>,
        {
            #group_retry
        }

        /// Runs `body` as a group, again after at most `retries` deadlocks.
        #vis fn group_retry_at_most<__R, __E: #library::GroupError>(
            &self,
            retries: u64,
            body: impl ::core::ops::FnMut() -> ::core::result::Result<__R, __E>,
        ) -> ::core::result::Result<__R, __E>
        where
            Self: #library::declare::InOneObject<__R>,
        {
            #group_retry_at_most
        }
    }
}

/// Generates the methods of the trait as methods of the struct, for programs that do not import the trait.
fn methods(library: &Path, input: &SchemaInput) -> TokenStream {
    let vis = &input.original.vis;
    let schema = quote!(<Self as #library::declare::ShmSchema>);
    let place = quote!(impl ::core::convert::Into<#library::declare::Place>);
    let names = quote!(::std::vec::Vec<(&'static str, #library::ShmName)>);
    let reports = quote!(::std::vec::Vec<(&'static str, #library::Report)>);
    let stats = quote!(::std::vec::Vec<(&'static str, #library::Stats)>);
    quote! {
        /// Creates all objects, none of which may exist. See `netshm::ShmSchema::create`.
        #vis fn create() -> #library::Result<Self> {
            #schema::create()
        }

        /// Opens all objects, which must exist. See `netshm::ShmSchema::open`.
        #vis fn open() -> #library::Result<Self> {
            #schema::open()
        }

        /// Opens the objects that exist and creates the others. See `netshm::ShmSchema::open_or_create`.
        #vis fn open_or_create() -> #library::Result<Self> {
            #schema::open_or_create()
        }

        /// Opens or creates all objects below another prefix or in a directory. See `netshm::ShmSchema::open_in`.
        #vis fn open_in(place: #place) -> #library::Result<Self> {
            #schema::open_in(place)
        }

        /// Returns the schema below another prefix or in a directory. See `netshm::ShmSchema::at`.
        #vis fn at(place: #place) -> #library::declare::At<Self> {
            #schema::at(place)
        }

        /// Deletes the names of all objects that exist. See `netshm::ShmSchema::unlink`.
        #vis fn unlink() -> #library::Result<()> {
            #schema::unlink()
        }

        /// Returns the fields and the names of their objects. See `netshm::ShmSchema::names`.
        #vis fn names() -> #names {
            #schema::names()
        }

        /// Checks all objects. See `netshm::ShmSchema::check`.
        #vis fn check(&self) -> #library::Result<#reports> {
            #schema::check(self)
        }

        /// Returns figures about all objects. See `netshm::ShmSchema::stats`.
        #vis fn stats(&self) -> #library::Result<#stats> {
            #schema::stats(self)
        }

        /// Writes all objects back to their storage. See `netshm::ShmSchema::sync`.
        #vis fn sync(&self) -> #library::Result<()> {
            #schema::sync(self)
        }

        /// Describes the whole schema for a person to read. See `netshm::ShmSchema::describe`.
        #vis fn describe() -> ::std::string::String {
            #schema::describe()
        }
    }
}

//! The derive macros of netshm.

use proc_macro::TokenStream;

/// Placeholder.
#[proc_macro_derive(ShmData, attributes(shm))]
pub fn shm_data(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// Placeholder.
#[proc_macro_derive(ShmKey, attributes(shm))]
pub fn shm_key(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

//! Guides for readers; there is no code here.

#[doc = include_str!("from_ocaml.md")]
pub mod from_ocaml {}

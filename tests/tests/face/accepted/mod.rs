//! Programs that must compile.
#![allow(dead_code)]

mod all_attributes;
mod one_object;
mod schema_all_attributes;

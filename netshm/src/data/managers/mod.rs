//! The managers of the standard library's types, and behind features of those of other crates.

mod boxes;
#[cfg(feature = "bytes")]
mod bytes;
#[cfg(feature = "chrono")]
mod chrono;
mod maps;
mod net;
mod options;
mod paths;
mod ranges;
mod scalars;
pub(super) mod sequences;
#[cfg(feature = "serde")]
mod serde;
mod text;
mod time;
#[cfg(feature = "time")]
mod time_crate;
mod tuples;
#[cfg(feature = "uuid")]
mod uuid;
mod wrappers;

#[cfg(feature = "serde")]
pub use self::serde::Serde;
pub(crate) use sequences::{decode_inner, encode_inner};

/// The words of parts that follow each other, if each has a fixed length.
#[doc(hidden)]
pub(crate) const fn all_fixed(parts: &[Option<usize>]) -> Option<usize> {
    let mut sum = 0;
    let mut i = 0;
    while i < parts.len() {
        match parts[i] {
            Some(words) => sum += words,
            None => return None,
        }
        i += 1;
    }
    Some(sum)
}

/// The words of an enum, if all variants have the same fixed length: the index comes first.
#[doc(hidden)]
pub(crate) const fn same_fixed(variants: &[Option<usize>]) -> Option<usize> {
    let Some(Some(first)) = variants.first().copied() else { return None };
    let mut i = 1;
    while i < variants.len() {
        match variants[i] {
            Some(words) if words == first => i += 1,
            _ => return None,
        }
    }
    Some(first + 1)
}

//! The managers of types: what they write, read, and refuse.

#[macro_use]
mod managers_types;

mod derive_types;
mod golden_encodings;
mod managers_arbitrary;
mod managers_other;
mod managers_roundtrip;
mod other_crates;
mod serde_bounds;
mod serde_formats;
mod serde_readable;

//! System calls and raw memory: `unsafe` stays here and in the region.

pub(crate) mod copy;

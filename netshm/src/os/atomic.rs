//! The atomics that the protocols are built on. The model checks put their own in this place.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

//! What the tests of several subjects share: objects that go away at the end, children with a time limit, repeatable
//! randomness, and one face for all tables.

mod children;
pub mod damaged;
mod ends;
mod random;
mod scratch;
mod verbs;

pub use children::{Child, part};
pub use ends::{Ends, Outcome};
pub use random::Random;
pub use scratch::{Directory, Scratch, unique};
pub use verbs::{AnyKey, AnyValue, Shape, Verbs, Way};

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

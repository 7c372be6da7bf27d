//! What the tests of several subjects share: objects that go away at the end, and children with a time limit.

mod children;
mod scratch;

pub use children::{Child, part};
pub use scratch::Scratch;

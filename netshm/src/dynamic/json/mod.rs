//! Values to and from JSON.

mod from;
mod order;
mod to;

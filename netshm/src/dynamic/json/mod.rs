//! Values to and from JSON.

mod from;
mod known;
mod to;

//! Tables and arrays by their stored schema, and their values as text.

mod dynamic_json;
mod dynamic_objects;
mod dynamic_serde;
mod dynamic_types;

//! Arrays: their verbs against a model, in bulk, and their default values.

mod array_bulk;
mod array_default;
mod array_model;

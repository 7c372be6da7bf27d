//! What the documents and the public face promise: layers, verbs, messages of the compiler, and the examples.

mod accepted;
mod async_watch;
mod design_layers;
mod example_bank;
mod example_common;
mod example_histogram;
mod example_jobs;
mod example_live;
mod example_lookup;
mod example_sessions;
mod public_face;

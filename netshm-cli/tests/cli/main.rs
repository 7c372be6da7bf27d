//! The command, as a user runs it: the real binary, on objects that typed programs have made.

mod changing;
mod files;
mod looking;
mod rust_source;
mod support;
mod watching;

netshm_tests::children!(looking, watching);

//! The command, as a user runs it: the real binary, on objects that typed programs have made.

#![allow(dead_code, reason = "for tests to come")]

mod looking;
mod support;

netshm_tests::children!(looking);

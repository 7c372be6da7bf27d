//! System calls and raw memory: `unsafe` stays here and in the region.
//!
//! Nothing in here knows what the bytes of an object mean.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("netshm needs a 64-bit Linux: OFD locks, shared futexes and mappings of several gigabytes");

pub(crate) mod atomic;
pub(crate) mod clock;
pub(crate) mod copy;
pub(crate) mod file;
pub(crate) mod fork;
mod fork_gate;
pub(crate) mod futex;
pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod lock_fd;
pub(crate) mod map;
pub(crate) mod path;
pub(crate) mod pause;
pub(crate) mod per_process;
pub(crate) mod proc_locks;
pub(crate) mod stack;
pub(crate) mod steps;

//! A clock that all processes share.

use rustix::time::{ClockId, clock_gettime};

/// Returns the seconds since some moment, the same for all processes as long as the system runs.
pub(crate) fn seconds() -> u64 {
    clock_gettime(ClockId::MonotonicCoarse).tv_sec.unsigned_abs()
}

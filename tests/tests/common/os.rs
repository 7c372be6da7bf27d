//! Substitutes for `crate::os` in the files of the library that a model includes.

pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}

pub(crate) mod steps {
    pub(crate) fn step() {
        crate::death::die_in_turn();
    }
}

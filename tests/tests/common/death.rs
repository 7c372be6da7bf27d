//! Threads of a model that die after some of their steps.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

loom::thread_local! {
    /// Steps that this thread may still make; `None` for those that do not die.
    static LEFT: Cell<Option<u32>> = Cell::new(None);
}

/// Panic payload of a thread that dies.
struct Died;

/// Makes a step; the last one that the thread may make ends it.
pub(crate) fn die_in_turn() {
    LEFT.with(|left| match left.get() {
        Some(0) => resume_unwind(Box::new(Died)),
        Some(steps) => left.set(Some(steps - 1)),
        None => {}
    });
}

/// Runs `life`, which ends after `steps` steps at the latest; returns whether it came to its end.
pub(crate) fn live(steps: u32, life: impl FnOnce()) -> bool {
    LEFT.with(|left| left.set(Some(steps)));
    let outcome = catch_unwind(AssertUnwindSafe(life));
    LEFT.with(|left| left.set(None));
    match outcome {
        Ok(()) => true,
        Err(death) if death.is::<Died>() => false,
        Err(other) => resume_unwind(other),
    }
}

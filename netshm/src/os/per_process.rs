//! Statics of which a forked child has its own.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::fork;

/// A value that is made when a process first asks for it. A forked child makes a new one and never looks at its
/// parent's, whose locks may have been held by threads that the child does not have.
pub(crate) struct PerProcess<T: 'static> {
    current: AtomicPtr<Tagged<T>>,
    make: fn() -> T,
}

struct Tagged<T> {
    generation: u64,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub(crate) const fn new(make: fn() -> T) -> PerProcess<T> {
        PerProcess { current: AtomicPtr::new(ptr::null_mut()), make }
    }

    /// Returns this process's value. It is never freed: the parent's is left behind in the child.
    pub(crate) fn get(&'static self) -> &'static T {
        let generation = fork::generation();
        loop {
            let seen = self.current.load(Ordering::Acquire);
            // SAFETY: `as_ref` requires null or a pointer that is convertible to a reference. It is null or from
            // `Box::into_raw`, and the box is never freed nor mutated once it is published here.
            if let Some(tagged) = unsafe { seen.as_ref() }
                && tagged.generation == generation
            {
                return &tagged.value;
            }
            let new = Box::into_raw(Box::new(Tagged { generation, value: (self.make)() }));
            if self.current.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: `Box::from_raw` requires a pointer from `Box::into_raw` that becomes a box once only. It is the one
                // above, which nobody else has seen, since it was not published.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::os::fork::tests::in_child;

    #[test]
    fn a_child_has_its_own() {
        static VALUE: PerProcess<AtomicU32> = PerProcess::new(|| AtomicU32::new(1));
        VALUE.get().store(2, Ordering::Relaxed);
        assert!(in_child(|| {
            let fresh = VALUE.get().load(Ordering::Relaxed) == 1;
            VALUE.get().store(3, Ordering::Relaxed);
            fresh && VALUE.get().load(Ordering::Relaxed) == 3
        }));
        assert_eq!(VALUE.get().load(Ordering::Relaxed), 2);
    }
}

//! The room that a thread's stack has left.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem::MaybeUninit;

thread_local! {
    /// The lowest address of the stack, once it has been asked for; 0 before, 1 if the system does not say.
    static LOWEST: Cell<usize> = const { Cell::new(0) };
}

/// Returns whether this thread's stack has room for another `bytes`, or the system does not say.
#[cold]
pub(crate) fn has_room(bytes: usize) -> bool {
    let here = (&raw const bytes).addr();
    if LOWEST.get() == 0 {
        LOWEST.set(lowest().unwrap_or(1));
    }
    // A thread may run on another stack than its own, as coroutines do.
    here.checked_sub(LOWEST.get()).is_none_or(|room| room >= bytes)
}

fn lowest() -> Option<usize> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: `pthread_self` has no preconditions and always succeeds.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: `pthread_getattr_np` writes one `pthread_attr_t` through the pointer, which has room for it. The thread is the
    // calling one, so it exists.
    if unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: `assume_init` requires an initialised value: the call, which has succeeded, has filled it.
    let mut attributes = unsafe { attributes.assume_init() };
    let (mut start, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: `pthread_attr_getstack` reads initialised attributes, as these are, and writes its two results behind pointers to
    // local variables of their types.
    let outcome = unsafe { libc::pthread_attr_getstack(&raw const attributes, &raw mut start, &raw mut size) };
    // SAFETY: `pthread_attr_destroy` requires initialised attributes that are not used afterwards, as these are not.
    unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
    (outcome == 0).then(|| start.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_the_size_of_its_stack() {
        let rooms = |size: usize| {
            let thread = std::thread::Builder::new().stack_size(size);
            let asked = [size / 8, size * 2].map(|bytes| move || has_room(bytes));
            thread.spawn(move || asked.map(|ask| ask())).unwrap().join().unwrap()
        };
        assert_eq!(rooms(1 << 20), [true, false]);
        assert_eq!(rooms(1 << 24), [true, false]);
    }
}

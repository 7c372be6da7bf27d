//! How much of its stack a thread has left.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem::MaybeUninit;

thread_local! {
    /// The lowest address of the stack, once it has been asked for; 0 before, 1 if the system does not tell.
    static LOWEST: Cell<usize> = const { Cell::new(0) };
}

/// Returns whether this thread's stack has room for another `bytes`, or the system does not tell.
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
    // SAFETY: the number of the calling thread, always at hand.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: the call fills the attributes, or fails.
    if unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: filled by the call, which has succeeded.
    let mut attributes = unsafe { attributes.assume_init() };
    let (mut start, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: attributes that have been filled, and places for two results.
    let outcome = unsafe { libc::pthread_attr_getstack(&raw const attributes, &raw mut start, &raw mut size) };
    // SAFETY: the attributes are not used any more.
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

//! Noticing that this process is a forked child.
//!
//! A page of our own bears the number of this process's *fork generation*. The kernel hands a forked child that page
//! filled with zeros (`MADV_WIPEONFORK`), so a child is noticed even if it was made without the C library and ran no
//! handler. A handler registered with `pthread_atfork` clears the page too, for kernels that do not know the advice,
//! and closes the inherited lock descriptors at once (see [`lock_fd`](super::lock_fd)).
//!
//! | page word | meaning |
//! |---|---|
//! | 0 | no generation yet, or wiped by a fork |
//! | 1 | a thread is about to begin a new generation |
//! | 2.. | the generation |
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread;

use memmap2::MmapMut;
use rustix::mm::{Advice, madvise};

use super::lock_fd;

const WIPED: u64 = 0;
const BEGINNING: u64 = 1;

/// The word in the wiped page. Set once and never unmapped.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// The last generation number given out. A child inherits it, so it never repeats a number of its ancestors.
static LAST: AtomicU64 = AtomicU64::new(BEGINNING);

/// Whether `generation` was begun in this very process: false in every forked child.
#[inline]
pub(crate) fn is_current(generation: u64) -> bool {
    page().is_some_and(|word| word.load(Ordering::Acquire) == generation)
}

/// The fork generation of this process, never zero; the first call in a process begins one.
///
/// # Panics
/// If there is no memory for one page.
pub(crate) fn generation() -> u64 {
    let word = page().unwrap_or_else(create_page);
    loop {
        match word.compare_exchange(WIPED, BEGINNING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                // Only descriptors inherited from the parent can be in the table: own ones come after a generation.
                lock_fd::close_inherited_late();
                let new = LAST.fetch_add(1, Ordering::Relaxed) + 1;
                word.store(new, Ordering::Release);
                return new;
            }
            Err(BEGINNING) => thread::yield_now(),
            Err(current) => return current,
        }
    }
}

fn page() -> Option<&'static AtomicU64> {
    // SAFETY: `PAGE` is null or points to the start of a page that stays mapped until the process ends, and that is
    // accessed as this atomic word only.
    unsafe { PAGE.load(Ordering::Acquire).as_ref() }
}

/// Maps the page, unless another thread was faster. Not a `OnceLock`: a fork while another thread initialises one
/// would leave it locked for ever in the child.
#[cold]
fn create_page() -> &'static AtomicU64 {
    let mut map = MmapMut::map_anon(size_of::<AtomicU64>()).expect("no memory for a single page");
    // Kernels before 4.14 refuse; then the handler alone has to do.
    // SAFETY: the advice is about a fresh mapping of one page, which nothing but this module uses.
    let _ = unsafe { madvise(map.as_mut_ptr().cast(), map.len(), Advice::LinuxWipeOnFork) };
    let new = map.as_mut_ptr().cast::<AtomicU64>();
    if PAGE.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire).is_ok() {
        std::mem::forget(map);
        // SAFETY: the handler is a function of this program and does only what is allowed after a fork.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
    page().expect("just set")
}

/// Runs in the child, inside `fork`, where only async-signal-safe calls are allowed and no other thread exists.
unsafe extern "C" fn in_child() {
    if let Some(word) = page() {
        word.store(WIPED, Ordering::Release);
    }
    lock_fd::close_inherited();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_generation_for_all_threads() {
        let here = generation();
        assert!(here > BEGINNING);
        assert_eq!(thread::spawn(generation).join().unwrap(), here);
        assert!(is_current(here));
        assert!(!is_current(here + 1));
        assert!(!is_current(WIPED));
    }
}

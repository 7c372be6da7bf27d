//! Places where a test can hold a thread up, to make a race certain; elsewhere they are nothing.

#[cfg(test)]
use std::cell::RefCell;

#[cfg(test)]
type Hook = (&'static str, Box<dyn FnOnce()>);

#[cfg(test)]
thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Marks a place.
#[inline(always)]
pub(crate) fn at(_place: &'static str) {
    #[cfg(test)]
    if let Some((_, hook)) = HOOK.with_borrow_mut(|hook| hook.take_if(|(place, _)| *place == _place)) {
        hook();
    }
}

/// Runs `hook` when this thread next comes to the place.
#[cfg(test)]
pub(crate) fn once_at(place: &'static str, hook: impl FnOnce() + 'static) {
    HOOK.set(Some((place, Box::new(hook))));
}

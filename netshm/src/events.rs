//! Events of objects for subscribers of the `tracing` crate (feature `tracing`).
//!
//! Without the feature all of this is nothing. None of it is on a hot path in any case.

use std::time::Duration;
#[cfg(feature = "tracing")]
use std::time::Instant;

use crate::layout::method::Locking;

/// Waits for a lock that last longer than this are reported.
pub(crate) const LONG_WAIT: Duration = Duration::from_millis(100);

/// Emits an event; without the feature it only uses the values.
macro_rules! event {
    ($level:ident, $text:literal, $($name:ident = $value:expr),+) => {{
        #[cfg(feature = "tracing")]
        tracing::event!(target: "netshm", tracing::Level::$level, $($name = $value,)+ $text);
        #[cfg(not(feature = "tracing"))]
        { $(let _ = $value;)+ }
    }};
}

/// Reports that an object has been created.
pub(crate) fn created(object: &str, bytes: u64, locking: Locking) {
    event!(INFO, "object created", object = object, bytes = bytes, locking = tracing_display(&locking));
}

/// Reports that an object has been opened for a type, for the first time in this process.
pub(crate) fn opened(object: &str, locking: Locking, read_only: bool) {
    event!(DEBUG, "object opened", object = object, locking = tracing_display(&locking), read_only = read_only);
}

/// Reports that an object has grown.
pub(crate) fn grown(object: &str, from: u64, to: u64) {
    event!(DEBUG, "object grown", object = object, from = from, to = to);
}

/// Reports that the interrupted changes of a dead process have been undone.
pub(crate) fn recovered(object: &str, process_number: u32, writers: u32) {
    event!(WARN, "dead writer recovered", object = object, process_number = process_number, writers = writers);
}

/// Reports that a group of this process has been rolled back because of a deadlock.
pub(crate) fn deadlock(object: &str, detail: &str) {
    event!(INFO, "deadlock", object = object, detail = detail);
}

/// Reports a long wait for a lock; `holder` is the process id that its holder noted down.
pub(crate) fn long_wait(object: &str, stripe: Option<u32>, waited: Duration, holder: Option<u32>) {
    let waited = waited.as_millis() as u64;
    event!(WARN, "long wait for a lock", object = object, stripe = stripe, milliseconds = waited, holder = holder);
}

/// Measures a wait in the kernel, and reports it if it was long.
pub(crate) struct Watch(#[cfg(feature = "tracing")] Instant);

impl Watch {
    pub(crate) fn start() -> Watch {
        Watch(
            #[cfg(feature = "tracing")]
            Instant::now(),
        )
    }

    pub(crate) fn report(&self, object: &str, stripe: u32) {
        #[cfg(feature = "tracing")]
        if self.0.elapsed() >= LONG_WAIT {
            long_wait(object, Some(stripe), self.0.elapsed(), None);
        }
        let _ = (object, stripe);
    }
}

#[cfg(feature = "tracing")]
fn tracing_display(locking: &Locking) -> impl tracing::Value {
    tracing::field::display(locking)
}

#[cfg(not(feature = "tracing"))]
fn tracing_display(locking: &Locking) -> &Locking {
    locking
}

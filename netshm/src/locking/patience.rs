//! How long a wait may last, and what it ends in.

use std::time::{Duration, Instant};

use super::Owners;
use crate::events::{self, LONG_WAIT};
use crate::{Error, Result};

/// Waits that no deadlock detection watches are given up after this time.
const UNWATCHED: Duration = Duration::from_secs(1);

/// The limit of a wait. The clock starts at the first check, so that a wait that does not happen costs nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    timeout: Option<Duration>,
    /// Whether nothing would notice a deadlock.
    unwatched: bool,
    started: Option<Instant>,
    /// Whether it has been reported that the wait is long.
    reported: bool,
}

impl Patience {
    pub(crate) fn new(timeout: Option<Duration>, unwatched: bool) -> Self {
        Patience { timeout, unwatched, started: None, reported: false }
    }

    /// The same, for a wait that nothing watches.
    pub(crate) fn unwatched(self) -> Self {
        Patience { unwatched: true, ..self }
    }

    /// Whether the wait has a limit, so that it must not be left to the kernel.
    pub(crate) fn is_limited(&self) -> bool {
        self.unwatched || self.timeout.is_some()
    }

    /// An error as soon as the limit is reached.
    pub(crate) fn check(&mut self, owners: &impl Owners, stripe: u32, holder: Option<u32>) -> Result<()> {
        let waited = self.started.get_or_insert_with(Instant::now).elapsed();
        let pid = holder.and_then(|slot| owners.pid(slot));
        let object = || owners.region().name();
        if waited >= LONG_WAIT && !self.reported {
            self.reported = true;
            events::long_wait(&object(), stripe, waited, pid);
        }
        match self.timeout {
            Some(limit) if waited >= limit => {
                return Err(Error::LockTimeout { object: object(), waited: limit, holder: pid });
            }
            _ => {}
        }
        if self.unwatched && waited >= UNWATCHED {
            let holder = pid.map(|pid| format!(", held by process {pid}")).unwrap_or_default();
            let detail = format!("waited {UNWATCHED:?} for stripe {stripe}{holder}, with nothing to detect a ring");
            return Err(Error::Deadlock { object: object(), detail });
        }
        Ok(())
    }
}

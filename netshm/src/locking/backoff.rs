//! Pauses between attempts, where nothing wakes the one that waits.

use std::thread;
use std::time::{Duration, Instant};

use super::Wait;

/// Time for which an attempt is repeated between two pauses, where others leave free what is waited for, but for a moment only.
const ATTEMPTS: Duration = Duration::from_micros(50);

/// Pauses of one wait, each twice as long as the one before.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
    /// The first attempt since the last pause.
    attempts: Option<Instant>,
}

impl Backoff {
    /// Returns pauses from the first length to the longest.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Backoff { next: first, longest, attempts: None }
    }

    /// Returns whether it is too early for a pause, since the last one has only just ended.
    pub(crate) fn is_too_early(&mut self) -> bool {
        self.attempts.get_or_insert_with(Instant::now).elapsed() < ATTEMPTS
    }

    /// Sleeps, but not beyond the limit of the wait.
    pub(crate) fn pause(&mut self, wait: &Wait<'_>) {
        thread::sleep(wait.pause(self.next));
        self.next = (self.next * 2).min(self.longest);
        self.attempts = None;
    }
}

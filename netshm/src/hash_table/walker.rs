//! Going through a table from batch to batch, while everything is locked.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::atomic::Ordering::Relaxed;

use super::iter::{Batch, MORE, Pick, Which, take_pairs};
use crate::error::Result;
use crate::index::record::Record;
use crate::index::ring::Ring;
use crate::index::{self, walk};
use crate::layout::bucket::Form;
use crate::region::ReadError;
use crate::store::read::View;

/// Bindings decoded in one go while everything is locked.
const BATCH: usize = 128;

/// A place between two records, while everything is locked.
#[derive(Clone, Copy)]
pub(super) struct Walker {
    which: Which,
    stripe: u32,
    bucket: u64,
    /// Keys of the bucket that have been visited wholly.
    visited: usize,
    /// The next older binding of the key after them, or 0 for its newest.
    older: u64,
    /// Detects circles in that key's bindings.
    ring: Ring,
    /// Bindings met in this stripe; more than it has would mean a cycle.
    met: u64,
}

impl Walker {
    pub(super) fn new(which: Which, stripe: u32) -> Self {
        Walker { which, stripe, bucket: 0, visited: 0, older: 0, ring: Ring::default(), met: 0 }
    }

    /// Returns the next items; none at the end.
    pub(super) fn batch<P: Pick>(&mut self, view: View<'_>) -> Result<Batch<P>> {
        let mut attempt = *self;
        let batch = Batch::picked(
            view,
            |form| attempt.items(view, form, P::decode_optimistic),
            |form| self.items(view, form, P::take),
        )?;
        if let Batch::Ready(_) = batch {
            *self = attempt;
        }
        Ok(batch)
    }

    fn items<T, E: ReadError>(
        &mut self,
        view: View<'_>,
        form: Form,
        take: impl Fn(View<'_>, &Record<'_>) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let region = view.region();
        let mut items = Vec::with_capacity(BATCH + 16);
        while items.len() < BATCH && self.stripe < region.geometry().own().end {
            let at = region.geometry().stripe(self.stripe);
            if self.bucket >= region.field(at.buckets()).load(Relaxed) {
                self.enter(self.stripe + 1);
                continue;
            }
            let bindings = index::most_bindings_in(region, at);
            let more = || E::corrupt(region, at.keys().bytes(), MORE);
            if form == Form::Pairs && self.visited == 0 && self.older == 0 {
                let most = (bindings.saturating_sub(self.met) as usize).saturating_add(items.len());
                let before = items.len();
                let buckets = take_pairs(view, at, self.bucket, &mut items, &take, |items| {
                    if items.len() > most { Err(more()) } else { Ok(items.len() >= BATCH) }
                })?;
                if buckets > 0 {
                    (self.bucket, self.met) = (self.bucket + buckets, self.met + (items.len() - before) as u64);
                    continue;
                }
            }
            let mut push = |walker: &mut Self, record: &Record<'_>| {
                items.push(take(view, record)?);
                walker.met += 1;
                if walker.met > bindings {
                    return Err(more());
                }
                Ok(items.len() >= BATCH)
            };
            let (mut keys, mut is_whole) = (0, true);
            walk::newest_in(region, form, at, self.bucket, |newest| {
                keys += 1;
                if keys <= self.visited {
                    return Ok(Continue(()));
                }
                let flow = self.bindings(view, &newest, &mut push)?;
                if flow.is_break() {
                    (self.visited, is_whole) = (keys - 1, false);
                }
                Ok(flow)
            })?;
            if is_whole {
                (self.bucket, self.visited) = (self.bucket + 1, 0);
            }
        }
        Ok(items)
    }

    /// Goes to the start of a stripe.
    fn enter(&mut self, stripe: u32) {
        (self.stripe, self.bucket, self.met) = (stripe, 0, 0);
    }

    /// Visits the bindings of a key from where the walk is. Breaks if the batch is full before the last of them, whose place it keeps.
    #[inline(always)]
    fn bindings<E: ReadError>(
        &mut self,
        view: View<'_>,
        newest: &Record<'_>,
        push: &mut impl FnMut(&mut Self, &Record<'_>) -> Result<bool, E>,
    ) -> Result<ControlFlow<()>, E> {
        let region = view.region();
        let mut ring = if self.older == 0 { Ring::default() } else { self.ring };
        // The newest apart: of a pair, much is known when this is compiled.
        let (mut is_full, mut next) = match std::mem::take(&mut self.older) {
            0 => (push(self, newest)?, self.which.after(region, newest, &mut ring)?),
            older => (false, Some(Record::at_or(region, older)?)),
        };
        while let Some(record) = next {
            if is_full {
                (self.older, self.ring) = (record.at, ring);
                return Ok(Break(()));
            }
            is_full = push(self, &record)?;
            next = self.which.after(region, &record, &mut ring)?;
        }
        Ok(Continue(()))
    }
}

//! The directory of an array's stripe, node by node.

use std::sync::atomic::Ordering::Relaxed;

use super::blocks::Blocks;
use super::runs::RunMap;
use super::{Decodes, Report};
use crate::directory::{Elements, FANOUT, FANOUT_BITS, HIGHEST};
use crate::index::record::Record;
use crate::layout::header::ARRAY_LEN;
use crate::layout::run::Use;
use crate::region::Region;

/// The check of one stripe of an array.
pub(super) struct Check<'a> {
    pub(super) region: &'a Region,
    pub(super) stripe: u32,
    pub(super) elements: Elements,
    pub(super) element: Decodes<'a>,
}

impl Check<'_> {
    pub(super) fn run(&self, blocks: &mut Blocks<'_>, runs: &mut RunMap<'_>, report: &mut Report) {
        let at = self.region.geometry().stripe(self.stripe);
        let height = self.region.field(at.buckets()).load(Relaxed);
        if height > HIGHEST {
            report.finding(at.buckets().0, format!("the directory of stripe {} is {height} high", self.stripe));
            return;
        }
        let root = self.region.field(at.segment(0)).load(Relaxed);
        let found = if height == 0 { 0 } else { self.node(root, height as u32, 0, blocks, runs, report) };
        let counted = self.region.field(at.keys()).load(Relaxed);
        if counted != found {
            report.finding(at.keys().0, format!("stripe {} counts {counted} chunks, has {found}", self.stripe));
        }
        report.keys += found;
    }

    /// Checks what hangs under a node, whose first chunk is `first`: how many chunks there are.
    fn node(
        &self,
        node: u64,
        height: u32,
        first: u64,
        blocks: &mut Blocks<'_>,
        runs: &mut RunMap<'_>,
        report: &mut Report,
    ) -> u64 {
        if node == 0 {
            return 0;
        }
        let words = if height == 0 { self.elements.chunk_words() } else { FANOUT };
        let record = Record::at(self.region, node).ok().filter(|record| record.lengths.value == words);
        let (Some(record), Some(bytes)) = (record, blocks.refer(node)) else {
            report.finding(node, "a node of the directory is no block of its stripe, or has two places");
            return 0;
        };
        if height == 0 {
            report.used += bytes;
            self.chunk(&record, first, blocks, runs, report);
            return 1;
        }
        report.index += bytes;
        let step = 1u64.checked_shl((height - 1) * FANOUT_BITS).unwrap_or(0);
        record
            .value()
            .iter()
            .zip(0..)
            .map(|(child, i)| {
                let start = first.wrapping_add(step.wrapping_mul(i));
                self.node(child.load(Relaxed), height - 1, start, blocks, runs, report)
            })
            .sum()
    }

    /// Checks the elements of a chunk.
    fn chunk(
        &self,
        record: &Record<'_>,
        chunk: u64,
        blocks: &mut Blocks<'_>,
        runs: &mut RunMap<'_>,
        report: &mut Report,
    ) {
        let stripes = u64::from(self.region.geometry().stripes);
        let length = self.region.field(ARRAY_LEN).load(Relaxed);
        let first = self.elements.first_of(chunk.wrapping_mul(stripes).wrapping_add(u64::from(self.stripe)));
        if first >= length {
            report.finding(record.at, "a chunk lies behind the end of the array");
        }
        if let Some(words) = self.elements.dense() {
            for (i, element) in record.value().chunks_exact(words as usize).enumerate() {
                if let Err(error) = (self.element)(element) {
                    report.finding(record.at, format!("element {} cannot be decoded: {error}", first + i as u64));
                }
            }
            return;
        }
        for (i, word) in record.value().iter().enumerate() {
            let at = word.load(Relaxed);
            if at == 0 {
                continue;
            }
            let index = first.wrapping_add(i as u64);
            let element = Record::at(self.region, at).ok();
            let bytes = match &element {
                Some(record) if record.lengths.is_large() => runs.refer(at, Use::Large, self.stripe),
                Some(_) => blocks.refer(at),
                None => None,
            };
            let (Some(element), Some(bytes)) = (element, bytes) else {
                report.finding(at, format!("element {index} is no block of its stripe, or shared with another one"));
                continue;
            };
            report.used += bytes;
            report.bindings += 1;
            if index >= length {
                report.finding(at, format!("element {index} lies behind the end of the array"));
            }
            if let Err(error) = (self.element)(element.value()) {
                report.finding(at, format!("element {index} cannot be decoded: {error}"));
            }
        }
    }
}

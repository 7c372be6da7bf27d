//! The directory of an array's stripe, node by node.

use std::sync::atomic::Ordering::Relaxed;

use super::{Auditor, Decodes};
use crate::directory::{Elements, FANOUT, FANOUT_BITS, HIGHEST};
use crate::index::record::Record;
use crate::region::Region;

/// The check of one stripe of an array.
pub(super) struct Check<'a> {
    pub(super) region: &'a Region,
    pub(super) elements: Elements,
    pub(super) element: Decodes<'a>,
}

impl Check<'_> {
    pub(super) fn run(&self, auditor: &mut Auditor<'_, '_>) {
        let at = self.region.geometry().stripe(auditor.stripe);
        let height = self.region.field(at.buckets()).load(Relaxed);
        if height > HIGHEST {
            let what = format!("the directory of stripe {} is {height} high", auditor.stripe);
            auditor.finding(at.buckets().bytes(), what);
            return;
        }
        let root = self.region.field(at.segment(0)).load(Relaxed);
        let found = if height == 0 { 0 } else { self.node(root, height as u32, 0, auditor) };
        auditor.compare(self.region.field(at.keys()), at.keys().bytes(), found, "chunks");
        auditor.report.keys += found;
    }

    /// Checks a subtree, whose first chunk is `first`, and returns its number of chunks.
    fn node(&self, node: u64, height: u32, first: u64, auditor: &mut Auditor<'_, '_>) -> u64 {
        if node == 0 {
            return 0;
        }
        let words = if height == 0 { self.elements.chunk_words() } else { FANOUT };
        let record = Record::at(self.region, node).ok().filter(|record| record.lengths.value == words);
        let (Some(record), Some(bytes)) = (record, auditor.blocks.refer(node)) else {
            auditor.finding(node, "a node of the directory is no block of its stripe, or has two places");
            return 0;
        };
        if height == 0 {
            auditor.report.used += bytes;
            self.chunk(&record, first, auditor);
            return 1;
        }
        auditor.report.index += bytes;
        let step = 1u64.checked_shl((height - 1) * FANOUT_BITS).unwrap_or(0);
        record
            .value()
            .iter()
            .zip(0..)
            .map(|(child, i)| {
                let start = first.wrapping_add(step.wrapping_mul(i));
                self.node(child.load(Relaxed), height - 1, start, auditor)
            })
            .sum()
    }

    /// Checks the elements of a chunk.
    fn chunk(&self, record: &Record<'_>, chunk: u64, auditor: &mut Auditor<'_, '_>) {
        let stripes = u64::from(self.region.geometry().stripes);
        let geometry = self.region.geometry();
        let length = self.region.field(geometry.part().array_len()).load(Relaxed);
        let place = u64::from(auditor.stripe - geometry.first());
        let first = self.elements.first_of(chunk.wrapping_mul(stripes).wrapping_add(place));
        if first >= length {
            auditor.finding(record.at, "a chunk lies past the end of the array");
        }
        if let Some(words) = self.elements.dense() {
            for (i, element) in record.value().chunks_exact(words as usize).enumerate() {
                if let Err(error) = (self.element)(element) {
                    auditor.finding(record.at, format!("element {} cannot be decoded: {error}", first + i as u64));
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
            let bytes = element.as_ref().and_then(|element| auditor.refer(at, element.lengths));
            let (Some(element), Some(bytes)) = (element, bytes) else {
                auditor.finding(at, format!("element {index} is no block of its stripe, or shared with another one"));
                continue;
            };
            auditor.report.used += bytes;
            auditor.report.bindings += 1;
            if index >= length {
                auditor.finding(at, format!("element {index} lies past the end of the array"));
            }
            if let Err(error) = (self.element)(element.value()) {
                auditor.finding(at, format!("element {index} cannot be decoded: {error}"));
            }
        }
    }
}

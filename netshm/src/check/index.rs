//! The index of a stripe, bucket by bucket, and the bindings behind it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::blocks::Blocks;
use super::runs::RunMap;
use super::{Decodes, Report};
use crate::index::{Chain, MOST_BUCKETS, Record, bucket_of, segment_of};
use crate::layout::record::{CELLS, Cell};
use crate::layout::run::{RUN_HEADER, Use};
use crate::os::copy;
use crate::store::Store;

/// The check of one stripe of a table.
pub(super) struct Check<'a> {
    pub(super) store: &'a Store,
    pub(super) stripe: u32,
    pub(super) key: Decodes<'a>,
    pub(super) value: Decodes<'a>,
}

impl Check<'_> {
    pub(super) fn run(&self, blocks: &mut Blocks<'_>, runs: &mut RunMap<'_>, report: &mut Report) {
        let region = self.store.region();
        let at = region.geometry().stripe(self.stripe);
        let buckets = region.field(at.buckets()).load(Relaxed);
        if buckets > MOST_BUCKETS {
            report.finding(at.buckets().0, format!("stripe {} has {buckets} buckets", self.stripe));
            return;
        }
        let mut bucket = 0;
        while bucket < buckets {
            let (segment, _, size) = segment_of(bucket);
            let start = region.field(at.segment(segment)).load(Relaxed);
            match runs.refer(start, Use::Segment, self.stripe) {
                Some(bytes) => {
                    report.index += bytes - RUN_HEADER;
                    report.overhead += RUN_HEADER;
                }
                None => report.finding(at.segment(segment).0, "a segment of the index is not where it should be"),
            }
            bucket += size;
        }
        let (mut keys, mut bindings) = (0, 0);
        for bucket in 0..buckets {
            let (in_bucket, behind) = self.bucket(bucket, buckets, blocks, runs, report);
            (keys, bindings) = (keys + in_bucket, bindings + behind);
        }
        for (place, counted, found, what) in
            [(at.keys(), at.keys(), keys, "keys"), (at.bindings(), at.bindings(), bindings, "bindings")]
        {
            let counted = region.field(counted).load(Relaxed);
            if counted != found {
                report.finding(place.0, format!("stripe {} counts {counted} {what}, has {found}", self.stripe));
            }
        }
        report.keys += keys;
        report.bindings += bindings;
    }

    /// Checks a bucket and its overflow buckets: how many keys and bindings there are.
    fn bucket(
        &self,
        bucket: u64,
        buckets: u64,
        blocks: &mut Blocks<'_>,
        runs: &mut RunMap<'_>,
        report: &mut Report,
    ) -> (u64, u64) {
        let region = self.store.region();
        let at = region.geometry().stripe(self.stripe);
        let (mut keys, mut bindings) = (0, 0);
        let mut known: Vec<(u64, Vec<u64>)> = Vec::new();
        let mut chain = match Chain::of(region, at, buckets, bucket) {
            Ok(chain) => chain,
            Err(error) => {
                report.finding(at.buckets().0, format!("bucket {bucket} of stripe {}: {error}", self.stripe));
                return (0, 0);
            }
        };
        loop {
            for (i, word) in chain.bucket()[..CELLS].iter().enumerate() {
                let cell = Cell(word.load(Relaxed));
                if cell.is_empty() {
                    if cell != Cell::EMPTY {
                        report.finding(chain.at() + i as u64 * 8, "an empty cell keeps bits of a hash");
                    }
                    continue;
                }
                let (key, behind) = self.bindings(cell, bucket, buckets, blocks, runs, report);
                (keys, bindings) = (keys + 1, bindings + behind);
                let Some(key) = key else { continue };
                if known.iter().any(|(bits, other)| *bits == cell.hash_bits() && *other == key) {
                    report.finding(chain.at() + i as u64 * 8, "a key has two cells");
                }
                known.push((cell.hash_bits(), key));
            }
            let link = chain.link();
            if link == 0 {
                return (keys, bindings);
            }
            match blocks.refer(link) {
                Some(bytes) => report.index += bytes,
                None => {
                    report.finding(chain.at(), "a bucket's chain leads to no block of the stripe, or in a circle");
                    return (keys, bindings);
                }
            }
            if let Err(error) = chain.advance() {
                report.finding(chain.at(), error.to_string());
                return (keys, bindings);
            }
        }
    }

    /// Checks the stack of bindings behind a cell: the key, if it can be read, and how many there are.
    fn bindings(
        &self,
        cell: Cell,
        bucket: u64,
        buckets: u64,
        blocks: &mut Blocks<'_>,
        runs: &mut RunMap<'_>,
        report: &mut Report,
    ) -> (Option<Vec<u64>>, u64) {
        let region = self.store.region();
        let (mut key, mut count, mut next) = (None, 0, cell.record());
        while next != 0 {
            let record = match Record::at(region, next) {
                Ok(record) => record,
                Err(error) => {
                    report.finding(next, error.to_string());
                    break;
                }
            };
            let bytes =
                if record.lengths.is_large() { runs.refer(next, Use::Large, self.stripe) } else { blocks.refer(next) };
            let Some(bytes) = bytes else {
                report
                    .finding(next, "a binding is no block of its stripe, or belongs to two keys, or leads in a circle");
                break;
            };
            report.used += bytes;
            count += 1;
            let words = copied(record.key());
            match &key {
                None => {
                    self.check_key(&record, &words, cell, bucket, buckets, report);
                    key = Some(words);
                }
                Some(key) if *key != words => report.finding(next, "an older binding has another key"),
                Some(_) => {}
            }
            if let Err(error) = (self.value)(record.value()) {
                report.finding(next, format!("a value cannot be decoded: {error}"));
            }
            next = record.older();
        }
        (key, count)
    }

    fn check_key(
        &self,
        record: &Record<'_>,
        words: &[u64],
        cell: Cell,
        bucket: u64,
        buckets: u64,
        report: &mut Report,
    ) {
        let hash = self.store.hash(words);
        if self.store.stripe_of(hash) != self.stripe || bucket_of(hash, buckets) != bucket || !cell.agrees(hash) {
            report.finding(record.at, "a key is not where its hash leads");
        }
        if let Err(error) = (self.key)(record.key()) {
            report.finding(record.at, format!("a key cannot be decoded: {error}"));
        }
    }
}

fn copied(words: &[AtomicU64]) -> Vec<u64> {
    let mut copied = vec![0; words.len()];
    copy::load_words(words, &mut copied);
    copied
}

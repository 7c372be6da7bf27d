//! The index of a stripe, bucket by bucket, and the bindings behind it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::blocks::Blocks;
use super::runs::RunMap;
use super::{Decodes, Report};
use crate::Error;
use crate::index::record::Record;
use crate::index::{Chain, Content, MOST_BUCKETS, bucket_of, segment_of};
use crate::layout::WORD;
use crate::layout::run::{RUN_HEADER, RunAt, Use};
use crate::os::copy;
use crate::store::Store;

/// The check of one stripe of a table.
pub(super) struct Check<'a> {
    pub(super) store: &'a Store,
    pub(super) stripe: u32,
    pub(super) key: Decodes<'a>,
    pub(super) value: Decodes<'a>,
}

/// The bucket where a key was met, among so many.
#[derive(Clone, Copy)]
struct Home {
    bucket: u64,
    buckets: u64,
}

impl Check<'_> {
    pub(super) fn run(&self, blocks: &mut Blocks<'_>, runs: &mut RunMap<'_>, report: &mut Report) {
        let region = self.store.region();
        let at = region.geometry().stripe(self.stripe);
        let buckets = region.field(at.buckets()).load(Relaxed);
        // Each would be a finding, of a count that is wrong.
        let room = region.known_words() / region.geometry().form.words() as u64;
        if buckets > MOST_BUCKETS.min(room) {
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
                    let noted = RunAt(start - RUN_HEADER).buckets();
                    if region.word(noted.0).is_ok_and(|buckets| buckets.load(Relaxed) != size) {
                        report.finding(noted.0, "a segment of the index has room for another number of buckets");
                    }
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
        for (place, found, what) in
            [(at.keys(), keys, "keys"), (at.hidden(), bindings.saturating_sub(keys), "hidden bindings")]
        {
            let counted = region.field(place).load(Relaxed);
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
        let mut known: Vec<Vec<u64>> = Vec::new();
        let mut chain = match Chain::of(region, at, buckets, bucket) {
            Ok(chain) => chain,
            Err(error) => {
                report.finding(at.buckets().0, format!("bucket {bucket} of stripe {}: {error}", self.stripe));
                return (0, 0);
            }
        };
        loop {
            let image = match chain.image() {
                Ok(image) => image,
                Err(error) => {
                    report.finding(chain.at().cells, error.to_string());
                    return (keys, bindings);
                }
            };
            if image.has_stray_bits() {
                report.finding(chain.at().cells, "an empty cell keeps bits of a hash");
            }
            for (cell, content) in image.contents() {
                let newest = content.newest(chain.at(), cell);
                let (key, behind) = self.bindings(newest, content, Home { bucket, buckets }, blocks, runs, report);
                (keys, bindings) = (keys + 1, bindings + behind);
                let Some(key) = key else { continue };
                if known.contains(&key) {
                    report.finding(chain.at().cells, "a key has two cells");
                }
                known.push(key);
            }
            let link = image.link();
            if link == 0 {
                return (keys, bindings);
            }
            match blocks.refer(link) {
                Some(bytes) => report.index += bytes,
                None => {
                    report
                        .finding(chain.at().cells, "a bucket's chain leads to no block of the stripe, or in a circle");
                    return (keys, bindings);
                }
            }
            if let Err(error) = chain.advance::<Error>() {
                report.finding(chain.at().cells, error.to_string());
                return (keys, bindings);
            }
        }
    }

    /// Checks the stack of bindings behind a cell: the key, if it can be read, and how many there are.
    fn bindings(
        &self,
        newest: u64,
        content: Content,
        home: Home,
        blocks: &mut Blocks<'_>,
        runs: &mut RunMap<'_>,
        report: &mut Report,
    ) -> (Option<Vec<u64>>, u64) {
        let region = self.store.region();
        let (mut key, mut count, mut next) = (None, 0, newest);
        while next != 0 {
            let record = match Record::binding(region, next) {
                Ok(record) => record,
                Err(error) => {
                    report.finding(next, error.to_string());
                    break;
                }
            };
            if record.is_pair() {
                let bytes = 2 * WORD;
                (report.used, report.index) = (report.used + bytes, report.index.saturating_sub(bytes));
            } else {
                let bytes = if record.lengths.is_large() {
                    runs.refer(next, Use::Large, self.stripe)
                } else {
                    blocks.refer(next)
                };
                let Some(bytes) = bytes else {
                    let what = "a binding is no block of its stripe, or belongs to two keys, or leads in a circle";
                    report.finding(next, what);
                    break;
                };
                report.used += bytes;
            }
            count += 1;
            let words = copied(record.key());
            match &key {
                None => {
                    self.check_key(&record, &words, content, home, report);
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

    fn check_key(&self, record: &Record<'_>, words: &[u64], content: Content, home: Home, report: &mut Report) {
        let hash = self.store.hash(words);
        if self.store.stripe_of(hash) != self.stripe
            || bucket_of(hash, home.buckets) != home.bucket
            || !content.agrees(hash)
        {
            report.finding(record.at, "a key is not where its hash leads");
        }
        if let Content::Pair { key, .. } = content
            && words != [key]
        {
            report.finding(record.at, "a binding has another key than its cell");
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

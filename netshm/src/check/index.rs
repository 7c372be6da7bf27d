//! The index of a stripe, bucket by bucket, and the bindings that it leads to.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

use super::{Auditor, Decodes, copied};
use crate::error::Result;
use crate::index::record::Record;
use crate::index::{Chain, Content, MOST_BUCKETS, bucket_of, segment_of};
use crate::layout::run::{RUN_HEADER, RunAt, Use};
use crate::layout::{StripeAt, WORD};
use crate::store::Store;

/// The check of one stripe of a table.
pub(super) struct Check<'a> {
    pub(super) store: &'a Store,
    pub(super) key: Decodes<'a>,
    pub(super) value: Decodes<'a>,
}

/// A bucket, and the number of buckets of its stripe.
#[derive(Clone, Copy)]
struct Home {
    bucket: u64,
    buckets: u64,
}

/// Contents of a bucket.
#[derive(Default)]
struct Tally {
    keys: u64,
    bindings: u64,
}

impl Check<'_> {
    pub(super) fn run(&self, auditor: &mut Auditor<'_, '_>) {
        let region = self.store.region();
        let at = region.geometry().stripe(auditor.stripe);
        let buckets = region.field(at.buckets()).load(Relaxed);
        // Each would be a finding, of a count that is wrong.
        let room = region.known_words() / region.geometry().form.words() as u64;
        if buckets > MOST_BUCKETS.min(room) {
            auditor.finding(at.buckets().bytes(), format!("stripe {} has {buckets} buckets", auditor.stripe));
            return;
        }
        self.segments(at, buckets, auditor);
        let mut found = Tally::default();
        for bucket in 0..buckets {
            self.chain(at, Home { bucket, buckets }, &mut found, auditor);
        }
        let Tally { keys, bindings } = found;
        auditor.compare(region.field(at.keys()), at.keys().bytes(), keys, "keys");
        auditor.compare(
            region.field(at.hidden()),
            at.hidden().bytes(),
            bindings.saturating_sub(keys),
            "hidden bindings",
        );
        auditor.report.keys += keys;
        auditor.report.bindings += bindings;
    }

    /// Checks the runs that the buckets lie in.
    fn segments(&self, at: StripeAt, buckets: u64, auditor: &mut Auditor<'_, '_>) {
        let region = self.store.region();
        let mut bucket = 0;
        while bucket < buckets {
            let (segment, _, size) = segment_of(bucket);
            let start = region.field(at.segment(segment)).load(Relaxed);
            match auditor.runs.refer(start, Use::Segment, auditor.stripe) {
                Some(bytes) => {
                    auditor.report.index += bytes - RUN_HEADER;
                    auditor.report.overhead += RUN_HEADER;
                    let noted = RunAt(start - RUN_HEADER).buckets();
                    if region.word(noted.bytes()).is_ok_and(|buckets| buckets.load(Relaxed) != size) {
                        auditor.finding(noted.bytes(), "a segment of the index has room for another number of buckets");
                    }
                }
                None => {
                    auditor.finding(at.segment(segment).bytes(), "a segment of the index is not where it should be")
                }
            }
            bucket += size;
        }
    }

    /// Checks a bucket and its overflow buckets.
    fn chain(&self, at: StripeAt, home: Home, found: &mut Tally, auditor: &mut Auditor<'_, '_>) {
        let mut chain = match Chain::of(self.store.region(), at, home.buckets, home.bucket) {
            Ok(chain) => chain,
            Err(error) => {
                let what = format!("bucket {} of stripe {}: {error}", home.bucket, auditor.stripe);
                return auditor.finding(at.buckets().bytes(), what);
            }
        };
        let mut known = HashSet::new();
        loop {
            let follows = self.bucket(&chain, home, &mut known, found, auditor);
            match follows.and_then(|follows| if follows { chain.advance() } else { Ok(false) }) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return auditor.finding(chain.at().cells, error.to_string()),
            }
        }
    }

    /// Checks one bucket of a chain. Returns whether another one follows.
    fn bucket(
        &self,
        chain: &Chain<'_>,
        home: Home,
        known: &mut HashSet<Vec<u64>>,
        found: &mut Tally,
        auditor: &mut Auditor<'_, '_>,
    ) -> Result<bool> {
        let at = chain.at();
        let image = chain.image()?;
        if image.has_stray_bits() {
            auditor.finding(at.cells, "an empty cell keeps bits of a hash");
        }
        for (cell, content) in image.contents() {
            found.keys += 1;
            let key = self.bindings(content.newest(at, cell), content, home, found, auditor);
            if key.is_some_and(|key| !known.insert(key)) {
                auditor.finding(at.cells, "a key has two cells");
            }
        }
        let link = image.link();
        if link == 0 {
            return Ok(false);
        }
        let Some(bytes) = auditor.blocks.refer(link) else {
            auditor.finding(at.cells, "a bucket's chain leads to no block of the stripe, or in a circle");
            return Ok(false);
        };
        auditor.report.index += bytes;
        Ok(true)
    }

    /// Checks the stack of bindings of a cell. Returns its key, if that can be read.
    fn bindings(
        &self,
        newest: u64,
        content: Content,
        home: Home,
        found: &mut Tally,
        auditor: &mut Auditor<'_, '_>,
    ) -> Option<Vec<u64>> {
        let region = self.store.region();
        let (mut key, mut next) = (None, newest);
        while next != 0 {
            let record = match Record::binding(region, next) {
                Ok(record) => record,
                Err(error) => {
                    auditor.finding(next, error.to_string());
                    break;
                }
            };
            if !take_bytes(&record, auditor) {
                break;
            }
            found.bindings += 1;
            let words = copied(record.key());
            match &key {
                None => {
                    self.check_key(&record, &words, content, home, auditor);
                    key = Some(words);
                }
                Some(key) if *key != words => auditor.finding(next, "an older binding has another key"),
                Some(_) => {}
            }
            if let Err(error) = (self.value)(record.value()) {
                auditor.finding(next, format!("a value cannot be decoded: {error}"));
            }
            next = record.older();
        }
        key
    }

    fn check_key(
        &self,
        record: &Record<'_>,
        words: &[u64],
        content: Content,
        home: Home,
        auditor: &mut Auditor<'_, '_>,
    ) {
        let hash = self.store.hash(words);
        if self.store.stripe_of(hash) != auditor.stripe
            || bucket_of(hash, home.buckets) != home.bucket
            || !content.agrees(hash)
        {
            auditor.finding(record.at, "a key is not where its hash leads");
        }
        if let Content::Pair { key, .. } = content
            && words != [key]
        {
            auditor.finding(record.at, "a binding has another key than its cell");
        }
        if let Err(error) = (self.key)(record.key()) {
            auditor.finding(record.at, format!("a key cannot be decoded: {error}"));
        }
    }
}

/// Counts the bytes of a binding as used. Returns whether nothing else refers to it.
fn take_bytes(record: &Record<'_>, auditor: &mut Auditor<'_, '_>) -> bool {
    if record.is_pair() {
        let bytes = 2 * WORD;
        auditor.report.used += bytes;
        auditor.report.index = auditor.report.index.saturating_sub(bytes);
        return true;
    }
    let Some(bytes) = auditor.refer(record.at, record.lengths) else {
        auditor.finding(record.at, "a binding is no block of its stripe, or belongs to two keys, or leads in a circle");
        return false;
    };
    auditor.report.used += bytes;
    true
}

//! Checks that nothing in use is overwritten without an entry in the log: in tests only.
//!
//! Undoing a change restores the words in its log and no others. So what was in use when the change began, or when a part
//! of it began that can be undone by itself, must not be overwritten unless the log names it. Whether that is so cannot be
//! seen at the store itself: a bucket past the end of an index is unused memory, unless the same change has shortened
//! the index.
//!
//! The audit remembers which words were in use then, and panics at an unlogged store to one of them. It walks whole
//! stripes, and it would also panic where a damaged object leads it to a used word. So it exists in builds with debug
//! assertions only, and is active in the tests of this crate and where the environment variable `NETSHM_AUDIT` is set.

#[cfg(debug_assertions)]
pub(super) use active::Audit;

/// Without debug assertions there is nothing.
#[cfg(not(debug_assertions))]
#[derive(Default)]
pub(super) struct Audit {}

#[cfg(not(debug_assertions))]
impl Audit {
    #[inline(always)]
    pub(super) fn begin_stripe(&mut self, _: &super::Store, _: u32) {}
    #[inline(always)]
    pub(super) fn begin_runs(&mut self, _: &super::Store) {}
    #[inline(always)]
    pub(super) fn savepoint(&mut self, _: &super::Store, _: &crate::journal::Journal, _: &[super::tx::Held]) {}
    #[inline(always)]
    pub(super) fn roll_back_to(&mut self, _: u64) {}
    #[inline(always)]
    pub(super) fn store_unlogged(&self, _: &super::Store, _: &crate::journal::Journal, _: u64, _: u64) {}
    #[inline(always)]
    pub(super) fn clear(&mut self) {}
}

#[cfg(debug_assertions)]
mod active {
    use std::ops::Range;
    use std::sync::LazyLock;
    use std::sync::atomic::Ordering::Relaxed;

    use crate::journal::Journal;
    use crate::layout::bucket::{BucketAt, Form, Tags};
    use crate::layout::record::{Head, Lengths, MIN_BLOCK};
    use crate::layout::run::{RUN_HEADER, RunAt, RunHead, Use};
    use crate::layout::{SEGMENTS, StripeAt, WORD};
    use crate::region::Region;
    use crate::store::Store;
    use crate::store::tx::Held;

    static IS_ACTIVE: LazyLock<bool> = LazyLock::new(|| cfg!(test) || std::env::var_os("NETSHM_AUDIT").is_some());

    /// Memory that one change must not overwrite unlogged.
    #[derive(Default)]
    pub(in crate::store) struct Audit {
        snapshots: Vec<Snapshot>,
        /// The stripes that the change has begun with, and the form of their buckets, which only their member's store knows.
        forms: Vec<(u32, Form)>,
    }

    /// Memory in use at one moment.
    struct Snapshot {
        /// Number of log entries then.
        entries: u64,
        /// True if it was taken at a savepoint.
        savepoint: bool,
        used: Ranges,
    }

    impl Audit {
        /// Records what a stripe has in use when the change begins with it.
        pub(in crate::store) fn begin_stripe(&mut self, store: &Store, stripe: u32) {
            if *IS_ACTIVE {
                let form = store.geometry().form;
                if store.geometry().own().contains(&stripe) {
                    self.forms.push((stripe, form));
                }
                self.snapshots.push(Snapshot {
                    entries: 0,
                    savepoint: false,
                    used: used_by_stripe(store, stripe, form),
                });
            }
        }

        /// Records which runs are in use.
        pub(in crate::store) fn begin_runs(&mut self, store: &Store) {
            if *IS_ACTIVE {
                self.snapshots.push(Snapshot { entries: 0, savepoint: false, used: used_runs(store) });
            }
        }

        /// Records what is in use at a savepoint, by all members that the change has changed.
        pub(in crate::store) fn savepoint(&mut self, store: &Store, journal: &Journal, held: &[Held]) {
            if *IS_ACTIVE {
                for (stripe, form) in &self.forms {
                    if held.iter().any(|held| held.changed && held.stripe == *stripe) {
                        let used = used_by_stripe(store, *stripe, *form);
                        self.snapshots.push(Snapshot { entries: journal.entries(), savepoint: true, used });
                    }
                }
            }
        }

        /// Forgets savepoints later than that entry, to which the change has been rolled back.
        pub(in crate::store) fn roll_back_to(&mut self, entries: u64) {
            self.snapshots.retain(|snapshot| !snapshot.savepoint || snapshot.entries <= entries);
        }

        /// Checks a store to words that is not logged.
        pub(in crate::store) fn store_unlogged(&self, store: &Store, journal: &Journal, place: u64, words: u64) {
            for snapshot in &self.snapshots {
                for word in snapshot.used.words_in(place, place + words * WORD) {
                    assert!(
                        journal.names(store.region(), word, snapshot.entries),
                        "{}: the word at {word} is in use{}, and is overwritten without an entry in the log",
                        store.name(),
                        if snapshot.savepoint { " since before the group inside began" } else { "" },
                    );
                }
            }
        }

        /// Forgets everything, since the change has ended.
        pub(in crate::store) fn clear(&mut self) {
            self.snapshots.clear();
            self.forms.clear();
        }
    }

    /// Ranges of words, by their start.
    #[derive(Default)]
    struct Ranges(Vec<(u64, u64)>);

    impl Ranges {
        fn add(&mut self, start: u64, end: u64) {
            self.0.push((start, end));
        }

        fn add_words(&mut self, words: impl IntoIterator<Item = u64>) {
            words.into_iter().for_each(|word| self.add(word, word + WORD));
        }

        fn sorted(mut self) -> Self {
            self.0.sort_unstable();
            self
        }

        /// Returns the words between two places that lie in one of the ranges, none of which overlap.
        fn words_in(&self, start: u64, end: u64) -> impl Iterator<Item = u64> {
            let first = self.0.partition_point(|range| range.1 <= start);
            let ranges = self.0[first..].iter().take_while(move |range| range.0 < end);
            ranges.flat_map(move |range| (range.0.max(start)..range.1.min(end)).step_by(WORD as usize))
        }
    }

    fn load(region: &Region, place: u64) -> Option<u64> {
        Some(region.word(place).ok()?.load(Relaxed))
    }

    /// Returns the use and the end of the run at a place.
    fn run_at(region: &Region, run: RunAt) -> Option<(Use, u64)> {
        let pages = RunHead(load(region, run.head().bytes())?).pages();
        let (content, _) = Use::from_word(load(region, run.use_word().bytes())?)?;
        Some((content, run.0.checked_add(pages.checked_mul(region.geometry().pagesize)?)?))
    }

    /// Returns what a stripe has in use; nothing if it is damaged.
    fn used_by_stripe(store: &Store, stripe: u32, form: Form) -> Ranges {
        let mut used = Ranges::default();
        let at = store.geometry().stripe(stripe);
        let region = store.region();
        let is_whole =
            add_runs(region, at, form, &mut used).is_some() && add_buckets(region, at, form, &mut used).is_some();
        if is_whole { used.sorted() } else { Ranges::default() }
    }

    fn add_runs(region: &Region, stripe: StripeAt, form: Form, used: &mut Ranges) -> Option<()> {
        let most = region.file_size().ok()? / region.geometry().pagesize;
        let mut next = region.field(stripe.runs()).load(Relaxed);
        for _ in 0..=most {
            let run = RunAt(next);
            if next == 0 {
                return Some(());
            }
            let (content, end) = run_at(region, run)?;
            used.add(run.0, run.content());
            match content {
                Use::Chunk => add_chunk(region, stripe, form, run.content()..end - WORD, used)?,
                Use::Large => {
                    let words = lengths(region, run.content())?.words();
                    used.add(run.content(), run.content() + words * WORD);
                }
                Use::Segment | Use::Log | Use::Schema | Use::Hollow => {}
            }
            next = load(region, run.chain_next().bytes())?;
        }
        None
    }

    fn add_chunk(region: &Region, stripe: StripeAt, form: Form, chunk: Range<u64>, used: &mut Ranges) -> Option<()> {
        let top = region.field(stripe.top()).load(Relaxed);
        let (mut at, end) = (chunk.start, chunk.end);
        while at < end && at != top {
            let head = Head(load(region, at)?);
            let lengths = if head.is_free() { None } else { Some(lengths(region, at)?) };
            let words = lengths.map_or(head.free_words(), |lengths| lengths.words() + head.pad());
            let behind = at + words * WORD;
            if words < MIN_BLOCK || behind > end {
                return None;
            }
            match lengths {
                None => used.add_words([at, at + WORD, behind - WORD]),
                Some(lengths) if form == Form::Pairs && lengths == form.overflow() => {
                    used.add_words([at]);
                    add_bucket(region, form, form.bucket_in(at), used)?;
                }
                Some(_) => used.add(at, behind),
            }
            at = behind;
        }
        used.add_words([end]);
        Some(())
    }

    fn lengths(region: &Region, at: u64) -> Option<Lengths> {
        let head = Head(load(region, at)?);
        Some(if head.is_long() { Lengths::from_long_word(load(region, at + WORD)?) } else { head.lengths() })
    }

    /// Adds the buckets of an index, up to its end.
    fn add_buckets(region: &Region, stripe: StripeAt, form: Form, used: &mut Ranges) -> Option<()> {
        let buckets = region.field(stripe.buckets()).load(Relaxed);
        let mut first = 0;
        for segment in 0..SEGMENTS {
            let start = region.field(stripe.segment(segment)).load(Relaxed);
            // The directory of an array has no segments.
            let is_segment = |run| matches!(run_at(region, run), Some((Use::Segment, _)));
            if first >= buckets || !is_segment(RunAt(start.wrapping_sub(RUN_HEADER))) {
                break;
            }
            let size = load(region, RunAt(start - RUN_HEADER).buckets().bytes())?;
            for place in 0..size.min(buckets - first) {
                add_bucket(region, form, form.bucket(start, size, place), used)?;
            }
            first += size;
        }
        Some(())
    }

    /// Adds a bucket, without its unused cells if it is one of pairs.
    fn add_bucket(region: &Region, form: Form, bucket: BucketAt, used: &mut Ranges) -> Option<()> {
        match form {
            Form::Records => used.add(bucket.cells, bucket.cell(form.cell_words()).bytes()),
            Form::Pairs => {
                let tags = Tags(load(region, bucket.tags)?);
                used.add_words([bucket.tags]);
                used.add_words(tags.used().flat_map(|cell| [bucket.pair(cell).bytes(), bucket.value(cell).bytes()]));
                used.add_words(tags.has_link().then(|| bucket.cell(form.link()).bytes()));
            }
        }
        Some(())
    }

    /// Returns the runs in use, and the words of free ones that tie them to their lists; nothing if the runs are damaged.
    fn used_runs(store: &Store) -> Ranges {
        let (region, geometry) = (store.region(), store.geometry());
        let end = region.field(geometry.stripe(geometry.meta()).top()).load(Relaxed);
        let (mut used, mut at) = (Ranges::default(), geometry.data_start());
        while at < end {
            let Some(head) = load(region, at).map(RunHead).filter(|head| head.pages() > 0) else {
                return Ranges::default();
            };
            let Some(behind) = head.pages().checked_mul(geometry.pagesize).and_then(|bytes| at.checked_add(bytes))
            else {
                return Ranges::default();
            };
            if head.is_free() {
                let next = RunAt(at).next().bytes();
                let run = RunAt(at);
                used.add_words([
                    at,
                    next,
                    run.previous().bytes(),
                    run.hole().bytes(),
                    run.since().bytes(),
                    behind - WORD,
                ]);
            } else {
                used.add(at, behind);
            }
            at = behind;
        }
        used.add_words([at]);
        used
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::Ordering::Relaxed;

    use crate::error::Result;
    use crate::hash_table::HashTable;
    use crate::layout::run::RunAt;
    use crate::store::{Limits, group};
    use crate::testing::Scratch;

    /// What one member has come to use in a group is in use for a group inside, whatever member begins that.
    #[test]
    fn savepoints_are_those_of_all_members() {
        let scratch = Scratch::new();
        let shm = scratch.open();
        let open = |name| HashTable::<u64, String>::options().named(name).stripes(1).manage(shm.clone()).unwrap();
        let (first, second) = (open("first"), open("second"));
        let store = &first.handle().store;
        let runs = store.region().field(store.geometry().stripe(store.geometry().first()).runs());
        let outcome: Result<()> = first.group(|| {
            first.add(&1, "a record in a new run")?;
            second.group(|| {
                let store_unlogged = |store| {
                    group::change(store, Limits::default(), "change it", |change| {
                        change.audit_unlogged(RunAt(runs.load(Relaxed)).head(), 1);
                        Ok(())
                    })
                };
                assert!(catch_unwind(AssertUnwindSafe(|| store_unlogged(store))).is_err());
                Ok(())
            })
        });
        outcome.unwrap();
    }
}

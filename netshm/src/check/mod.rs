//! Checking an object: every word that ties it together is looked at.
//!
//! A check works on a locked object and changes nothing. It trusts nothing but the header: it walks the run heap from
//! its start, then each stripe's chunks block by block, and ticks off what the index or the directory refers to; what is
//! left is lost.

mod blocks;
mod directory;
mod index;
mod lost;
mod report;
mod runs;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use blocks::Blocks;
pub(crate) use lost::UsedBlocks;
pub use report::{Finding, Report};
use runs::RunMap;

use crate::data::{DataError, DataManager, Decoder, ObjectSchema, Schema};
use crate::directory::Elements;
use crate::error::{Error, Result};
use crate::handle::{Handle, decode};
use crate::layout::header::ObjectKind;
use crate::layout::record::Lengths;
use crate::layout::run::Use;
use crate::os::copy;
use crate::store::{Store, Transaction, group, typed};

/// Attempts of a check without locks, in the hope that nobody writes meanwhile.
const QUIET_TRIES: u32 = 8;

/// Tests whether words are a value of a type.
pub(crate) type Decodes<'a> = &'a dyn Fn(&[AtomicU64]) -> Result<(), DataError>;

/// Contents of an object's stripes.
#[derive(Clone, Copy)]
pub(crate) enum Contents<'a> {
    /// Bindings of keys.
    Index { key: Decodes<'a>, value: Decodes<'a> },
    /// Elements of an array.
    Directory { elements: Elements, element: Decodes<'a> },
}

impl<'a> Contents<'a> {
    /// Returns the contents of a typed table.
    pub(crate) fn table<K: DataManager + 'a, V: DataManager + 'a>() -> Self {
        Contents::Index { key: &decodes::<K>, value: &decodes::<V> }
    }
}

/// Fails if words are not a `T`.
pub(crate) fn decodes<T: DataManager>(words: &[AtomicU64]) -> Result<(), DataError> {
    let copied = copied(words);
    let mut decoder = Decoder::from_words(&copied);
    decode::<T>(&mut decoder)?;
    decoder.finish()
}

/// Returns a private copy of words of the object.
pub(crate) fn copied(words: &[AtomicU64]) -> Vec<u64> {
    let mut copied = vec![0; words.len()];
    copy::load_words(words, &mut copied);
    copied
}

/// Checks the object of a handle, under all locks. Through a read-only descriptor nothing can be locked, so what writers
/// change meanwhile may look like damage: the check is then repeated, and the report says so in the end.
pub(crate) fn check(handle: &Handle, contents: Contents<'_>) -> Result<Report> {
    let store = &handle.store;
    store.check_fork()?;
    store.check_type()?;
    if group::is_open(store) {
        return Err(Error::InGroup { object: store.name(), wanted: "check" });
    }
    if store.region().object().read_only() {
        for _ in 1..QUIET_TRIES {
            let before = store.quiet_sequences();
            let report = inspect(store, None, Some(contents))?;
            if report.is_clean() || before.is_some() && before == store.quiet_sequences() {
                return Ok(report);
            }
        }
        return Ok(Report { disturbed: true, ..inspect(store, None, Some(contents))? });
    }
    // As a group, so that a data manager that uses the object gets an error and does not wait for this check.
    handle.group(|| group::read_locked(store, handle.limits, |change| inspect(store, Some(change), Some(contents))))
}

/// Returns a function that finds where an object that nobody changes meanwhile is damaged, if anywhere.
/// `contents` are those of the member that is asked for.
pub(crate) fn damage(contents: Option<Contents<'_>>) -> impl Fn(&Store, bool) -> Result<Option<u64>> {
    move |store, is_own| {
        let own = contents.filter(|_| is_own);
        Ok(inspect(store, None, own)?.findings.first().map(|finding| finding.offset))
    }
}

/// The check of one stripe under way: what nothing has referred to yet, and what has been found.
struct Auditor<'a, 'c> {
    stripe: u32,
    blocks: Blocks<'a>,
    runs: &'c mut RunMap<'a>,
    report: &'c mut Report,
}

impl Auditor<'_, '_> {
    /// Notes a reference to a record. Returns its bytes, or `None` if it is not a used one of the stripe or is referred to
    /// elsewhere as well.
    fn refer(&mut self, record: u64, lengths: Lengths) -> Option<u64> {
        if lengths.is_large() { self.runs.refer(record, Use::Large, self.stripe) } else { self.blocks.refer(record) }
    }

    fn finding(&mut self, offset: u64, what: impl Into<String>) {
        self.report.finding(offset, what);
    }

    /// Compares a count of the stripe with what has been found.
    fn compare(&mut self, counted: &AtomicU64, at: u64, found: u64, what: &str) {
        let counted = counted.load(Relaxed);
        if counted != found {
            self.finding(at, format!("stripe {} counts {counted} {what}, has {found}", self.stripe));
        }
    }
}

/// Checks everything, in all members, with a change that holds all locks if there is one. Rows of other members than that of the
/// store, whose contents are given, are judged by their stored schemas.
pub(crate) fn inspect(
    store: &Store,
    change: Option<&mut Transaction<'_>>,
    own: Option<Contents<'_>>,
) -> Result<Report> {
    let mut report = Report::default();
    let region = store.region();
    report.size = region.file_size()?;
    let mut read = || {
        let members = store.members()?;
        let runs = RunMap::read(store, &members, &mut report)?;
        Ok::<_, Error>((members, runs))
    };
    let (members, mut runs) = match change {
        // A member may be added as long as the run heap is not locked as well.
        Some(change) => loop {
            let used = region.stripes_used();
            change.read_whole()?;
            let found = change.with_meta(|| if region.stripes_used() == used { read().map(Some) } else { Ok(None) })?;
            if let Some(found) = found {
                break found;
            }
        },
        None => read()?,
    };
    let siblings: Vec<_> = members.iter().map(|member| store.sibling(member)).collect();
    for (member, other) in members.iter().zip(&siblings) {
        // It may not know yet how far the object reaches.
        other.region().file_size()?;
        if let Some(contents) = own.filter(|_| other.geometry().part() == store.geometry().part()) {
            let newer = store.newer_type()?;
            inspect_member(store, contents, newer.as_ref(), &mut runs, &mut report);
            continue;
        }
        let schema = member.schema(region.object())?.parse::<ObjectSchema>();
        let fits = |schema: Option<&Schema>, words: &[AtomicU64]| match schema {
            Some(schema) => typed::is_row(schema, words),
            None => Ok(()),
        };
        let [key, value] = match &schema {
            Ok(ObjectSchema::HashTable { key, value }) => [Some(key), Some(value)],
            Ok(ObjectSchema::Array { element }) => [None, Some(element)],
            Ok(ObjectSchema::Table) => [None, None],
            Err(_) => {
                report.finding(member.geometry.part().schema_at().bytes(), "the stored schema is damaged");
                [None, None]
            }
        };
        let (key, value) = (|words: &_| fits(key, words), |words: &_| fits(value, words));
        let contents = match member.kind {
            ObjectKind::Array => {
                Contents::Directory { elements: Elements::dense_or_not(member.element_words), element: &value }
            }
            ObjectKind::Table | ObjectKind::HashTable => Contents::Index { key: &key, value: &value },
        };
        inspect_member(other, contents, None, &mut runs, &mut report);
    }
    runs.report_lost(&mut report);
    Ok(report)
}

/// Looks at the stripes of a member.
fn inspect_member<'a>(
    store: &'a Store,
    contents: Contents<'_>,
    newer: Option<&Schema>,
    runs: &mut RunMap<'a>,
    report: &mut Report,
) {
    let region = store.region();
    // What newer programs have written is judged by what they say it is.
    let by_schema = |words: &[AtomicU64]| newer.map_or(Ok(()), |newer| typed::is_row(newer, words));
    for stripe in store.geometry().own() {
        let blocks = Blocks::read(region, stripe, runs, report);
        let mut auditor = Auditor { stripe, blocks, runs: &mut *runs, report: &mut *report };
        match contents {
            Contents::Index { key, value } => {
                index::Check { store, key, value: if newer.is_some() { &by_schema } else { value } }.run(&mut auditor);
            }
            Contents::Directory { elements, element } => {
                directory::Check { region, elements, element: if newer.is_some() { &by_schema } else { element } }
                    .run(&mut auditor);
            }
        }
        auditor.blocks.report_lost(auditor.report);
        let sequence = store.geometry().stripe(stripe).sequence();
        if region.field(sequence).load(Relaxed) & 1 == 1 && !region.object().read_only() {
            report.finding(sequence.bytes(), format!("stripe {stripe} looks as if a writer were at work"));
        }
    }
}

/// Describes what a lost run was used for.
fn use_name(content: Option<(Use, u32)>) -> String {
    match content {
        Some((Use::Chunk, stripe)) => format!("a chunk of stripe {stripe}"),
        Some((Use::Segment, stripe)) => format!("a segment of the index of stripe {stripe}"),
        Some((Use::Large, stripe)) => format!("a large record of stripe {stripe}"),
        Some((Use::Log, slot)) => format!("a log segment of slot {slot}"),
        Some((Use::Schema, _)) => "the text of a schema".to_owned(),
        Some((Use::Hollow, _)) => "memory on its way back to the system".to_owned(),
        None => "a run of an unknown kind".to_owned(),
    }
}

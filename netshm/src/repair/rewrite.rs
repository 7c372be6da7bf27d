//! Copying objects of which some members get another type. Nothing is seen of it before it is complete.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::salvage::Convert;
use super::{Repair, Target, Unfinished, save_member};
use crate::check::{self, Report};
use crate::data::{DataError, ObjectSchema, Relation, difference, relation};
use crate::directory::Elements;
use crate::error::{Error, Result};
use crate::layout::Offset;
use crate::layout::header::ObjectKind;
use crate::name::ShmName;
use crate::shm::Shm;
use crate::store::open::{self, Alone, Member};
use crate::store::{Limits, Store};

/// Rows between two reports of progress.
const REPORT_EACH: u64 = 256;

/// Converts the words of an old row or element to those of a new one; elements have no key.
pub(super) type ConvertWords<'a> = dyn FnMut(&[u64], &[u64]) -> Result<[Vec<u64>; 2], DataError> + 'a;

/// Is called with the number of rows converted so far, and of all.
pub(super) type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// Conversion of a member to another type.
pub(crate) struct Rewriting<'a> {
    /// The member's name; `None` for the one that has none.
    pub(crate) member: Option<String>,
    pub(crate) old: ObjectSchema,
    pub(crate) new: ObjectSchema,
    /// True if what `old` does not know is dropped.
    pub(super) trims: bool,
    /// Words of an array's element, if it lies in its chunk; otherwise 0.
    pub(super) element_words: u64,
    /// The default value of an array; `None` for what the old one becomes.
    pub(super) default: Option<Vec<u64>>,
    pub(super) convert: Box<ConvertWords<'a>>,
}

/// Object that a member is copied to.
pub(super) struct Replacement<'a> {
    pub(super) schema: &'a ObjectSchema,
    pub(super) element_words: u64,
    pub(super) default: Option<Vec<u64>>,
    pub(super) convert: Convert<'a>,
}

impl Rewriting<'_> {
    /// Returns whether a member of that schema is to be rewritten.
    fn is_needed(&self, object: &Shm, stored: &str) -> Result<bool> {
        let old = relation(&self.old, stored);
        let is_extended = matches!(old, Some(Relation::Newer | Relation::Older { is_newer_too: true, .. }));
        match old {
            Some(_) if is_extended && self.trims => Ok(true),
            _ if relation(&self.new, stored).is_some() => Ok(false),
            Some(_) if !is_extended => Ok(true),
            _ => Err(Error::SchemaMismatch {
                object: object.object().name().clone(),
                stored: stored.to_owned(),
                expected: self.old.to_string(),
                difference: difference(stored, &self.old),
            }),
        }
    }

    /// Returns whether the stored type has more than `old`; fails if it is another one.
    pub(super) fn is_extended(&self, shm: &Shm) -> Result<bool> {
        let stored = open::stored(shm, self.member.as_deref())?;
        match relation(&self.old, &stored.schema) {
            Some(Relation::Newer | Relation::Older { is_newer_too: true, .. }) => Ok(true),
            Some(_) => Ok(false),
            None => self.is_needed(shm, &stored.schema),
        }
    }

    /// Works like [`is_needed`](Self::is_needed), of what others may have open. What is not there yet is to be created.
    pub(crate) fn is_needed_now(&self, shm: &Shm) -> Result<bool> {
        match open::stored(shm, self.member.as_deref()) {
            Ok(stored) => self.is_needed(shm, &stored.schema),
            Err(Error::NotNetshm { .. } | Error::NoMember { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// An object that nobody else uses, and what is to be done to it.
struct Survey<'a> {
    shm: &'a Shm,
    alone: Alone<'a>,
    members: Vec<Member>,
    /// Members, by their place in the list, and the number of the rewriting.
    wanted: Vec<(usize, usize)>,
    before: Report,
}

impl<'a> Survey<'a> {
    /// Returns `None` if there is nothing to do any more.
    fn of(shm: &'a Shm, rewritings: &[Rewriting<'_>]) -> Result<Option<Survey<'a>>> {
        let alone = Alone::open(shm, "migrate it")?;
        let members = alone.members()?;
        let mut wanted = Vec::new();
        for (number, rewriting) in rewritings.iter().enumerate() {
            let name = rewriting.member.as_deref().unwrap_or_default();
            let Some(place) = members.iter().position(|member| member.name == name) else { continue };
            if rewriting.is_needed(shm, &members[place].schema(shm.object())?)? {
                wanted.push((place, number));
            }
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let before = check::inspect(&alone.store, None, None)?;
        match before.findings.first() {
            Some(finding) => Err(damaged(shm, finding.offset)),
            None => Ok(Some(Survey { shm, alone, members, wanted, before })),
        }
    }

    /// Returns the most rows and elements that will be converted.
    fn rows(&self) -> u64 {
        self.wanted.iter().map(|(place, _)| most_rows(&self.alone, &self.members[*place])).fold(0, u64::saturating_add)
    }
}

/// Returns the number of a table's bindings, or of the elements that an array has memory for. (The check has found no damage.)
fn most_rows(alone: &Alone<'_>, member: &Member) -> u64 {
    let store = alone.store.sibling(member);
    let (region, geometry) = (store.region(), store.geometry());
    let count = |at: Offset| region.field(at).load(Relaxed);
    let stripes = geometry.own().map(|stripe| geometry.stripe(stripe));
    if member.kind != ObjectKind::Array {
        return stripes.map(|at| count(at.keys()).saturating_add(count(at.hidden()))).fold(0, u64::saturating_add);
    }
    let each = Elements::dense_or_not(member.element_words).in_chunk() as u64;
    let elements = stripes.map(|at| count(at.keys()).saturating_mul(each)).fold(0, u64::saturating_add);
    elements.min(count(geometry.part().array_len()))
}

/// Rewrites objects, each with what is to become of its members. All are written, and `verify` has been given the names of the old and
/// the new ones, before the first takes the place of what was there.
pub(crate) fn rewrite(
    objects: &mut [(&Shm, &mut [Rewriting<'_>])],
    progress: &mut Progress<'_>,
    verify: &mut dyn FnMut(&[[&ShmName; 2]]) -> Result<()>,
) -> Result<()> {
    let mut surveys = Vec::new();
    let mut numbers = Vec::new();
    for (number, (shm, rewritings)) in objects.iter().enumerate() {
        if let Some(survey) = Survey::of(shm, rewritings)? {
            surveys.push(survey);
            numbers.push(number);
        }
    }
    let all = surveys.iter().map(Survey::rows).fold(0, u64::saturating_add);
    let mut done = 0;
    let mut ready = Vec::new();
    for (survey, number) in surveys.iter().zip(numbers) {
        let mut report = || {
            if done % REPORT_EACH == 0 {
                progress(done.min(all), all);
            }
            done += 1;
        };
        ready.push(copy(survey, &surveys, &mut *objects[number].1, &mut report)?);
    }
    let names = surveys.iter().zip(&ready).map(|(survey, copied)| [survey.shm.name(), copied.name()]);
    verify(&names.collect::<Vec<_>>())?;
    for copied in &ready {
        copied.store.sync(Limits::default())?;
    }
    for (survey, Copied { target, unfinished, .. }) in surveys.iter().zip(ready) {
        unfinished.take_over(&target)?;
        survey.alone.mark_replaced();
    }
    if !surveys.is_empty() {
        calling(&surveys, &mut || progress(all, all));
    }
    Ok(())
}

/// Runs code of the user, which may not use any of the objects.
fn calling(surveys: &[Survey<'_>], code: &mut dyn FnMut()) {
    match surveys.split_first() {
        Some((first, others)) => first.alone.calling(|| calling(others, code)),
        None => code(),
    }
}

fn copy(
    survey: &Survey<'_>,
    all: &[Survey<'_>],
    rewritings: &mut [Rewriting<'_>],
    report: &mut dyn FnMut(),
) -> Result<Copied> {
    let Survey { shm, alone, members, wanted, before } = survey;
    let name = shm.object().name();
    let target = Target::of(shm.name(), shm)?;
    let unfinished = Unfinished(Some(target.create()?));
    let Some(fresh) = &unfinished.0 else { unreachable!("taken at the end only") };
    let mut outcome = Repair { before: before.clone(), saved: 0, dropped: 0, found: 0 };
    let mut stores = Vec::new();
    for (place, member) in members.iter().enumerate() {
        let rewriting = wanted.iter().find(|(wanted, _)| *wanted == place).map(|(_, number)| *number);
        let Some(rewriting) = rewriting.map(|number| &mut rewritings[number]) else {
            stores.push(save_member(alone, shm, member, fresh, &mut outcome, None)?);
            continue;
        };
        let Rewriting { new, element_words, default, convert, .. } = rewriting;
        let mut convert = |key: &[u64], value: &[u64]| {
            let mut words = None;
            calling(all, &mut || {
                words = Some(convert(key, value));
                report();
            });
            let words = words.expect("it has been called");
            words.map_err(|error| Error::decode(name.clone(), error))
        };
        let replacement =
            Replacement { schema: new, element_words: *element_words, default: default.clone(), convert: &mut convert };
        stores.push(save_member(alone, shm, member, fresh, &mut outcome, Some(replacement))?);
    }
    if outcome.dropped > 0 || outcome.found > 0 {
        return Err(damaged(shm, 0));
    }
    target.give_rights(fresh)?;
    let store = stores.swap_remove(0);
    Ok(Copied { target, unfinished, store })
}

/// A new object that is complete.
struct Copied {
    target: Target,
    unfinished: Unfinished,
    store: Arc<Store>,
}

impl Copied {
    fn name(&self) -> &ShmName {
        self.unfinished.0.as_ref().expect("it is taken at the end only").name()
    }
}

fn damaged(shm: &Shm, offset: u64) -> Error {
    let what = "it cannot be migrated as it is; `repair` saves what is sound";
    Error::Corrupt { object: shm.object().name().clone(), offset, what }
}

//! What tables do with encoded keys and values. This code exists once, however many types there are; what a type adds to it is
//! encoding and decoding.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::bulk;
use crate::check::{self, Contents};
use crate::data::{ObjectSchema, Schema, difference, hash_text};
use crate::error::Result;
use crate::handle::Handle;
use crate::index::bindings::{self, Seen};
use crate::index::record::{Payload, Record};
use crate::index::{self, Found, Key};
use crate::layout::bucket::Form;
use crate::layout::header::ObjectKind;
use crate::region::Inconclusive;
use crate::shm::Shm;
use crate::source::Source;
use crate::store::group::Update;
use crate::store::open::{Shape, Spec};
use crate::store::read::{self, OptimisticRead, View, with_source};
use crate::store::{Limits, group};

/// Decodes a value that another process may be changing, for a reader who looks afterwards whether it has.
pub(super) type InPlace<'d> = &'d dyn Fn(View<'_>, &[AtomicU64]) -> Result<(), Inconclusive>;
/// Decodes a value, or copies it.
pub(super) type Carefully<'d> = &'d dyn Fn(View<'_>, &[AtomicU64]) -> Result<()>;

/// Decodes the value that is bound under a lock, if one is.
pub(super) type Locked<'d> = &'d dyn Fn(Option<&[AtomicU64]>) -> Result<()>;

/// Opens an object as a table.
pub(super) fn open(
    shm: Shm,
    kind: ObjectKind,
    schema: &ObjectSchema,
    contents: Contents<'_>,
    shape: Shape,
    limits: Limits,
    keeps_rest: bool,
) -> Result<Handle> {
    let text = schema.to_string();
    let recreate = shape.recreate;
    let spec = Spec {
        kind,
        schema_hash: hash_text(&text),
        difference: &|stored| difference(stored, schema),
        types: Arc::new(schema.clone()),
        schema: text.clone(),
        default: Vec::new(),
        element_words: 0,
        keeps_rest,
        other_default: &Cell::new(None),
        form: form_of(schema),
        show_default: &|_| String::new(),
        shape,
    };
    let handle = Handle::open(shm, &spec, limits, &check::damage(Some(contents)))?;
    if recreate {
        bulk::clear(&handle)?;
    }
    Ok(handle)
}

/// Returns the form of the buckets of a table of these types.
pub(crate) fn form_of(schema: &ObjectSchema) -> Form {
    match schema {
        ObjectSchema::HashTable { key, value } => {
            let words = |schema: &Schema| schema.fixed_words().map(|words| words as usize);
            Form::of(words(key), words(value))
        }
        _ => Form::Records,
    }
}

pub(super) fn add(handle: &Handle, key: &[u64], value: Payload<'_>) -> Result<()> {
    add_inline(handle, key, value)
}

/// Works like [`add`], inlined into the caller.
#[inline(always)]
pub(super) fn add_inline(handle: &Handle, key: &[u64], value: Payload<'_>) -> Result<()> {
    let key = handle.key(key);
    let prefetch = || index::prefetch_bucket(handle.store.region(), key.at, key.hash);
    handle.prepared_change("add a binding", prefetch, |change| bindings::add(change, key, value))
}

/// Replaces a value, of a type that is `fixed` if all its values have the same length.
pub(super) fn replace(handle: &Handle, key: &[u64], value: Payload<'_>, fixed: bool) -> Result<()> {
    let key = handle.key(key);
    if let Payload::Words(new) = value {
        let form = handle.store.geometry().form;
        let replaced = handle.small_change(key.stripe, index::Value { form, key }, |old| {
            // What a newer program has stored after the value is carried over.
            let is_plain = fixed || !handle.store.may_have_tails();
            (is_plain && old.len() == new.len()).then_some((Some(new), ()))
        });
        if let Some(()) = replaced {
            return Ok(());
        }
    }
    handle.change("replace a binding", |change| bindings::replace(change, key, value))
}

pub(super) fn add_if_absent(handle: &Handle, key: &[u64], value: Payload<'_>) -> Result<bool> {
    let key = handle.key(key);
    handle.change("add a binding", |change| bindings::add_if_absent(change, key, value))
}

pub(super) fn remove(handle: &Handle, key: &[u64]) -> Result<bool> {
    let key = handle.key(key);
    handle.change("remove a binding", |change| bindings::remove(change, key))
}

pub(super) fn remove_all(handle: &Handle, key: &[u64]) -> Result<u64> {
    let key = handle.key(key);
    handle.change("remove bindings", |change| bindings::remove_all(change, key))
}

pub(super) fn contains(handle: &Handle, key: &[u64]) -> Result<bool> {
    find(handle, key, Some(&|_, _| Ok(())), &|_, _| Ok(()))
}

/// Looks up the newest binding of a key and has its value decoded, perhaps several times; the last time counts. Returns whether
/// there is a binding.
pub(super) fn find(
    handle: &Handle,
    key: &[u64],
    in_place: Option<InPlace<'_>>,
    carefully: Carefully<'_>,
) -> Result<bool> {
    let key = handle.key(key);
    let store = &*handle.store;
    let form = store.geometry().form;
    if let Some(in_place) = in_place {
        if let Some(attempt) = OptimisticRead::at(store) {
            let found = attempt.read(key.at, |view, stripe| {
                index::find_and(view.region(), form, stripe, key, |found| in_place(view, found.record.value()))
            });
            if let Some(found) = found {
                return Ok(found.is_some());
            }
        } else if group::open() > 0 {
            match group::optimistic(store, key.stripe) {
                Some(Ok((view, _))) => {
                    let (region, look) = (view.region(), |found: &Found<'_>| in_place(view, found.record.value()));
                    if let Ok(found) = index::find_and(region, form, region.stripe(key.at), key, look) {
                        return Ok(found.is_some());
                    }
                }
                Some(Err(error)) => return Err(*error),
                None => {}
            }
        }
    }
    let found = read::read(store, handle.limits, key.stripe, |view| {
        with_source!(view, source => {
            index::find_and(source, form, source.stripe(key.at), key, |found| {
                carefully(view, found.record.value())
            })
        })
    });
    found.map(|found| found.is_some())
}

/// Locks a key, looks it up, and has its value decoded, once or several times, of which the last counts.
pub(super) fn look<'a>(handle: &'a Handle, key: Key<'_>, decode: Locked<'_>) -> Result<Seen<'a>> {
    let region = handle.store.region();
    handle.change("change a binding", |change| {
        let seen = Seen::look(change, region, key)?;
        decode(seen.newest().map(Record::value))?;
        Ok(seen)
    })
}

/// Pops the newest binding of a key if `decode` makes a value of it, as above. Returns whether it did; `None` if there is no binding.
pub(super) fn pop(
    handle: &Handle,
    key: Key<'_>,
    decode: &dyn Fn(&[AtomicU64]) -> Result<bool>,
) -> Result<Option<bool>> {
    let region = handle.store.region();
    handle.change("pop a binding", |change| {
        let seen = Seen::look(change, region, key)?;
        let Some(newest) = seen.newest() else { return Ok(None) };
        let is_decoded = decode(newest.value())?;
        if is_decoded {
            seen.remove(change, key)?;
        }
        Ok(Some(is_decoded))
    })
}

/// Replaces the newest binding of a key that has been hashed.
pub(super) fn replace_at(handle: &Handle, key: Key<'_>, value: Payload<'_>) -> Result<()> {
    handle.change("replace a binding", |change| bindings::replace(change, key, value))
}

/// Removes the newest binding of a key that has been hashed.
pub(super) fn remove_at(handle: &Handle, key: Key<'_>) -> Result<bool> {
    handle.change("remove a binding", |change| bindings::remove(change, key))
}

/// Replaces the newest binding of a key where it was found.
pub(super) fn replace_seen(handle: &Handle, key: Key<'_>, value: Payload<'_>, seen: &Seen<'_>) -> Result<()> {
    handle.change("replace a binding", |change| seen.replace(change, key, value))
}

/// Removes the newest binding of a key where it was found.
pub(super) fn remove_seen(handle: &Handle, key: Key<'_>, seen: &Seen<'_>) -> Result<bool> {
    handle.change("remove a binding", |change| seen.remove(change, key))
}

/// Runs a group.
pub(super) fn in_group(handle: &Handle, body: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    handle.group(body)
}

/// Begins an update of the newest binding of a key, if it may be a short one.
pub(super) fn begin_update<'a>(handle: &'a Handle, key: Key<'_>) -> Option<Update<'a>> {
    let form = handle.store.geometry().form;
    handle.begin_update(key.stripe, index::Value { form, key })
}

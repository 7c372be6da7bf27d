//! Copying what is sound from one object to another.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::check::{UsedBlocks, copied};
use crate::data::{ObjectSchema, Schema};
use crate::directory::{self, Elements, FANOUT, FANOUT_BITS, HIGHEST};
use crate::dynamic::Plan;
use crate::error::{Error, Result};
use crate::index::record::{Payload, Record};
use crate::index::{Chain, Content, Image, Key, MOST_BUCKETS, bindings, bucket_of};
use crate::layout::bucket::{BucketAt, Form};
use crate::region::Region;
use crate::store::{Limits, Store, group};

/// Converts the words of an old row or element to those of a new one; elements have no key.
pub(super) type Convert<'a> = &'a mut dyn FnMut(&[u64], &[u64]) -> Result<[Vec<u64>; 2]>;

/// Layout of an array's elements, and their default.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) elements: Elements,
    pub(super) default: &'a [u64],
}

/// The stored types, prepared for examining words.
pub(super) enum Types {
    Table { key: Plan, value: Plan },
    Array { element: Plan },
}

impl Types {
    /// Prepares the types of a schema; returns `None` if it is damaged.
    pub(super) fn new(schema: &ObjectSchema) -> Option<Self> {
        let plan = |schema| Plan::new(schema).ok();
        Some(match schema {
            ObjectSchema::HashTable { key, value } => Types::Table { key: plan(key)?, value: plan(value)? },
            ObjectSchema::Table => {
                Types::Table { key: plan(&Schema::of::<i32>())?, value: plan(&Schema::of::<Vec<i32>>())? }
            }
            ObjectSchema::Array { element } => Types::Array { element: plan(element)? },
        })
    }
}

/// A salvage under way.
pub(super) struct Salvage<'a, 'c> {
    from: &'a Store,
    to: &'a Arc<Store>,
    /// Records that have been met, so that no binding is saved twice.
    met: HashSet<u64>,
    types: &'a Types,
    /// Conversion of each row.
    convert: Option<Convert<'c>>,
    pub(super) saved: u64,
    pub(super) dropped: u64,
    pub(super) found: u64,
}

impl<'a, 'c> Salvage<'a, 'c> {
    pub(super) fn new(from: &'a Store, to: &'a Arc<Store>, types: &'a Types, convert: Option<Convert<'c>>) -> Self {
        Salvage { from, to, met: HashSet::new(), types, convert, saved: 0, dropped: 0, found: 0 }
    }

    /// Saves the bindings of a table.
    pub(super) fn table(&mut self) -> Result<()> {
        let mut used = UsedBlocks::read(self.from)?;
        for stripe in self.from.geometry().own() {
            let stacks = self.stacks(stripe);
            // What the index has lost comes first, so that it lies under what the index knows.
            for at in self.lost(stripe, &stacks, &mut used) {
                self.save(at)?;
                self.found += 1;
            }
            for stack in stacks {
                for at in stack.into_iter().rev() {
                    self.save(at)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the bindings that the index of a stripe does not lead to.
    fn lost(&mut self, stripe: u32, stacks: &[Vec<u64>], used: &mut UsedBlocks<'_>) -> Vec<u64> {
        let region = self.from.region();
        let form = region.geometry().form;
        let (mut lost, mut buckets) = (Vec::new(), Vec::new());
        for at in used.blocks(stripe) {
            match Record::at(region, at) {
                Ok(record) if record.lengths == form.overflow() => buckets.push(form.bucket_in(at)),
                Ok(record) if record.lengths.key > 0 && self.belongs(&record, stripe) && self.met.insert(at) => {
                    lost.push(at);
                }
                _ => {}
            }
        }
        if form == Form::Pairs {
            buckets.retain(|bucket| !self.met.contains(&bucket.cells));
            // In a segment that is known, what lies after the last bucket is no longer meant.
            let segments = used.segments(stripe).into_iter();
            let segments = segments.filter(|(start, size)| !self.met.contains(&form.bucket(*start, *size, 0).cells));
            buckets.extend(segments.flat_map(|(start, size)| (0..size).map(move |i| form.bucket(start, size, i))));
            let key = |at: u64| Record::binding(region, at).map(|pair| copied(pair.key())).unwrap_or_default();
            // An older copy of a pair may be left where its bucket was before.
            let mut known: HashSet<_> = stacks.iter().map(|stack| key(stack[0])).collect();
            for (pair, content) in buckets.into_iter().flat_map(|bucket| pairs(region, bucket)) {
                let Ok(record) = Record::binding(region, pair) else { continue };
                if self.belongs(&record, stripe)
                    && content.agrees(self.from.hash(&key(pair)))
                    && known.insert(key(pair))
                {
                    lost.push(pair);
                }
            }
        }
        lost
    }

    /// Returns the stacks of bindings that the index of a stripe leads to, each with its newest binding first.
    fn stacks(&mut self, stripe: u32) -> Vec<Vec<u64>> {
        let region = self.from.region();
        let at = region.geometry().stripe(stripe);
        let mut stacks = Vec::new();
        let buckets = region.field(at.buckets()).load(Relaxed);
        if buckets > MOST_BUCKETS {
            self.dropped += 1;
            return stacks;
        }
        // A wrong count says nothing about what else there is to find.
        let room = region.known_words() / region.geometry().form.words() as u64;
        for bucket in 0..buckets.min(room) {
            let mut chain = match Chain::of(region, at, buckets, bucket) {
                Ok(chain) => chain,
                Err(_) => {
                    self.dropped += 1;
                    continue;
                }
            };
            self.met.insert(chain.at().cells);
            loop {
                let Ok(image) = chain.image() else {
                    self.dropped += 1;
                    break;
                };
                for (cell, content) in image.contents() {
                    let stack = self.stack(content.newest(chain.at(), cell), stripe);
                    let is_at_its_place = |at: &u64| {
                        let key = Record::binding(region, *at).map(|record| copied(record.key())).unwrap_or_default();
                        let hash = self.from.hash(&key);
                        content.agrees(hash) && bucket_of(hash, buckets) == bucket
                    };
                    match stack.first() {
                        Some(newest) if is_at_its_place(newest) => stacks.push(stack),
                        Some(_) => self.dropped += 1,
                        None => {}
                    }
                }
                match chain.advance::<Error>() {
                    Ok(true) if self.met.insert(chain.at().cells) => {}
                    Ok(false) => break,
                    Ok(true) | Err(_) => {
                        self.dropped += 1;
                        break;
                    }
                }
            }
        }
        stacks
    }

    /// Returns the bindings from one of them to the oldest, as far as they are sound.
    fn stack(&mut self, newest: u64, stripe: u32) -> Vec<u64> {
        let region = self.from.region();
        let (mut stack, mut next) = (Vec::new(), newest);
        let mut key = None;
        while next != 0 {
            match Record::binding(region, next) {
                Ok(record)
                    if self.belongs(&record, stripe)
                        && key.get_or_insert_with(|| copied(record.key())) == &copied(record.key())
                        && self.met.insert(next) =>
                {
                    stack.push(next);
                    next = record.older();
                }
                _ => {
                    self.dropped += 1;
                    break;
                }
            }
        }
        stack
    }

    /// Returns whether a record is a binding of the stripe: its key leads there, and key and value are of their types.
    fn belongs(&self, record: &Record<'_>, stripe: u32) -> bool {
        let key = copied(record.key());
        let typed = match self.types {
            Types::Table { key: key_type, value } => key_type.accepts(&key) && value.accepts(&copied(record.value())),
            Types::Array { .. } => false,
        };
        typed && self.from.stripe_of(self.from.hash(&key)) == stripe
    }

    /// Adds a binding to the new object.
    fn save(&mut self, at: u64) -> Result<()> {
        let record = Record::binding(self.from.region(), at)?;
        let (mut words, mut value) = (copied(record.key()), copied(record.value()));
        if let Some(convert) = &mut self.convert {
            [words, value] = convert(&words, &value)?;
        }
        let hash = self.to.hash(&words);
        let stripe = self.to.stripe_of(hash);
        let key = Key { words: &words, hash, stripe, at: self.to.geometry().stripe(stripe) };
        self.change(|change| bindings::add(change, key, Payload::Words(&value)))
    }

    fn change(&mut self, mut make: impl FnMut(&mut crate::store::Transaction<'_>) -> Result<()>) -> Result<()> {
        group::change(self.to, Limits::default(), "repair it", &mut make)?;
        self.saved += 1;
        Ok(())
    }

    /// Saves the elements of an array.
    pub(super) fn array(&mut self, from: Layout<'_>, to: Layout<'_>) -> Result<()> {
        let elements = from.elements;
        let region = self.from.region();
        let length = region.field(region.geometry().part().array_len()).load(Relaxed);
        group::change(self.to, Limits::default(), "repair it", |change| {
            directory::resize(change, to.elements, to.default, length)
        })?;
        // What has never been set is converted as well: it takes memory if it does not become the new default.
        if let Some(convert) = &mut self.convert
            && length > 0
        {
            let [_, unset] = convert(&[], from.default)?;
            if unset != to.default {
                (0..length).try_for_each(|index| self.set(to, index, &unset))?;
            }
        }
        for (place, stripe) in (0u64..).zip(region.geometry().own()) {
            let at = region.geometry().stripe(stripe);
            let (height, root) = (region.field(at.buckets()).load(Relaxed), region.field(at.segment(0)).load(Relaxed));
            if height > HIGHEST {
                self.dropped += 1;
            } else if height > 0 {
                let mut chunks = Vec::new();
                self.chunks(root, height as u32, 0, elements, &mut chunks);
                for (chunk, node) in chunks {
                    let stripes = u64::from(region.geometry().stripes);
                    let number = chunk.saturating_mul(stripes).saturating_add(place);
                    self.chunk(node, elements.first_of(number), length, from, to)?;
                }
            }
        }
        Ok(())
    }

    /// Collects the chunks under a node, with their numbers in the stripe.
    fn chunks(&mut self, node: u64, height: u32, first: u64, elements: Elements, chunks: &mut Vec<(u64, u64)>) {
        if node == 0 {
            return;
        }
        let words = if height == 0 { elements.chunk_words() } else { FANOUT };
        let record = Record::at(self.from.region(), node).ok().filter(|record| record.lengths.value == words);
        let Some(record) = record.filter(|_| self.met.insert(node)) else {
            self.dropped += 1;
            return;
        };
        if height == 0 {
            chunks.push((first, node));
            return;
        }
        let step = 1u64.checked_shl((height - 1) * FANOUT_BITS).unwrap_or(0);
        for (child, i) in record.value().iter().zip(0..) {
            let start = first.wrapping_add(step.wrapping_mul(i));
            self.chunks(child.load(Relaxed), height - 1, start, elements, chunks);
        }
    }

    fn chunk(&mut self, node: u64, first: u64, length: u64, from: Layout<'_>, to: Layout<'_>) -> Result<()> {
        let Layout { elements, default } = from;
        let region = self.from.region();
        let record = Record::at(region, node)?;
        let words = copied(record.value());
        let each = elements.dense().unwrap_or(1) as usize;
        let types = self.types;
        let sound = |words: &[u64]| match types {
            Types::Array { element } => element.accepts(words),
            Types::Table { .. } => false,
        };
        for (element, index) in words.chunks_exact(each).zip(first..length) {
            let value = match (elements.dense(), element[0]) {
                (Some(_), _) if element == default => continue,
                (Some(_), _) if sound(element) => element.to_vec(),
                (Some(_), _) => {
                    self.dropped += 1;
                    continue;
                }
                (None, 0) => continue,
                (None, at) => match Record::at(region, at).ok().filter(|_| self.met.insert(at)) {
                    Some(record) if sound(&copied(record.value())) => copied(record.value()),
                    _ => {
                        self.dropped += 1;
                        continue;
                    }
                },
            };
            let value = match &mut self.convert {
                Some(convert) => convert(&[], &value)?[1].clone(),
                None => value,
            };
            self.set(to, index, &value)?;
        }
        Ok(())
    }

    fn set(&mut self, to: Layout<'_>, index: u64, value: &[u64]) -> Result<()> {
        let spot = to.elements.spot(self.to.geometry(), index);
        self.change(|change| directory::set(change, to.elements, spot, to.default, Payload::Words(value)))
    }
}

/// Returns the pairs in a bucket, with their addresses.
fn pairs(region: &Region, bucket: BucketAt) -> Vec<(u64, Content)> {
    let image = Image::of(region, bucket).into_iter();
    let contents = image.flat_map(|image| image.contents().collect::<Vec<_>>());
    contents
        .map(|(cell, content)| (content.newest(bucket, cell), content))
        .filter(|(newest, _)| Record::binding(region, *newest).is_ok_and(|newest| newest.is_pair()))
        .collect()
}

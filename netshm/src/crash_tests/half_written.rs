//! Losses of power in the middle of a change: some pages are as they were before it, others as they were when the machine stopped, lock
//! words, owners and process numbers among them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;

use super::words::ends;
use super::{Case, METHODS};
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::index::bucket_of;
use crate::layout::bucket::Tag;
use crate::layout::header::BOOTS;
use crate::layout::method::Locking;
use crate::log_word::LogState;
use crate::os::file::random;
use crate::shm::Shm;
use crate::testing::{Image, Random, Scratch};

type Texts = HashTable<String, String>;

const PAGE: usize = 4096;
/// Images made of each moment.
const IMAGES: u64 = 4;

/// Returns an image of pages that `seed` chooses from `half` and `before`. The header's is that of `half`, since it is in storage before
/// anything else changes, and remembers another boot.
fn image(before: &[u8], half: &[u8], seed: u64) -> Vec<u8> {
    let mut image = half.to_vec();
    let mut random = Random::new(seed);
    for (number, page) in image.chunks_mut(PAGE).enumerate().skip(1) {
        if random.below(2) == 0 {
            let old = before.get(number * PAGE..).unwrap_or_default();
            let length = old.len().min(page.len());
            page[..length].copy_from_slice(&old[..length]);
            page[length..].fill(0);
        }
    }
    image[BOOTS.bytes() as usize] ^= 1;
    image
}

fn use_it(table: &Texts) -> Result<()> {
    let report = table.check()?;
    assert!(report.is_clean(), "{report}");
    // The newest binding of each key comes first.
    let mut content = BTreeMap::new();
    for row in table.scan() {
        let (key, value) = row?;
        content.entry(key).or_insert(value);
    }
    for (key, value) in &content {
        assert_eq!(table.find(key)?.as_ref(), Some(value));
    }
    table.replace("a", &"after".repeat(900))?;
    table.add("z", "after")?;
    table.remove_all("b")?;
    let report = table.check()?;
    assert!(report.is_clean(), "{report}");
    Ok(())
}

/// Whichever pages are in storage: opening ends in an error or with a sound object, in bounded time.
#[test]
fn any_pages_of_a_half_done_change() {
    let seed = random().unwrap();
    for locking in METHODS {
        let open = |shm| Texts::options().locking(locking).stripes(2).slots(3).init(8).max_size(1 << 22).manage(shm);
        let case = Case {
            name: format!("half written, {locking}"),
            open: &open,
            prepare: &|table: &Texts| {
                (0..30).try_for_each(|key| table.add(&format!("key {key}"), &"v".repeat(key * 40)))?;
                table.add("b", "old")
            },
            act: &|table: &Texts| {
                table.replace("a", &"new".repeat(1000))?;
                table.group(|| {
                    (0..10).try_for_each(|key| table.remove_all(&format!("key {key}")).map(drop))?;
                    table.add("b", &"newer".repeat(2000))
                })
            },
            dump: &|_| Ok(()),
            check: &|table: &Texts| table.check(),
        };
        let prepared = case.prepared();
        let start = Image::of(&prepared);
        let (mut sound, mut damaged) = (0, 0);
        for step in (0..).step_by(7) {
            let copy = Scratch::new();
            let stopped = case.stopped(&start, &copy, step);
            let half = fs::read(&copy.0).unwrap();
            for number in 0..IMAGES {
                let seed = seed.wrapping_add(step * IMAGES + number);
                // The file stays the same, so that it is taken for no copy.
                Image::of(&image(&prepared, &half, seed)).write(&copy.0);
                let what = format!("{}, step {step}, seed {seed}", case.name);
                let shm = copy.open();
                let outcome = ends(&what, move || {
                    let options = Texts::options().locking(locking).stripes(2).slots(3).init(8).max_size(1 << 22);
                    options.manage(shm).map(|table| use_it(&table))
                });
                match outcome {
                    Ok(used) => {
                        used.unwrap_or_else(|error| panic!("{what}: sound when it was opened, but {error}"));
                        sound += 1;
                    }
                    Err(Error::Corrupt { .. }) => damaged += 1,
                    Err(error) => panic!("{what}: {error}"),
                }
            }
            if !stopped {
                break;
            }
        }
        assert!(sound > 10 && damaged > 10, "{}: {sound} sound, {damaged} damaged", case.name);
    }
}

type Pairs = HashTable<u64, u64>;

fn open_pairs(shm: Shm) -> Result<Pairs> {
    Pairs::options().locking(Locking::Futex).stripes(1).slots(64).init(1).max_size(1 << 22).manage(shm)
}

fn content(table: &Pairs) -> Result<BTreeMap<u64, u64>> {
    table.scan().collect()
}

/// A page of the log may be that of an earlier change by the same slot: what that one has done must not be undone in its place.
#[test]
fn a_log_of_an_earlier_change() {
    const KEYS: u64 = 1000;
    const CHANGED: u64 = 20;
    let mut random = Random::new(random().unwrap());
    let copy = Scratch::new();
    let table = open_pairs(copy.open()).unwrap();
    (0..KEYS).try_for_each(|key| table.add(&key, &key)).unwrap();
    let replace = |by: u64| (0..CHANGED).try_for_each(|key| table.replace(&key, &(key + by)));
    table.group(|| replace(KEYS)).unwrap();
    let (before, committed) = (fs::read(&copy.0).unwrap(), content(&table).unwrap());
    let mut half = Vec::new();
    let undone: Result<()> = table.group(|| {
        replace(2 * KEYS)?;
        half = fs::read(&copy.0).unwrap();
        Err(Error::Forked { object: "any error".into() })
    });
    assert!(matches!(undone, Err(Error::Forked { .. })));
    let geometry = *table.handle().store.geometry();
    let word =
        |slot| u64::from_ne_bytes(*half[geometry.slot(slot).log_word().bytes() as usize..].first_chunk().unwrap());
    let slot = (0..geometry.slots).find(|slot| LogState(word(*slot)).entries() > 0).unwrap();
    let page = |place: u64| place as usize / PAGE;
    let log_pages = page(geometry.log(slot).0)..=page(geometry.log(slot + 1).0 - 1);
    assert!(!log_pages.contains(&page(geometry.slot(slot).log_word().bytes())));
    let first = page(geometry.data_start());
    drop(table);
    for log in [&half, &before] {
        let (mut sound, mut damaged) = (0, 0);
        for number in 0..100 {
            let mut image = half.clone();
            for (page_number, page) in image.chunks_mut(PAGE).enumerate() {
                let from = if log_pages.contains(&page_number) {
                    log
                } else if page_number < first || random.number() % 100 < number {
                    &half
                } else {
                    &before
                };
                let length = page.len();
                page.copy_from_slice(&from[page_number * PAGE..][..length]);
            }
            image[BOOTS.bytes() as usize] ^= 1;
            fs::write(&copy.0, &image).unwrap();
            match open_pairs(copy.open()) {
                Ok(table) => {
                    assert!(content(&table).unwrap() == committed, "image {number}");
                    sound += 1;
                }
                Err(Error::Corrupt { .. }) => damaged += 1,
                Err(error) => panic!("image {number}: {error}"),
            }
        }
        let is_there = std::ptr::eq(log, &half);
        assert!(sound > 0 || !is_there, "{damaged} damaged");
        assert!(damaged > 0 || is_there, "{sound} sound");
    }
}

/// A pair that had been removed before the last `sync` does not come back where storage has the tag of the next pair in its cell, and not
/// that pair.
#[test]
fn a_removed_pair_stays_removed() {
    const KEYS: u64 = 3000;
    let copy = Scratch::new();
    let table = open_pairs(copy.open()).unwrap();
    (0..KEYS).try_for_each(|key| table.add(&key, &key)).unwrap();
    let store = &table.handle().store;
    let buckets = store.region().field(store.geometry().stripe(store.geometry().first()).buckets()).load(Relaxed);
    let spot = |key: u64| (bucket_of(store.hash(&[key]), buckets), Tag::new(store.hash(&[key]), false));
    // The last ones lie in large segments, whose tags have a page of their own.
    let mut tried = (0..KEYS).filter(|key| spot(*key).0 > buckets / 2).map(|removed| {
        let next = (KEYS..).find(|key| spot(*key) == spot(removed)).unwrap();
        table.remove(&removed).unwrap();
        table.sync().unwrap();
        let before = fs::read(&copy.0).unwrap();
        table.add(&next, &next).unwrap();
        let after = fs::read(&copy.0).unwrap();
        table.remove(&next).unwrap();
        table.add(&removed, &removed).unwrap();
        (removed, before, after)
    });
    let tried: Vec<_> = tried.by_ref().take(5).collect();
    let first = table.handle().store.geometry().data_start() as usize / PAGE;
    drop(table);
    let mut images = 0;
    for (removed, before, after) in tried {
        let changed = |page: &usize| before[page * PAGE..][..PAGE] != after[page * PAGE..][..PAGE];
        for page in (first..before.len() / PAGE).filter(changed) {
            let mut image = after.clone();
            image[page * PAGE..][..PAGE].copy_from_slice(&before[page * PAGE..][..PAGE]);
            image[BOOTS.bytes() as usize] ^= 1;
            fs::write(&copy.0, &image).unwrap();
            match open_pairs(copy.open()) {
                Ok(table) => assert_eq!(table.find(&removed).unwrap(), None, "page {page}"),
                Err(Error::Corrupt { .. }) => {}
                Err(error) => panic!("page {page}: {error}"),
            }
            images += 1;
        }
    }
    assert!(images > 5, "tags lie in pages of their own");
}

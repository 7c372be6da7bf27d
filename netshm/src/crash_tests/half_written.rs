//! Losses of power in the middle of a change: some pages are as they were before it, others as they were when the machine stopped, lock
//! words, owners and process numbers among them.

use std::collections::BTreeMap;
use std::fs;

use super::words::ends;
use super::{Case, METHODS};
use crate::error::Result;
use crate::hash_table::HashTable;
use crate::layout::header::BOOTS;
use crate::os::file::random;
use crate::testing::{Scratch, write_sparse};

type Texts = HashTable<String, String>;

const PAGE: usize = 4096;
/// Images made of each moment.
const IMAGES: u64 = 4;

/// The pages of `half` that `seed` chooses, the header's always: it is in storage before anything else changes; otherwise those of
/// `before`. The header remembers another boot.
fn image(before: &[u8], half: &[u8], seed: u64) -> Vec<u8> {
    let mut image = half.to_vec();
    let mut state = seed | 1;
    for (number, page) in image.chunks_mut(PAGE).enumerate().skip(1) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state >> 33 & 1 == 0 {
            let old = before.get(number * PAGE..).unwrap_or_default();
            let length = old.len().min(page.len());
            page[..length].copy_from_slice(&old[..length]);
            page[length..].fill(0);
        }
    }
    image[BOOTS.0 as usize] ^= 1;
    image
}

fn use_it(table: &Texts) -> Result<()> {
    let report = table.check()?;
    assert!(report.is_clean(), "{report}");
    let content = table.scan().collect::<Result<BTreeMap<_, _>>>()?;
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

/// Whatever of it is there: an error, or a sound object, in bounded time.
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
        let (mut sound, mut damaged) = (0, 0);
        for step in (0..).step_by(7) {
            let copy = Scratch::new();
            let stopped = case.stopped(&prepared, &copy, step);
            let half = fs::read(&copy.0).unwrap();
            for number in 0..IMAGES {
                let seed = seed.wrapping_add(step * IMAGES + number);
                // The file stays the same, so that it is taken for no copy.
                write_sparse(&copy.0, &image(&prepared, &half, seed));
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
                    Err(crate::error::Error::Corrupt { .. }) => damaged += 1,
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

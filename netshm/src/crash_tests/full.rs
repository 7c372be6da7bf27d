//! Removals in an object that is full, where the log may be too short for the frees at the end of a change.

use super::{Case, METHODS, stride_for};
use crate::check::Report;
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::shm::Shm;
use crate::testing::{Image, Scratch};

type Texts = HashTable<String, String>;

fn fill(table: &Texts) -> Result<()> {
    for i in 0..5000 {
        match table.add(&format!("k{i}"), &"v".repeat(i * 13 % 700)) {
            Ok(()) => {}
            Err(Error::Full { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    panic!("it is not full");
}

fn dump(table: &Texts) -> Result<Vec<(String, String)>> {
    let mut all = table.scan().collect::<Result<Vec<_>>>()?;
    all.sort_unstable();
    Ok(all)
}

/// Returns what a check finds but for lost memory, which a writer killed while it frees late leaves.
fn check_but_for_losses(table: &Texts) -> Result<Report> {
    let mut report = table.check()?;
    report.lost = 0;
    report.findings.retain(|finding| !finding.what.contains(" is lost"));
    Ok(report)
}

#[test]
fn removals_in_a_full_object() {
    type Act<'a> = &'a dyn Fn(&Texts) -> Result<()>;
    let remove = |table: &Texts, from: u32, to: u32| -> Result<()> {
        match table.group(|| (from..to).try_for_each(|i| table.remove(&format!("k{i}")).map(drop))) {
            // It may be refused as a whole, where there is no memory left for its log.
            Err(Error::Full { .. }) => Ok(()),
            outcome => outcome,
        }
    };
    let acts: [(&str, Act<'_>); 3] = [
        ("clear", &|table| table.clear()),
        ("a few removals in a group", &|table| remove(table, 0, 8)),
        ("many removals in a group", &|table| remove(table, 0, 40)),
    ];
    for locking in METHODS {
        let open =
            |shm: Shm| Texts::options().locking(locking).stripes(4).slots(2).init(1).max_size(1 << 17).manage(shm);
        for (name, act) in acts {
            let name = format!("full, {name}, {locking}");
            let case = Case { name, open: &open, prepare: &fill, act, dump: &dump, check: &check_but_for_losses };
            let prepared = case.prepared();
            let prepared = Image::of(&prepared);
            let both = case.both(&prepared);
            for step in (0..).step_by(stride_for(locking, 11) as usize) {
                let copy = Scratch::new();
                let stopped = case.stopped(&prepared, &copy, step);
                let table = open(copy.open()).unwrap();
                let assert_sound = || {
                    assert!(both.contains(&dump(&table).unwrap()), "{}, step {step}", case.name);
                    let report = check_but_for_losses(&table).unwrap();
                    assert!(report.is_clean(), "{}, step {step}: {report}", case.name);
                };
                assert_sound();
                act(&table).unwrap();
                assert_sound();
                if !stopped {
                    break;
                }
            }
        }
    }
}

//! `netshm gc`.

use std::fs;
use std::thread;
use std::time::{Duration, SystemTime};

use glob::Pattern;
use netshm::inspect::KernelLocks;
use netshm::{Error, ShmName};
use serde_json::{Value as Json, json};

use super::ls::{self, Listed};
use crate::args::{Gc, StateName};
use crate::failure::{Failure, say};
use crate::names::Place;
use crate::output::{Columns, Output, bytes, count, counted};

/// Attempts at an object that somebody has open, but not managed.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(30);

/// Returns whether a pattern stands for a name, with or without what it begins with.
fn matches(pattern: &Pattern, name: &ShmName) -> bool {
    let text = name.to_string();
    let path = text.split_once(':').map_or(&*text, |(_, rest)| rest);
    let last = path.rsplit('/').next().unwrap_or(path);
    pattern.matches(&text) || pattern.matches(path) || pattern.matches(last)
}

/// Returns how long ago the file was written to, as far as the system notices; writing through memory is not always noticed.
fn age(name: &ShmName) -> Option<Duration> {
    let status = fs::metadata(name.path()).ok()?;
    SystemTime::now().duration_since(status.modified().ok()?).ok()
}

fn in_words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Deletes an object. Whoever only looks at it at this moment, as `netshm ls` does, is waited for.
fn delete(name: &ShmName) -> netshm::Result<()> {
    let mut attempts = 0;
    loop {
        match name.unlink_unused() {
            Err(Error::InUse { .. }) if attempts < ATTEMPTS => {
                attempts += 1;
                thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// An object that has been deleted, or would be.
struct Unused {
    listed: Listed,
    age: Option<Duration>,
}

impl Unused {
    fn freed(&self) -> u64 {
        self.listed.allocated.unwrap_or(self.listed.size)
    }
}

pub(crate) fn run(args: &Gc, out: &mut Output) -> Result<(), Failure> {
    let dry = args.dry_run || (!args.delete && out.is_terminal());
    let is_bounded = !args.patterns.is_empty() || args.older_than.is_some();
    if !dry && !is_bounded {
        return Err(Failure::with_tip(
            "which objects should be deleted?",
            "give a pattern ('*' stands for all) or `--older-than`; `--dry-run` shows what would be deleted",
        ));
    }
    let (unused, complete) = collect(args, dry)?;
    let freed = unused.iter().fold(0u64, |sum, unused| sum.saturating_add(unused.freed()));
    if out.json() {
        let objects: Vec<_> = unused.iter().map(as_json).collect();
        out.json_document(&json!({"dry_run": dry, "freed": freed, "objects": objects}))?;
    } else {
        show(&unused, out)?;
        let objects = counted(unused.len() as u64, "object", "objects");
        match dry {
            true => {
                out.line(format_args!("would delete {objects}, {} (dry run; `--delete` deletes them)", bytes(freed)))?
            }
            false => out.line(format_args!("deleted {objects}, {}", bytes(freed)))?,
        }
    }
    if complete { Ok(()) } else { out.flush().and(Err(Failure::Said)) }
}

/// Finds the unused objects that are asked for, and deletes them unless it is a dry run. Returns them, and whether nothing failed.
fn collect(args: &Gc, dry: bool) -> Result<(Vec<Unused>, bool), Failure> {
    let kernel = KernelLocks::read();
    let (mut found, mut complete) = (Vec::new(), true);
    let default = [Place::posix()];
    for place in if args.places.is_empty() { &default[..] } else { &args.places } {
        for name in place.candidates()? {
            let age = age(&name);
            let is_wanted = args.patterns.is_empty() || args.patterns.iter().any(|pattern| matches(pattern, &name));
            let is_old = args.older_than.is_none_or(|least| age.is_some_and(|age| age >= least));
            if !is_wanted || !is_old {
                continue;
            }
            let Ok(Some(listed)) = ls::look(&name, &kernel) else { continue };
            if !matches!(listed.state, StateName::Orphaned | StateName::Idle | StateName::NeedsRecovery) {
                continue;
            }
            if !dry {
                match delete(&name) {
                    Ok(()) => {}
                    // Somebody has it open, or it is gone.
                    Err(Error::InUse { .. } | Error::NotNetshm { .. } | Error::Replaced { .. }) => continue,
                    Err(error) => {
                        complete = false;
                        say(&error.to_string(), None);
                        continue;
                    }
                }
            } else if listed.users.is_some_and(|users| users > 0) {
                continue;
            }
            found.push(Unused { listed, age });
        }
    }
    Ok((found, complete))
}

fn as_json(Unused { listed, age }: &Unused) -> Json {
    json!({
        "name": listed.name.to_string(),
        "state": listed.state.text(),
        "size": listed.size,
        "allocated": listed.allocated,
        "age": age.map(|age| age.as_secs()),
    })
}

fn show(objects: &[Unused], out: &mut Output) -> Result<(), Failure> {
    let mut columns = Columns::new(&["NAME", ">ROWS", ">ALLOCATED", ">AGE", "STATE"]);
    for unused @ Unused { listed, age } in objects {
        columns.row([
            (listed.name.to_string(), None),
            (listed.rows.map_or_else(|| "-".to_owned(), count), None),
            (bytes(unused.freed()), None),
            (age.map_or_else(|| "-".to_owned(), in_words), None),
            (listed.state.text().to_owned(), ls::color_of(listed.state)),
        ]);
    }
    if !columns.is_empty() {
        out.table(&columns)?;
        out.line("")?;
    }
    Ok(())
}

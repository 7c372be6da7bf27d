//! `netshm check`, `repair`, `copy`, `sync` and `compact`.

use netshm::inspect::{Inspector, MemberState};
use netshm::{Report, Shm, ShmName};
use serde_json::{Value as Json, json};

use super::change::confirm;
use crate::args::{Check, Compact, Copy, Repair, Sync};
use crate::failure::{Failure, say};
use crate::output::{Output, bytes, counted};
use crate::rows::{Access, Rows, shown};

/// Number of times that a check is repeated while others write.
const CHECKS: u32 = 5;

/// Returns the findings of the checks of all members, each once.
fn inspect(name: &ShmName, access: Access) -> Result<Report, Failure> {
    let members = Inspector::open(name)?.look()?.members;
    let mut whole: Option<Report> = None;
    for member in &members {
        let report = check_member(name, member, access)?;
        match &mut whole {
            None => whole = Some(report),
            Some(whole) => {
                let new = report.findings.into_iter().filter(|finding| !whole.findings.contains(finding));
                let new: Vec<_> = new.collect();
                whole.findings.extend(new);
                whole.disturbed |= report.disturbed;
            }
        }
    }
    whole.ok_or_else(|| Failure::message(format!("{name}: has no members")))
}

fn check_member(name: &ShmName, member: &MemberState, access: Access) -> Result<Report, Failure> {
    let shm = Shm::options().read_only(access == Access::Read).open(name)?;
    let rows = Rows::of(shm, member)?;
    let mut attempts = 0;
    loop {
        let report = match &rows {
            Rows::Table(table) => table.check()?,
            Rows::Array(array) => array.check()?,
        };
        attempts += 1;
        if !report.disturbed || attempts == CHECKS {
            return Ok(report);
        }
    }
}

pub(crate) fn check(args: &Check, out: &mut Output) -> Result<(), Failure> {
    let access = if args.lock { Access::Write } else { Access::Read };
    let mut sound = true;
    let mut documents = Vec::new();
    for name in &args.names {
        match inspect(name, access) {
            Ok(report) => {
                // What was seen while others wrote proves nothing.
                let is_clean = report.is_clean() || report.disturbed;
                sound &= is_clean;
                if out.json() {
                    let mut document = serde_json::to_value(&report)?;
                    document["name"] = name.to_string().into();
                    document["clean"] = report.is_clean().into();
                    documents.push(document);
                } else if args.names.len() == 1 || !is_clean {
                    out.line(format_args!("{name}: {report}"))?;
                } else {
                    out.line(format_args!("{name}: nothing is wrong"))?;
                }
            }
            // The output, or the rest of the command.
            Err(failure @ (Failure::Io(..) | Failure::Said)) => return Err(failure),
            Err(failure) => {
                sound = false;
                if out.json() {
                    documents.push(json!({"name": name.to_string(), "clean": false, "error": failure.text()}));
                }
                out.flush()?;
                if args.names.len() == 1 {
                    if out.json() {
                        out.json_document(&documents)?;
                        out.flush()?;
                    }
                    return Err(failure);
                }
                say(&failure.text(), None);
            }
        }
    }
    if out.json() {
        out.json_document(&documents)?;
    }
    if sound { Ok(()) } else { out.flush().and(Err(Failure::Said)) }
}

fn document(repair: &netshm::Repair) -> Result<Json, Failure> {
    Ok(json!({
        "saved": repair.saved,
        "dropped": repair.dropped,
        "found": repair.found,
        "before": serde_json::to_value(&repair.before)?,
    }))
}

pub(crate) fn repair(args: &Repair, out: &mut Output) -> Result<(), Failure> {
    let name = &args.object.name;
    confirm(args.yes, &format!("replace {name} by a new object with all that is sound in it"))?;
    let repair = netshm::repair(name)?;
    if out.json() {
        return out.json_document(&document(&repair)?);
    }
    out.line(format_args!(
        "saved {}, of which the index had lost {}; {} led to nothing sound and were dropped",
        counted(repair.saved, "row", "rows"),
        repair.found,
        counted(repair.dropped, "reference", "references")
    ))
}

pub(crate) fn copy(args: &Copy, out: &mut Output) -> Result<(), Failure> {
    Shm::open(&args.object.name)?.copy_to(&args.to)?;
    if out.json() {
        return out.json_document(&json!({"name": args.to.to_string(), "size": size(&args.to)?.0}));
    }
    Ok(())
}

pub(crate) fn sync(args: &Sync) -> Result<(), Failure> {
    let mut failed = None;
    for name in &args.names {
        // The others are synchronised nevertheless.
        if let Err(failure) = sync_one(name)
            && let Some(earlier) = failed.replace(failure)
        {
            let _ = earlier.report();
        }
    }
    failed.map_or(Ok(()), Err)
}

fn sync_one(name: &ShmName) -> Result<(), Failure> {
    // Through any member: it is the whole object that is written back.
    let members = Inspector::open(name)?.look()?.members;
    let shm = Shm::open(name)?;
    match members.first() {
        None => Ok(()),
        Some(member) => match Rows::of(shm, member)? {
            Rows::Table(table) => Ok(table.sync()?),
            Rows::Array(array) => Ok(array.sync()?),
        },
    }
}

/// Returns the size and the allocated bytes.
fn size(name: &ShmName) -> Result<(u64, u64), Failure> {
    let snapshot = Inspector::open(name)?.look()?;
    Ok((snapshot.size, snapshot.allocated))
}

pub(crate) fn compact(args: &Compact, out: &mut Output) -> Result<(), Failure> {
    let name = &args.object.name;
    let report = inspect(name, Access::Write)?;
    if !report.is_clean() {
        out.line(format_args!("{name}: {report}"))?;
        out.flush()?;
        return Err(Failure::with_tip(
            format!("{name}: is damaged, so it was left as it is"),
            format!("`netshm repair {}` saves what is sound", shown(&name.to_string())),
        ));
    }
    let before = size(name)?;
    let repair = netshm::repair(name)?;
    let after = size(name)?;
    if out.json() {
        return out.json_document(&json!({
            "rows": repair.saved,
            "size_before": before.0,
            "allocated_before": before.1,
            "size": after.0,
            "allocated": after.1,
        }));
    }
    out.line(format_args!(
        "{} before, {} now; {}",
        bytes(before.1),
        bytes(after.1),
        counted(repair.saved, "row", "rows")
    ))
}

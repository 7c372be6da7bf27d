//! `netshm stat`.

use netshm::inspect::{Inspector, Snapshot};
use serde_json::{Value as Json, json};

use super::ls::state_name;
use super::members;
use crate::args::Stat;
use crate::failure::Failure;
use crate::output::{Columns, Output, bytes, count, counted};
use crate::rows::shown;

pub(crate) fn run(args: &Stat, out: &mut Output) -> Result<(), Failure> {
    let snapshot = Inspector::open(&args.object.name)?.look()?;
    if out.json() {
        return out.json_document(&document(&snapshot, args.stripes));
    }
    let size = |size: u64| if args.bytes { size.to_string() } else { bytes(size) };
    out.field("name", &snapshot.name)?;
    out.field("id", format!("{:032x}", snapshot.id))?;
    out.field("state", state_name(snapshot.state).text())?;
    out.field(
        "size",
        format!("{}, {} allocated, at most {}", size(snapshot.size), size(snapshot.allocated), size(snapshot.max_size)),
    )?;
    out.field("locking", snapshot.locking)?;
    out.field("pagesize", snapshot.pagesize)?;
    out.field("synced", if snapshot.dirty { "no: written to since the last sync" } else { "yes" })?;
    if let Some(users) = snapshot.users {
        out.field("users", users)?;
    }
    let slots = format!("{} of {} slots in use", snapshot.writers.len(), snapshot.slots);
    out.field("writers", slots)?;
    let stripes = snapshot.stripes.len().saturating_sub(1);
    out.field("stripes", format!("{stripes} of {}", count(snapshot.stripe_room.into())))?;
    for process in &snapshot.processes {
        let fate = if process.is_alive { "" } else { ", dead" };
        out.field(
            "process",
            format!(
                "{} (number {}{fate}) {}",
                process.pid,
                process.number,
                super::command_of(process, super::short_command)
            ),
        )?;
    }
    out.line("")?;
    members::show(&snapshot.members, out)?;
    if args.stripes {
        out.line("")?;
        stripes_table(&snapshot, out)?;
    }
    if !snapshot.rings.is_empty() || snapshot.holds.iter().any(|hold| !hold.is_alive) {
        let locks = counted(snapshot.holds.len() as u64, "lock is held", "locks are held");
        out.line(format!("\n{locks}; see `netshm locks {}`", snapshot.name))?;
    }
    Ok(())
}

fn stripes_table(snapshot: &Snapshot, out: &mut Output) -> Result<(), Failure> {
    let mut columns = Columns::new(&[">STRIPE", "MEMBER", ">KEYS", ">BINDINGS", ">CHANGES", "HOLDER"]);
    for (number, stripe) in (0..).zip(&snapshot.stripes) {
        let member = match snapshot.member_of(number) {
            Some(member) => shown(&member.name),
            None if number == 0 => "(memory)".to_owned(),
            None => "-".to_owned(),
        };
        let holder = match stripe.holder.map(|slot| snapshot.process_of(slot)) {
            Some(Some(process)) => format!("process {}", process.pid),
            Some(None) => "a dead writer".to_owned(),
            None => "-".to_owned(),
        };
        let cells =
            [number.to_string(), member, count(stripe.keys), count(stripe.bindings), count(stripe.changes), holder];
        columns.row(cells.map(|text| (text, None)));
    }
    out.table(&columns)
}

fn document(snapshot: &Snapshot, with_stripes: bool) -> Json {
    let process = |process: &netshm::inspect::Process| {
        json!({
            "number": process.number,
            "pid": process.pid,
            "alive": process.is_alive,
            "command": super::command_of(process, super::command_line),
        })
    };
    let mut document = json!({
        "name": snapshot.name.to_string(),
        "id": format!("{:032x}", snapshot.id),
        "state": state_name(snapshot.state).text(),
        "size": snapshot.size,
        "allocated": snapshot.allocated,
        "max_size": snapshot.max_size,
        "locking": snapshot.locking.to_string(),
        "pagesize": snapshot.pagesize,
        "dirty": snapshot.dirty,
        "users": snapshot.users,
        "writers": snapshot.writers.len(),
        "slots": snapshot.slots,
        "stripes_used": snapshot.stripes.len(),
        "stripe_room": snapshot.stripe_room,
        "processes": snapshot.processes.iter().map(process).collect::<Vec<_>>(),
        "members": snapshot.members.iter().map(members::document).collect::<Vec<_>>(),
    });
    if with_stripes {
        let stripes = (0..).zip(&snapshot.stripes).map(|(number, stripe)| {
            json!({
                "stripe": number,
                "member": snapshot.member_of(number).map(|member| &member.name),
                "keys": stripe.keys,
                "bindings": stripe.bindings,
                "changes": stripe.changes,
                "changing": stripe.is_changing,
            })
        });
        document["stripes"] = stripes.collect();
    }
    document
}

//! `netshm locks`.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use comfy_table::Color;
use netshm::ShmName;
use netshm::inspect::{Hold, Inspector, KernelLocks, Ring, Snapshot, State, Wait};
use serde_json::{Value as Json, json};

use super::{command_line, short_command};
use crate::args::Locks;
use crate::failure::Failure;
use crate::names::Place;
use crate::output::{Columns, Output, TITLE};
use crate::rows::shown;

/// Looks while it watches an object: enough to notice that a lock was released in between.
const LOOKS: u32 = 5;

/// Since when what is held, and what is waited for, has been seen without a change.
#[derive(Debug, Default)]
pub(crate) struct Since {
    holds: HashMap<HoldKey, Instant>,
    waits: HashMap<WaitKey, Instant>,
}

/// A hold: stripe, slot, process, and the changes so far.
type HoldKey = (u32, Option<u32>, Option<u32>, u64);
/// A wait: stripe, slot, process, and the waits so far.
type WaitKey = (u32, Option<u32>, Option<u32>, u16);

fn hold_key(snapshot: &Snapshot, hold: &Hold) -> HoldKey {
    let changes = snapshot.stripes.get(hold.stripe as usize).map_or(0, |stripe| stripe.changes);
    (hold.stripe, hold.slot, hold.pid, changes)
}

fn wait_key(snapshot: &Snapshot, wait: &Wait) -> WaitKey {
    let count = wait.slot.and_then(|slot| snapshot.wait_counts.get(slot as usize)).copied();
    (wait.stripe, wait.slot, wait.pid, count.unwrap_or(0))
}

impl Since {
    /// Notes what is there now, and forgets what is gone.
    pub(crate) fn note(&mut self, snapshot: &Snapshot, now: Instant) {
        let holds = snapshot.holds.iter().map(|hold| hold_key(snapshot, hold));
        self.holds = holds.map(|key| (key, self.holds.get(&key).copied().unwrap_or(now))).collect();
        let waits = snapshot.waits.iter().map(|wait| wait_key(snapshot, wait));
        self.waits = waits.map(|key| (key, self.waits.get(&key).copied().unwrap_or(now))).collect();
    }

    /// Returns how long it has been held, at least.
    pub(crate) fn hold(&self, snapshot: &Snapshot, hold: &Hold, now: Instant) -> Duration {
        let seen = self.holds.get(&hold_key(snapshot, hold)).map_or(Duration::ZERO, |since| now - *since);
        seen.max(hold.held.unwrap_or_default())
    }

    /// Returns how long it has waited, at least.
    pub(crate) fn wait(&self, snapshot: &Snapshot, wait: &Wait, now: Instant) -> Duration {
        let seen = self.waits.get(&wait_key(snapshot, wait)).map_or(Duration::ZERO, |since| now - *since);
        seen.max(wait.waited.unwrap_or_default())
    }
}

/// Formats a duration that is a lower bound: rounded down.
pub(crate) fn at_least(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{}.{} s", duration.as_secs(), duration.subsec_millis() / 100),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Returns the member that a stripe belongs to.
pub(crate) fn place_of(snapshot: &Snapshot, stripe: u32) -> String {
    match snapshot.member_of(stripe) {
        Some(member) => shown(&member.name),
        None if stripe == 0 => "(memory of the object)".to_owned(),
        None => "(no member)".to_owned(),
    }
}

pub(crate) fn holder(hold: &Hold) -> String {
    match (hold.pid, hold.is_alive) {
        (Some(pid), true) => format!("process {pid}"),
        (Some(pid), false) => format!("process {pid}, dead"),
        (None, _) => "a dead writer".to_owned(),
    }
}

/// Shows a process, of which only its number may be known.
pub(crate) fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another writer".to_owned(), |pid| format!("process {pid}"))
}

/// An object as it was seen.
struct Seen {
    snapshot: Snapshot,
    since: Since,
    now: Instant,
}

/// Looks at the objects several times, so that it is known what lasts.
fn watch(inspectors: &[Inspector], during: Duration) -> Result<Vec<Seen>, Failure> {
    let mut seen: Vec<Seen> = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            thread::sleep(during / (LOOKS - 1));
        }
        let kernel = KernelLocks::read();
        for (index, inspector) in inspectors.iter().enumerate() {
            let (snapshot, now) = (inspector.look_with(&kernel)?, Instant::now());
            let mut since = seen.get_mut(index).map(|seen| std::mem::take(&mut seen.since)).unwrap_or_default();
            since.note(&snapshot, now);
            let new = Seen { snapshot, since, now };
            match seen.get_mut(index) {
                Some(old) => *old = new,
                None => seen.push(new),
            }
        }
    }
    Ok(seen)
}

pub(crate) fn run(args: &Locks, out: &mut Output) -> Result<(), Failure> {
    // Without names, an object that vanishes meanwhile is no failure.
    let inspectors = match args.names.is_empty() {
        true => in_use()?,
        false => args.names.iter().map(Inspector::open).collect::<Result<_, _>>()?,
    };
    let seen = watch(&inspectors, Duration::from_secs_f64(args.during))?;
    if out.json() {
        let documents: Vec<_> = seen.iter().map(document).collect();
        return out.json_document(&documents);
    }
    let is_one = args.names.len() == 1;
    let mut any = false;
    for seen in &seen {
        let is_quiet = seen.snapshot.holds.is_empty() && seen.snapshot.waits.is_empty();
        if is_quiet && !is_one {
            continue;
        }
        if any {
            out.line("")?;
        }
        any = true;
        if !is_one {
            out.line(format_args!("{TITLE}{}{TITLE:#}", seen.snapshot.name))?;
        }
        match is_quiet {
            true => out.line("no locks are held")?,
            false => show(seen, out)?,
        }
    }
    if any { Ok(()) } else { out.line("no locks are held") }
}

/// Returns the objects in shared memory that somebody uses.
fn in_use() -> Result<Vec<Inspector>, Failure> {
    let kernel = KernelLocks::read();
    let used = |name: ShmName| {
        let inspector = Inspector::open(&name).ok()?;
        let snapshot = inspector.look_with(&kernel).ok()?;
        // Locks of dead writers bother nobody as long as nobody uses the object.
        let is_used = snapshot.users.map_or(snapshot.state == State::InUse, |users| users > 0);
        is_used.then_some(inspector)
    };
    Ok(Place::posix().candidates()?.into_iter().filter_map(used).collect())
}

fn show(seen: &Seen, out: &mut Output) -> Result<(), Failure> {
    let Seen { snapshot, since, now } = seen;
    let mut columns = Columns::new(&[">STRIPE", "MEMBER", "WHO", "DOES", ">FOR AT LEAST", "COMMAND"]);
    let mut waits = snapshot.waits.clone();
    for hold in &snapshot.holds {
        let what = if hold.is_shared { "reads" } else { "holds it" };
        columns.row([
            (hold.stripe.to_string(), None),
            (place_of(snapshot, hold.stripe), None),
            (holder(hold), Some(if hold.is_alive { Color::Green } else { Color::Yellow })),
            (what.to_owned(), None),
            (at_least(since.hold(snapshot, hold, *now)), None),
            (hold.pid.filter(|_| hold.is_alive).map(short_command).unwrap_or_default(), None),
        ]);
        // Its waiters, unless another hold of the stripe follows.
        let last = snapshot.holds.iter().rfind(|other| other.stripe == hold.stripe) == Some(hold);
        if last {
            let (here, others) = waits.into_iter().partition(|wait| wait.stripe == hold.stripe);
            waits = others;
            rows_of(&here, seen, &mut columns);
        }
    }
    rows_of(&waits, seen, &mut columns);
    out.table(&columns)?;
    for ring in &snapshot.rings {
        out.line("")?;
        show_ring(snapshot, ring, out)?;
    }
    Ok(())
}

fn rows_of(waits: &[Wait], seen: &Seen, columns: &mut Columns) {
    let Seen { snapshot, since, now } = seen;
    for wait in waits {
        columns.row([
            (wait.stripe.to_string(), None),
            (place_of(snapshot, wait.stripe), None),
            (process(wait.pid), None),
            ("waits".to_owned(), Some(Color::Yellow)),
            (at_least(since.wait(snapshot, wait, *now)), None),
            (wait.pid.map(short_command).unwrap_or_default(), None),
        ]);
    }
}

fn show_ring(snapshot: &Snapshot, ring: &Ring, out: &mut Output) -> Result<(), Failure> {
    const ALARM: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
    let many = ring.waits.len();
    out.line(format_args!("{ALARM}deadlock{ALARM:#} of {many} writers; one of them will have to give way:"))?;
    for (index, wait) in ring.waits.iter().enumerate() {
        let next = &ring.waits[(index + 1) % many];
        let command = wait.pid.map(short_command).unwrap_or_default();
        let place = place_of(snapshot, wait.stripe);
        out.line(format_args!("  {} ({command})", process(wait.pid)))?;
        out.line(format_args!("    waits for stripe {} of {place}, held by {}", wait.stripe, process(next.pid)))?;
    }
    Ok(())
}

fn document(seen: &Seen) -> Json {
    let Seen { snapshot, since, now } = seen;
    let member = |stripe| snapshot.member_of(stripe).map(|member| &member.name);
    let hold = |hold: &Hold| {
        json!({
            "stripe": hold.stripe,
            "member": member(hold.stripe),
            "slot": hold.slot,
            "pid": hold.pid,
            "alive": hold.is_alive,
            "shared": hold.is_shared,
            "seconds": since.hold(snapshot, hold, *now).as_secs_f64(),
            "command": hold.pid.filter(|_| hold.is_alive).map(command_line),
        })
    };
    let wait = |wait: &Wait| {
        json!({
            "stripe": wait.stripe,
            "member": member(wait.stripe),
            "slot": wait.slot,
            "pid": wait.pid,
            "seconds": since.wait(snapshot, wait, *now).as_secs_f64(),
            "command": wait.pid.map(command_line),
        })
    };
    let ring = |ring: &Ring| {
        let held_by = ring.waits.iter().cycle().skip(1);
        let pairs = ring.waits.iter().zip(held_by);
        let links = pairs.map(|(wait, holder)| {
            json!({
                "pid": wait.pid,
                "slot": wait.slot,
                "waits_for_stripe": wait.stripe,
                "member": member(wait.stripe),
                "held_by_pid": holder.pid,
                "held_by_slot": holder.slot,
            })
        });
        links.collect::<Json>()
    };
    json!({
        "name": snapshot.name.to_string(),
        "locking": snapshot.locking.to_string(),
        "holds": snapshot.holds.iter().map(hold).collect::<Vec<_>>(),
        "waits": snapshot.waits.iter().map(wait).collect::<Vec<_>>(),
        "deadlocks": snapshot.rings.iter().map(ring).collect::<Vec<_>>(),
    })
}

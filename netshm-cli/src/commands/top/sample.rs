//! What happened to an object between two looks.

use std::time::{Duration, Instant};

use netshm::inspect::{Inspector, Snapshot};
use serde_json::{Value as Json, json};

use crate::commands::locks::{Since, at_least, holder, place_of, process};
use crate::commands::ls::state_name;
use crate::commands::{command_line, command_of, short_command};
use crate::failure::Failure;
use crate::output::{bytes, count};
use crate::rows::shown;

/// Looks at an object again and again.
pub(super) struct Sampler {
    inspector: Inspector,
    last: (Snapshot, Instant),
    since: Since,
}

/// Two looks, and the time between them.
pub(super) struct Sample {
    before: Snapshot,
    pub(super) now: Snapshot,
    time: Duration,
    /// For how long what is held and waited for has been seen.
    holds: Vec<Duration>,
    waits: Vec<Duration>,
}

/// A table for a person.
pub(super) struct Cells {
    pub(super) titles: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

impl Sampler {
    pub(super) fn new(inspector: Inspector) -> Result<Sampler, Failure> {
        let last = (inspector.look()?, Instant::now());
        let mut since = Since::default();
        since.note(&last.0, last.1);
        Ok(Sampler { inspector, last, since })
    }

    /// Returns what has happened since the last call.
    pub(super) fn next(&mut self) -> Result<Sample, Failure> {
        let (now, at) = (self.inspector.look()?, Instant::now());
        self.since.note(&now, at);
        let holds = now.holds.iter().map(|hold| self.since.hold(&now, hold, at)).collect();
        let waits = now.waits.iter().map(|wait| self.since.wait(&now, wait, at)).collect();
        let (before, then) = std::mem::replace(&mut self.last, (now.clone(), at));
        Ok(Sample { before, now, time: at - then, holds, waits })
    }
}

impl Sample {
    fn a_second(&self, number: u64) -> f64 {
        number as f64 / self.time.as_secs_f64().max(1e-6)
    }

    /// Changes a second in each stripe.
    pub(super) fn stripe_rates(&self) -> Vec<f64> {
        let before = |stripe: usize| self.before.stripes.get(stripe).map_or(0, |stripe| stripe.changes);
        let stripes = self.now.stripes.iter().enumerate();
        stripes.map(|(number, stripe)| self.a_second(stripe.changes.saturating_sub(before(number)))).collect()
    }

    fn member_rates(&self) -> Vec<f64> {
        let rates = self.stripe_rates();
        let own = |stripes: &std::ops::Range<u32>| {
            rates.get(stripes.start as usize..stripes.end as usize).unwrap_or_default().iter().sum()
        };
        self.now.members.iter().map(|member| own(&member.stripes)).collect()
    }

    /// Waits for locks that began, a second. Those that ended within microseconds do not count.
    fn wait_rate(&self) -> f64 {
        let counts = self.now.wait_counts.iter().zip(&self.before.wait_counts);
        let waits = counts.map(|(now, before)| u64::from(now.wrapping_sub(*before) & 0x7FFF)).sum();
        self.a_second(waits)
    }

    pub(super) fn head(&self) -> Vec<(&'static str, String)> {
        let now = &self.now;
        let users = now.users.map_or_else(|| "?".to_owned(), |users| users.to_string());
        vec![
            ("object", format!("{}, {}", now.name, state_name(now.state).text())),
            (
                "size",
                format!("{}, {} allocated, at most {}", bytes(now.size), bytes(now.allocated), bytes(now.max_size)),
            ),
            ("users", format!("{users}; {} of {} slots in use", now.writers.len(), now.slots)),
            (
                "changes",
                format!(
                    "{} a second; {} waits a second, {} now",
                    rate(self.member_rates().iter().sum()),
                    rate(self.wait_rate()),
                    now.waits.len()
                ),
            ),
        ]
    }

    pub(super) fn members(&self) -> Cells {
        let rates = self.member_rates();
        let stripes = self.stripe_rates();
        let busiest = |own: &std::ops::Range<u32>| {
            let of = |stripe: &u32| stripes.get(*stripe as usize).copied().unwrap_or(0.0);
            let found = own.clone().max_by(|a, b| of(a).total_cmp(&of(b))).filter(|stripe| of(stripe) > 0.0);
            found.map_or_else(|| "-".to_owned(), |stripe| format!("{stripe} ({}/s)", rate(of(&stripe))))
        };
        let rows = self.now.members.iter().zip(rates).map(|(member, changes)| {
            vec![
                shown(&member.name),
                count(member.rows),
                rate(changes),
                member.stripes.len().to_string(),
                busiest(&member.stripes),
            ]
        });
        Cells { titles: &["MEMBER", ">ROWS", ">CHANGES/S", ">STRIPES", "BUSIEST STRIPE"], rows: rows.collect() }
    }

    pub(super) fn locks(&self) -> Cells {
        let now = &self.now;
        let holds = now.holds.iter().zip(&self.holds).map(|(hold, time)| {
            vec![
                hold.stripe.to_string(),
                place_of(now, hold.stripe),
                holder(hold),
                if hold.is_shared { "reads" } else { "holds" }.to_owned(),
                at_least(*time),
                hold.pid.filter(|_| hold.is_alive).map(short_command).unwrap_or_default(),
            ]
        });
        let in_ring = |slot: Option<u32>| {
            slot.is_some() && now.rings.iter().any(|ring| ring.waits.iter().any(|wait| wait.slot == slot))
        };
        let waits = now.waits.iter().zip(&self.waits).map(|(wait, time)| {
            vec![
                wait.stripe.to_string(),
                place_of(now, wait.stripe),
                process(wait.pid),
                if in_ring(wait.slot) { "deadlocked" } else { "waits" }.to_owned(),
                at_least(*time),
                wait.pid.map(short_command).unwrap_or_default(),
            ]
        });
        let mut rows: Vec<_> = holds.chain(waits).collect();
        rows.sort_by_key(|row: &Vec<String>| row[0].parse::<u32>().unwrap_or(0));
        Cells { titles: &[">STRIPE", "MEMBER", "WHO", "DOES", ">FOR AT LEAST", "COMMAND"], rows }
    }

    pub(super) fn processes(&self) -> Cells {
        let rows = self.now.processes.iter().map(|process| {
            let writers = self.now.writers.iter().filter(|writer| writer.process == Some(*process));
            vec![
                process.pid.to_string(),
                process.number.to_string(),
                writers.count().to_string(),
                if process.is_alive { "alive" } else { "dead" }.to_owned(),
                command_of(process, short_command),
            ]
        });
        Cells { titles: &[">PROCESS", ">NUMBER", ">WRITING", "STATE", "COMMAND"], rows: rows.collect() }
    }

    /// Returns the form of `--json`.
    pub(super) fn document(&self) -> Json {
        let now = &self.now;
        let rates = self.member_rates();
        let members = now.members.iter().zip(&rates).map(|(member, changes)| {
            json!({
                "name": member.name,
                "rows": member.rows,
                "keys": member.keys,
                "changes_per_second": changes,
            })
        });
        let changed = self.stripe_rates();
        let stripes = changed.iter().enumerate().filter(|(_, changes)| **changes > 0.0).map(|(stripe, changes)| {
            json!({
                "stripe": stripe,
                "member": now.member_of(stripe as u32).map(|member| &member.name),
                "changes_per_second": changes,
            })
        });
        let holds = now.holds.iter().zip(&self.holds).map(|(hold, time)| {
            json!({"stripe": hold.stripe, "pid": hold.pid, "alive": hold.is_alive, "seconds": time.as_secs_f64()})
        });
        let waits = now
            .waits
            .iter()
            .zip(&self.waits)
            .map(|(wait, time)| json!({"stripe": wait.stripe, "pid": wait.pid, "seconds": time.as_secs_f64()}));
        let processes = now.processes.iter().map(|process| {
            json!({
                "pid": process.pid,
                "number": process.number,
                "alive": process.is_alive,
                "command": command_of(process, command_line),
            })
        });
        json!({
            "name": now.name.to_string(),
            "state": state_name(now.state).text(),
            "seconds": self.time.as_secs_f64(),
            "size": now.size,
            "allocated": now.allocated,
            "users": now.users,
            "writers": now.writers.len(),
            "changes_per_second": rates.iter().sum::<f64>(),
            "waits_per_second": self.wait_rate(),
            "members": members.collect::<Vec<_>>(),
            "stripes": stripes.collect::<Vec<_>>(),
            "holds": holds.collect::<Vec<_>>(),
            "waits": waits.collect::<Vec<_>>(),
            "deadlocks": now.rings.len(),
            "processes": processes.collect::<Vec<_>>(),
        })
    }
}

/// Formats a rate with as many digits as a person needs.
pub(super) fn rate(number: f64) -> String {
    if number < 9.95 && number > 0.0 { format!("{number:.1}") } else { count(number.round() as u64) }
}

//! The figures and the tables that are printed.

use std::collections::HashMap;
use std::fmt::Write;

use crate::peers::{ARRAY_BASELINE, BASELINE, KINDS, Kind, Scope};
use crate::workload::Workload;

/// The subject of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) workload: Workload,
    pub(crate) texts: bool,
    /// Number of workers.
    pub(crate) crowd: u64,
    /// Per mille, for latencies.
    pub(crate) percentile: u64,
}

const fn row(workload: Workload, texts: bool, crowd: u64, percentile: u64) -> Row {
    Row { workload, texts, crowd, percentile }
}

/// The rows of the table and what they are called.
pub(crate) const ROWS: [(Row, &str); 19] = [
    (row(Workload::Hit, false, 1, 0), "hit"),
    (row(Workload::Miss, false, 1, 0), "miss"),
    (row(Workload::Replace, false, 1, 0), "replace"),
    (row(Workload::Fill, false, 1, 0), "fill"),
    (row(Workload::Iterate, false, 1, 0), "iterate"),
    (row(Workload::Hit, true, 1, 0), "hit, texts"),
    (row(Workload::Miss, true, 1, 0), "miss, texts"),
    (row(Workload::Replace, true, 1, 0), "replace, texts"),
    (row(Workload::Fill, true, 1, 0), "fill, texts"),
    (row(Workload::Iterate, true, 1, 0), "iterate, texts"),
    (row(Workload::Increment, false, 2, 0), "grouped increment, by 2"),
    (row(Workload::Increment, false, 4, 0), "grouped increment, by 4"),
    (row(Workload::Mix, false, 2, 0), "95/5 mix, by 2"),
    (row(Workload::Mix, false, 4, 0), "95/5 mix, by 4"),
    (row(Workload::Latency, false, 2, 500), "mix by 2, latency 50 %"),
    (row(Workload::Latency, false, 2, 990), "mix by 2, latency 99 %"),
    (row(Workload::Latency, false, 2, 999), "mix by 2, latency 99.9 %"),
    (row(Workload::Bytes, false, 1, 0), "bytes an entry"),
    (row(Workload::Bytes, true, 1, 0), "bytes an entry, texts"),
];

const ARRAY_ROWS: [(Row, &str); 2] =
    [(row(Workload::Get, false, 1, 0), "get"), (row(Workload::Set, false, 1, 0), "set")];

/// All that was measured, one value for each run.
#[derive(Debug, Default)]
pub(crate) struct Figures(HashMap<(&'static str, Row), Vec<f64>>);

impl Figures {
    pub(crate) fn add(&mut self, peer: &'static str, row: Row, value: f64) {
        self.0.entry((peer, row)).or_default().push(value);
    }

    /// Returns the median of the runs.
    pub(crate) fn median(&self, peer: &'static str, row: Row) -> Option<f64> {
        let mut values = self.0.get(&(peer, row))?.clone();
        values.sort_unstable_by(f64::total_cmp);
        Some((values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0)
    }

    pub(crate) fn has(&self, kind: &Kind) -> bool {
        self.0.keys().any(|(peer, _)| *peer == kind.name)
    }

    /// Returns both tables as markdown.
    pub(crate) fn markdown(&self, entries: u64, runs: u32) -> String {
        let mut text = format!(
            "{entries} entries, median of {runs} runs. Nanoseconds an operation (of all workers together where there are \
             several), then the\nratio to {}; a peer that is ahead is set in bold. Numbers are `u64` to `u64`, texts \
             13 bytes to 100.\nLatencies include reading the clock, and are those of the process that fared worst.\n",
            title(BASELINE)
        );
        self.table(&mut text, &ROWS, BASELINE, |scope| scope != Scope::Cells);
        self.table(&mut text, &ARRAY_ROWS, ARRAY_BASELINE, |scope| scope == Scope::Cells);
        let mut thinned: Vec<&str> = Vec::new();
        thinned.extend(KINDS.iter().filter(|kind| kind.thinned > 1 && self.has(kind)).map(|kind| kind.title));
        if !thinned.is_empty() {
            let names = thinned.join(", ");
            let _ = writeln!(text, "\nOne run only, with fewer operations: {names}. {FILLING}");
        }
        text
    }

    fn table(&self, text: &mut String, rows: &[(Row, &str)], baseline: &'static str, wanted: impl Fn(Scope) -> bool) {
        let kinds: Vec<&Kind> = KINDS.iter().filter(|kind| wanted(kind.scope) && self.has(kind)).collect();
        if kinds.is_empty() {
            return;
        }
        let titles: Vec<&str> = kinds.iter().map(|kind| kind.title).collect();
        // Writing to a string always succeeds.
        let _ = writeln!(text, "\n| workload | {} |", titles.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(kinds.len()));
        for (row, name) in rows {
            let ours = self.median(baseline, *row);
            let cells: Vec<String> =
                kinds.iter().map(|kind| cell(self.median(kind.name, *row), ours, kind.name == baseline)).collect();
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        }
    }
}

const FILLING: &str =
    "\nFilled in one transaction: redb, SQLite and LMDB with one long transaction. Filled through a pipeline: Redis.";

pub(crate) fn title(name: &str) -> &'static str {
    KINDS.iter().find(|kind| kind.name == name).map_or("", |kind| kind.title)
}

fn cell(value: Option<f64>, ours: Option<f64>, is_baseline: bool) -> String {
    match (value, ours) {
        (None, _) => "–".to_owned(),
        (Some(value), Some(ours)) if !is_baseline => {
            let ratio = value / ours;
            let ratio = format!("{} · {}×", rounded(value), rounded(ratio));
            if value < ours { format!("**{ratio}**") } else { ratio }
        }
        (Some(value), _) => rounded(value),
    }
}

/// Rounds to at least two digits, and to no more after the point than are significant.
pub(crate) fn rounded(value: f64) -> String {
    if value < 0.1 {
        format!("{value:.2}")
    } else if value < 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

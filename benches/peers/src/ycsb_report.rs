//! The table and the picture of the YCSB workloads.

use std::fmt::Write;

use crate::measure::PERCENTILES;
use crate::peers::{BASELINE, KINDS, Kind};
use crate::picture::STYLE;
use crate::report::{Figures, Row, rounded};
use crate::workload::Workload;
use crate::ycsb::MIXES;

const CROWDS: [u64; 4] = [1, 2, 3, 4];
/// Panels: the mix, `true` for one with rows, and the title.
const PANELS: [(Workload, bool, &str); 4] = [
    (Workload::A, false, "A, numbers: half reads, half updates"),
    (Workload::B, false, "B, numbers: 95 % reads"),
    (Workload::A, true, "A, rows of 1,000 bytes"),
    (Workload::B, true, "B, rows of 1,000 bytes"),
];
const WIDTH: f64 = 960.0;
const PANEL: (f64, f64) = (WIDTH / 2.0, 340.0);
const PLOT: (f64, f64) = (360.0, 240.0);
/// Colours that tell the peers apart; the first is ours.
const COLOURS: [&str; 12] = [
    "#d1600a", "#f0a35e", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#d62728", "#393b79",
];

fn row(workload: Workload, texts: bool, crowd: u64, percentile: u64) -> Row {
    Row { workload, texts, crowd, percentile }
}

fn kinds(figures: &Figures) -> Vec<&'static Kind> {
    KINDS.iter().filter(|kind| figures.has(kind)).collect()
}

/// Returns the tables as markdown.
pub(crate) fn markdown(figures: &Figures, entries: u64, runs: u32) -> String {
    let kinds = kinds(figures);
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.title).collect();
    let mut text = format!(
        "{entries} entries, median of {runs} runs. Thousands of operations a second, of all processes (or threads) together; then the\n\
         latencies at 50, 99 and 99.9 %, in microseconds, of the process that fared worst. A peer with more operations a second than\n\
         netshm is set in bold.\n"
    );
    for (texts, data) in [(false, "numbers"), (true, "rows of 1,000 bytes")] {
        // Writing to a string always succeeds.
        let _ = writeln!(text, "\n| {data} | {} |", titles.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(kinds.len()));
        for workload in MIXES {
            for crowd in CROWDS {
                let median =
                    |kind: &Kind, percentile| figures.median(kind.name, row(workload, texts, crowd, percentile));
                let ours = figures.median(BASELINE, row(workload, texts, crowd, 0));
                let cell = |kind: &&Kind| {
                    let Some(time) = median(kind, 0) else { return "–".to_owned() };
                    let latencies =
                        PERCENTILES.map(|part| rounded(median(kind, part).unwrap_or(0.0) / 1000.0)).join(" / ");
                    let cell = format!("{} · {latencies}", rounded(1e6 / time));
                    if ours.is_some_and(|ours| time < ours) { format!("**{cell}**") } else { cell }
                };
                let cells: Vec<String> = kinds.iter().map(cell).collect();
                let _ = writeln!(text, "| {workload} by {crowd} | {} |", cells.join(" | "));
            }
        }
    }
    text
}

/// Draws throughput against latency: a line for each peer, from one process to four.
pub(crate) fn draw(figures: &Figures) -> String {
    let kinds = kinds(figures);
    let height = PANEL.1 * 2.0 + 24.0 * kinds.len().div_ceil(4) as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Throughput against latency\">\n<style>{STYLE}\npolyline {{ fill: none; stroke-width: 2 }}\n</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n"
    );
    for (place, (workload, texts, title)) in PANELS.into_iter().enumerate() {
        let corner = ((place % 2) as f64 * PANEL.0 + 70.0, (place / 2) as f64 * PANEL.1 + 40.0);
        panel(&mut svg, figures, &kinds, corner, title, (workload, texts));
    }
    for (place, kind) in kinds.iter().enumerate() {
        let (x, y) = ((place % 4) as f64 * 230.0 + 30.0, PANEL.1 * 2.0 + 20.0 + (place / 4) as f64 * 24.0);
        let title = kind.title.replace('<', "&lt;").replace('>', "&gt;");
        let _ =
            writeln!(svg, "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{}\"/>", y - 6.0, colour(place));
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{y}\">{title}</text>", x + 20.0);
    }
    let note = "from one process to four (the dot); both scales are logarithmic; right and down is better";
    let _ = writeln!(svg, "<text class=\"note\" x=\"12\" y=\"{}\">{note}</text>\n</svg>", height - 10.0);
    svg
}

fn colour(place: usize) -> &'static str {
    COLOURS[place % COLOURS.len()]
}

fn panel(
    svg: &mut String,
    figures: &Figures,
    kinds: &[&Kind],
    (left, top): (f64, f64),
    title: &str,
    (workload, texts): (Workload, bool),
) {
    // Operations a second from 10^3 to 10^8, and nanoseconds at 99 % from 10^2 to 10^7.
    let x = |per_second: f64| left + PLOT.0 * ((per_second.log10() - 3.0) / 5.0).clamp(0.0, 1.0);
    let y = |nanoseconds: f64| top + PLOT.1 * (1.0 - ((nanoseconds.log10() - 2.0) / 5.0).clamp(0.0, 1.0));
    let bottom = top + PLOT.1;
    let _ = writeln!(svg, "<text class=\"title\" x=\"{left}\" y=\"{}\">{title}</text>", top - 14.0);
    let (seconds, times) =
        (["1k", "10k", "100k", "1M", "10M", "100M"], ["0.1 µs", "1 µs", "10 µs", "0.1 ms", "1 ms", "10 ms"]);
    for (decade, (second, time)) in (0..).zip(seconds.into_iter().zip(times)) {
        let (at, beside) = (x(10_f64.powi(decade + 3)), y(10_f64.powi(decade + 2)));
        let right = left + PLOT.0;
        let _ = writeln!(svg, "<line class=\"axis\" x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>");
        let _ =
            writeln!(svg, "<line class=\"axis\" x1=\"{left}\" y1=\"{beside:.1}\" x2=\"{right}\" y2=\"{beside:.1}\"/>");
        let _ = writeln!(
            svg,
            "<text class=\"note\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{second}</text>",
            bottom + 16.0
        );
        let _ = writeln!(
            svg,
            "<text class=\"note\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{time}</text>",
            left - 6.0,
            beside + 4.0
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"note\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">operations a second; latency at 99 %</text>",
        left + PLOT.0 / 2.0,
        bottom + 32.0
    );
    for (place, kind) in kinds.iter().enumerate() {
        let points: Vec<(f64, f64)> = CROWDS
            .into_iter()
            .filter_map(|crowd| {
                let time = figures.median(kind.name, row(workload, texts, crowd, 0))?;
                Some((x(1e9 / time), y(figures.median(kind.name, row(workload, texts, crowd, 990))?)))
            })
            .collect();
        let Some((x, y)) = points.last() else { continue };
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let colour = colour(place);
        let _ = writeln!(svg, "<polyline points=\"{}\" stroke=\"{colour}\"/>", line.join(" "));
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
    }
}

//! The picture for the README: bars of four workloads on a logarithmic scale.

use std::fmt::Write;

use crate::peers::{BASELINE, KINDS, Kind, Scope};
use crate::report::{Figures, ROWS, Row, rounded};

/// The rows of the table that are drawn, by name, and their titles.
const PANELS: [(&str, &str); 4] = [
    ("hit", "look-up, one process"),
    ("replace", "replacement, one process"),
    ("grouped increment, by 2", "atomic read-modify-write, two processes"),
    ("95/5 mix, by 2", "95 % reads, 5 % writes, two processes"),
];

const WIDTH: f64 = 960.0;
const PANEL_WIDTH: f64 = WIDTH / 2.0;
const LABEL_WIDTH: f64 = 196.0;
const BAR_WIDTH: f64 = 206.0;
const LINE: f64 = 20.0;
const HEAD: f64 = 64.0;

/// The second half is for those who ask for dark pages; a ground of its own makes either readable on any page.
pub(crate) const STYLE: &str = "
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 }
.note { fill: #6e7781 }
.bar { fill: #9aa5b1 }
.ours { fill: #d1600a }
.axis { stroke: #d0d7de }
.ground { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.note { fill: #9198a1 }
.bar { fill: #57606a }
.ours { fill: #f0883e }
.axis { stroke: #30363d }
.ground { fill: #0d1117 }
}
";

/// Draws what was measured.
pub(crate) fn draw(figures: &Figures, entries: u64) -> String {
    let panels: Vec<(&str, Row)> = PANELS
        .iter()
        .filter_map(|(name, title)| ROWS.iter().find(|(_, called)| called == name).map(|(row, _)| (*title, *row)))
        .collect();
    let kinds: Vec<&Kind> = KINDS
        .iter()
        .filter(|kind| {
            kind.scope != Scope::Cells && panels.iter().any(|(_, row)| figures.median(kind.name, *row).is_some())
        })
        .collect();
    let panel_height = HEAD + LINE * kinds.len() as f64;
    let height = panel_height * panels.len().div_ceil(2) as f64 + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Nanoseconds an operation, netshm and others\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n"
    );
    for (place, (title, row)) in panels.iter().enumerate() {
        let (x, y) = ((place % 2) as f64 * PANEL_WIDTH, (place / 2) as f64 * panel_height);
        panel(&mut svg, figures, &kinds, (x, y), title, *row);
    }
    let note = format!("nanoseconds an operation, logarithmic scale, shorter is better; {entries} entries, u64 to u64");
    // Writing to a string always succeeds.
    let _ = writeln!(svg, "<text class=\"note\" x=\"12\" y=\"{}\">{note}</text>\n</svg>", height - 14.0);
    svg
}

fn panel(svg: &mut String, figures: &Figures, kinds: &[&Kind], (x, y): (f64, f64), title: &str, row: Row) {
    let values: Vec<f64> = kinds.iter().filter_map(|kind| figures.median(kind.name, row)).collect();
    let longest = values.iter().copied().fold(100.0, f64::max);
    let decades = longest.log10().ceil().max(2.0);
    let length = |value: f64| BAR_WIDTH * (value.max(1.0).log10() / decades);
    let left = x + LABEL_WIDTH;
    let bottom = y + HEAD + LINE * kinds.len() as f64 - 18.0;
    let _ = writeln!(svg, "<text class=\"title\" x=\"{}\" y=\"{}\">{title}</text>", x + 12.0, y + 24.0);
    for decade in 0..=decades as u32 {
        let at = left + length(10f64.powi(decade as i32));
        let _ =
            writeln!(svg, "<line class=\"axis\" x1=\"{at:.1}\" y1=\"{}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>", y + 36.0);
    }
    for (place, kind) in kinds.iter().enumerate() {
        let top = y + 40.0 + LINE * place as f64;
        let title = kind.title.replace('<', "&lt;").replace('>', "&gt;");
        let baseline = top + 12.0;
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{title}</text>", left - 8.0);
        let Some(value) = figures.median(kind.name, row) else {
            let _ = writeln!(svg, "<text class=\"note\" x=\"{}\" y=\"{baseline}\">–</text>", left + 6.0);
            continue;
        };
        let class = if kind.name.starts_with(BASELINE) { "ours" } else { "bar" };
        let end = length(value);
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{end:.1}\" height=\"15\" rx=\"2\"/>"
        );
        let number = rounded(value);
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{baseline}\">{number}</text>", left + end + 6.0);
    }
}

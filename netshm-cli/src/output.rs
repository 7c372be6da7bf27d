//! What is written to standard output: text for people, or JSON.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use anstyle::Style;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::failure::Failure;

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless the variable `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorWhen {
    pub(crate) fn apply(self) {
        match self {
            ColorWhen::Auto => anstream::ColorChoice::Auto,
            ColorWhen::Always => anstream::ColorChoice::Always,
            ColorWhen::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Titles and labels.
pub(crate) const TITLE: Style = Style::new().bold();

/// Standard output, buffered.
pub(crate) struct Output {
    json: bool,
    styled: bool,
    stream: BufWriter<Box<dyn Write>>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        let choice = anstream::AutoStream::choice(&io::stdout());
        let styled = !matches!(choice, anstream::ColorChoice::Never);
        let stream: Box<dyn Write> =
            if styled { Box::new(anstream::stdout()) } else { Box::new(anstream::StripStream::new(io::stdout())) };
        Output { json, styled, stream: BufWriter::new(stream) }
    }

    /// Returns whether JSON is asked for.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Returns whether the output goes to a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Returns whether whoever reads the output, through a pipe, has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        let stdout = io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        Ok(writeln!(self.stream, "{text}")?)
    }

    /// Writes a line with a label in front.
    pub(crate) fn field(&mut self, label: &str, value: impl Display) -> Result<(), Failure> {
        Ok(writeln!(self.stream, "{TITLE}{label:<12}{TITLE:#}  {value}")?)
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Returns the stream itself.
    pub(crate) fn stream(&mut self) -> Box<dyn Write + '_> {
        Box::new(&mut self.stream)
    }

    /// Writes JSON on a line of its own.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.stream, value)?;
        Ok(self.stream.write_all(b"\n")?)
    }

    /// Writes JSON over several lines if a person reads it.
    pub(crate) fn json_document(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        if self.is_terminal() {
            serde_json::to_writer_pretty(&mut self.stream, value)?;
        } else {
            serde_json::to_writer(&mut self.stream, value)?;
        }
        Ok(self.stream.write_all(b"\n")?)
    }

    /// Writes a table.
    pub(crate) fn table(&mut self, columns: &Columns) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if self.styled {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(columns.titles.iter().map(|(title, _)| Cell::new(title).add_attribute(Attribute::Bold)));
        for row in &columns.rows {
            table.add_row(row.iter().map(|(text, color)| match color {
                Some(color) => Cell::new(text).fg(*color),
                None => Cell::new(text),
            }));
        }
        for ((_, alignment), column) in columns.titles.iter().zip(table.column_iter_mut()) {
            column.set_cell_alignment(*alignment);
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(self.stream, "{}", line.trim_end())?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.stream.flush()?)
    }
}

/// A table in the making.
pub(crate) struct Columns {
    titles: Vec<(&'static str, CellAlignment)>,
    rows: Vec<Vec<(String, Option<Color>)>>,
}

impl Columns {
    /// Makes columns with these titles; those that begin with `>` are of numbers.
    pub(crate) fn new(titles: &[&'static str]) -> Columns {
        let side = |title: &&'static str| match title.strip_prefix('>') {
            Some(title) => (title, CellAlignment::Right),
            None => (*title, CellAlignment::Left),
        };
        Columns { titles: titles.iter().map(side).collect(), rows: Vec::new() }
    }

    /// Adds a row of cells, each with its colour, if it has one.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Option<Color>)>) {
        self.rows.push(cells.into_iter().map(|(text, color)| (plain(&text), color)).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Returns text of an object or of the system without characters that would move the cursor.
pub(crate) fn plain(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
    } else {
        text.to_owned()
    }
}

/// Formats a number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 9.995 { format!("{value:.2} {}", UNITS[unit]) } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Formats a number with separated thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number and its noun.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 10 << 10, 1_048_000, 1 << 20].map(bytes),
            ["0 B", "1023 B", "1.00 KiB", "10.0 KiB", "1.00 MiB", "1.00 MiB"]
        );
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(plain("a\tb\u{1b}[0m"), "a\\tb\\u{1b}[0m");
    }
}

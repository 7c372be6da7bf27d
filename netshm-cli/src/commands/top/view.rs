//! The live view.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Sparkline, Table};

use super::sample::{Cells, Sample, Sampler, rate};
use crate::failure::Failure;

/// The shortest and the longest interval that keys can choose.
const INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(60)];
/// Number of samples that are kept for the curve.
const KEPT: usize = 300;

/// Gives the terminal back, whatever happens.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// State of the display.
struct View {
    sample: Option<Sample>,
    /// Changes a second in each interval.
    history: Vec<u64>,
    interval: Duration,
    is_paused: bool,
    colors: bool,
}

pub(super) fn run(sampler: &mut Sampler, interval: Duration) -> Result<(), Failure> {
    let failed = |error| Failure::Io("using the terminal", error);
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let _restore = Restore;
    let choice = anstream::AutoStream::choice(&std::io::stdout());
    let colors = !matches!(choice, anstream::ColorChoice::Never);
    let mut view = View { sample: None, history: Vec::new(), interval, is_paused: false, colors };
    let mut next = Instant::now() + interval.min(Duration::from_millis(200));
    loop {
        terminal.draw(|frame| view.draw(frame)).map_err(failed)?;
        let wait = if view.is_paused { Duration::from_secs(1) } else { next.saturating_duration_since(Instant::now()) };
        if event::poll(wait).map_err(failed)? {
            let event = event::read().map_err(failed)?;
            if !view.handle(&event) {
                return Ok(());
            }
        }
        if !view.is_paused && Instant::now() >= next {
            view.take(sampler.next()?);
            next = Instant::now() + view.interval;
        }
    }
}

impl View {
    fn take(&mut self, sample: Sample) {
        let changes = sample.stripe_rates().iter().skip(1).sum::<f64>();
        self.history.push(changes.round() as u64);
        if self.history.len() > KEPT {
            self.history.remove(0);
        }
        self.sample = Some(sample);
    }

    /// Returns whether to go on.
    fn handle(&mut self, event: &Event) -> bool {
        let Event::Key(key) = event else { return true };
        if key.kind == KeyEventKind::Release {
            return true;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('+') => self.interval = (self.interval * 2).min(INTERVALS[1]),
            KeyCode::Char('-') => self.interval = (self.interval / 2).max(INTERVALS[0]),
            _ => {}
        }
        true
    }

    fn color(&self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let Some(sample) = &self.sample else {
            frame.render_widget(Paragraph::new("looking ..."), frame.area());
            return;
        };
        let members = sample.members();
        let locks = sample.locks();
        let processes = sample.processes();
        let rows = |cells: &Cells| u16::try_from(cells.rows.len()).unwrap_or(u16::MAX);
        let [head, curve, stripes, member_area, lock_area, process_area, foot] = Layout::vertical([
            Constraint::Length(4),
            Constraint::Length(6),
            Constraint::Length(5),
            Constraint::Length(rows(&members).saturating_add(3).min(12)),
            Constraint::Min(4),
            Constraint::Length(rows(&processes).saturating_add(3).clamp(4, 10)),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let lines = sample
            .head()
            .into_iter()
            .map(|(label, value)| Line::from(vec![Span::styled(format!("{label:<9}"), bold), Span::raw(value)]));
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), head);
        self.curve(frame, curve);
        self.stripes(frame, stripes, sample);
        self.table(frame, member_area, " members ", &members);
        let title = match (sample.now.rings.len(), locks.rows.is_empty()) {
            (0, true) => " locks: none is held ".to_owned(),
            (0, false) => " locks ".to_owned(),
            (rings, _) => format!(" locks: {rings} deadlock{} ", if rings == 1 { "" } else { "s" }),
        };
        self.table(frame, lock_area, &title, &locks);
        self.table(frame, process_area, " processes that have written ", &processes);
        let state = if self.is_paused { "paused" } else { "running" };
        let foot_text = format!("q quit   p pause ({state})   +/- interval ({:.1} s)", self.interval.as_secs_f64());
        frame.render_widget(Paragraph::new(foot_text).style(self.color(Color::DarkGray)), foot);
    }

    fn curve(&self, frame: &mut Frame<'_>, area: Rect) {
        let width = usize::from(area.width.saturating_sub(2));
        let shown = &self.history[self.history.len().saturating_sub(width)..];
        let most = shown.iter().copied().max().unwrap_or(0);
        let title = format!(" changes a second, at most {} ", rate(most as f64));
        let curve = Sparkline::default()
            .data(shown)
            .style(self.color(Color::Green))
            .block(Block::new().borders(Borders::ALL).title(title));
        frame.render_widget(curve, area);
    }

    /// Draws a bar for each stripe, or for several in a row if there are many.
    fn stripes(&self, frame: &mut Frame<'_>, area: Rect, sample: &Sample) {
        let rates = sample.stripe_rates();
        let width = usize::from(area.width.saturating_sub(2)).max(1);
        let each = rates.len().saturating_sub(1).div_ceil(width).max(1);
        let sums: Vec<u64> =
            rates[1.min(rates.len())..].chunks(each).map(|some| some.iter().sum::<f64>() as u64).collect();
        let what = if each == 1 { "stripe".to_owned() } else { format!("{each} stripes") };
        let title =
            format!(" changes a second by {what}, at most {} ", rate(sums.iter().copied().max().unwrap_or(0) as f64));
        let bars = Sparkline::default()
            .data(&sums)
            .style(self.color(Color::Cyan))
            .block(Block::new().borders(Borders::ALL).title(title));
        frame.render_widget(bars, area);
    }

    fn table(&self, frame: &mut Frame<'_>, area: Rect, title: &str, cells: &Cells) {
        let widths: Vec<_> = (0..cells.titles.len())
            .map(|column| {
                let head = cells.titles[column].trim_start_matches('>').chars().count();
                let widest = cells.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
                let width = u16::try_from(widest.max(head)).unwrap_or(u16::MAX);
                // What is last may be cut.
                if column + 1 == cells.titles.len() {
                    Constraint::Min(width.min(10))
                } else {
                    Constraint::Length(width)
                }
            })
            .collect();
        let aligned = |column: usize, text: &str| {
            let line = Line::from(text.to_owned());
            if cells.titles[column].starts_with('>') { line.right_aligned() } else { line }
        };
        let head =
            cells.titles.iter().enumerate().map(|(column, title)| aligned(column, title.trim_start_matches('>')));
        let rows = cells.rows.iter().map(|row| {
            let style = match row.get(3).map(String::as_str) {
                Some("deadlocked" | "dead") => self.color(Color::Red),
                Some("waits") => self.color(Color::Yellow),
                _ => Style::new(),
            };
            Row::new(row.iter().enumerate().map(|(column, text)| aligned(column, text))).style(style)
        });
        let table = Table::new(rows, widths)
            .header(Row::new(head).style(Style::new().add_modifier(Modifier::BOLD)))
            .column_spacing(2)
            .block(Block::new().borders(Borders::ALL).title(title.to_owned()));
        frame.render_widget(table, area);
    }
}

//! A progress bar on the terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how far a long command is, on standard error, if that is a terminal.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Starts showing the progress over `rows` rows, if their number is known.
    pub(crate) fn new(rows: Option<u64>, doing: &'static str) -> Progress {
        let bar = ProgressBar::with_draw_target(rows, ProgressDrawTarget::stderr());
        let known = "{msg} {wide_bar} {human_pos}/{human_len} rows, {eta} left";
        let unknown = "{msg} {spinner} {human_pos} rows, {per_sec}";
        if let Ok(style) = ProgressStyle::with_template(if rows.is_some() { known } else { unknown }) {
            bar.set_style(style);
        }
        bar.set_message(doing);
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }

    pub(crate) fn row(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

//! `netshm top`.

mod sample;
mod view;

use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use netshm::inspect::Inspector;

use crate::args::Top;
use crate::failure::Failure;
use crate::output::Output;
use sample::{Sample, Sampler};

pub(crate) fn run(args: &Top, out: &mut Output) -> Result<(), Failure> {
    let mut sampler = Sampler::new(Inspector::open(&args.object.name)?)?;
    let interval = Duration::from_secs_f64(args.interval);
    if args.once {
        thread::sleep(interval);
        let sample = sampler.next()?;
        return if out.json() { out.json_document(&sample.document()) } else { text(&sample, out) };
    }
    if out.json() {
        loop {
            thread::sleep(interval);
            out.json_line(&sampler.next()?.document())?;
            out.flush()?;
        }
    }
    if !io::stdout().is_terminal() {
        return Err(Failure::with_tip(
            "the live view needs a terminal",
            "`--once` prints what happened in one interval, `--json` a line for each",
        ));
    }
    view::run(&mut sampler, interval)
}

/// Writes a sample as text.
fn text(sample: &Sample, out: &mut Output) -> Result<(), Failure> {
    for (label, value) in sample.head() {
        out.field(label, value)?;
    }
    for table in [sample.members(), sample.locks(), sample.processes()] {
        if !table.rows.is_empty() {
            out.line("")?;
            let mut columns = crate::output::Columns::new(table.titles);
            table.rows.iter().for_each(|row| columns.row(row.iter().map(|cell| (cell.clone(), None))));
            out.table(&columns)?;
        }
    }
    Ok(())
}

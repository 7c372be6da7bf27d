//! `netshm completions` and `netshm man`.

use std::fs;

use clap::CommandFactory;
use clap_mangen::Man;
use roff::{Roff, roman};

use crate::args::{Cli, Completions, Manual};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn completions(args: &Completions, out: &mut Output) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "netshm", &mut text);
    out.bytes(&text)
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut page = Vec::new();
    Man::new(command.after_help(clap::builder::Resettable::Reset)).render(&mut page)?;
    behind_options(&help).to_writer(&mut page)?;
    Ok(page)
}

/// Returns the sections of a manual page for what follows the options in a help: examples, whose lines are kept, and
/// paragraphs.
fn behind_options(help: &str) -> Roff {
    let mut page = Roff::new();
    for part in help.split("\n\n") {
        if let Some(examples) = part.strip_prefix("Examples:\n") {
            page.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines() {
                page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            page.control("fi", []);
        } else if let Some((title, text)) = part.split_once(": ") {
            page.control("SH", [&*title.to_uppercase()]).text([roman(text)]);
        } else if !part.is_empty() {
            page.control("SH", ["NOTES"]).text([roman(part)]);
        }
    }
    page
}

pub(crate) fn manual(args: &Manual, out: &mut Output) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let find = |name: &str| {
        let found = command.find_subcommand(name).cloned();
        found.ok_or_else(|| Failure::message(format!("there is no command {name}")))
    };
    if let Some(directory) = &args.directory {
        let failed = |error| Failure::message(format!("{}: {error}", directory.display()));
        fs::create_dir_all(directory).map_err(failed)?;
        let of_commands = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        let pages = of_commands.map(|sub| (format!("netshm-{}.1", sub.get_name()), sub));
        for (name, command) in pages.chain([("netshm.1".to_owned(), command.clone())]) {
            fs::write(directory.join(name), page(command)?).map_err(failed)?;
        }
        return Ok(());
    }
    let text = match &args.command {
        Some(name) => page(find(name)?)?,
        None => page(command.clone())?,
    };
    out.bytes(&text)
}

//! The command `netshm`: looks into objects in shared memory and mapped files without the programs that made them.

#![allow(dead_code, reason = "for commands to come")]

mod args;
mod commands;
mod failure;
mod names;
mod output;
mod rows;
mod values;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.global.color.apply();
    let mut out = Output::new(cli.global.json);
    let outcome = run(cli.command, &mut out).and_then(|()| out.flush());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command, out: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Ls(args) => commands::ls::run(&args, out),
        Command::Stat(args) => commands::stat::run(&args, out),
        Command::Schema(args) => commands::schema::run(&args, out),
        Command::Members(args) => commands::members::run(&args, out),
        Command::Get(args) => commands::read::get(&args, out),
        Command::Keys(args) => commands::read::keys(&args, out),
        Command::Scan(args) => commands::read::scan(&args, out),
    }
}

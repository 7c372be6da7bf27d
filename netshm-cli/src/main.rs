//! The command `netshm`: looks into objects in shared memory and mapped files without the programs that made them.

mod args;
mod commands;
mod failure;
mod names;
mod output;
mod plan;
mod progress;
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
        Command::Wait(args) => commands::wait::wait(&args, out),
        Command::Watching(args) => commands::wait::watch(&args, out),
        Command::Set(args) => commands::change::set(&args),
        Command::Add(args) => commands::change::add(&args),
        Command::Remove(args) => commands::change::remove(&args, out),
        Command::Incr(args) => commands::change::incr(&args, out),
        Command::Clear(args) => commands::change::clear(&args),
        Command::Resize(args) => commands::change::resize(&args),
        Command::Create(args) => commands::create::run(&args),
        Command::Dump(args) => commands::dump::dump(&args, out),
        Command::Load(args) => commands::dump::load(&args, out),
        Command::Export(args) => commands::table_file::export(&args, out),
        Command::Import(args) => commands::table_file::import(&args, out),
        Command::Check(args) => commands::maintenance::check(&args, out),
        Command::Repair(args) => commands::maintenance::repair(&args, out),
        Command::Copy(args) => commands::maintenance::copy(&args, out),
        Command::Sync(args) => commands::maintenance::sync(&args),
        Command::Compact(args) => commands::maintenance::compact(&args, out),
        Command::Locks(args) => commands::locks::run(&args, out),
        Command::Top(args) => commands::top::run(&args, out),
        Command::Gc(args) => commands::gc::run(&args, out),
        Command::Bench(args) => commands::bench::run(&args, out),
        Command::Completions(args) => commands::manual::completions(&args, out),
        Command::Manual(args) => commands::manual::manual(&args, out),
    }
}

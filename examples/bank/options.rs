//! The command line.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use lexopt::prelude::*;
use netshm::declare::Place;

use crate::ledger::CLERKS;

const HELP: &str = "\
A bank whose clerks are killed all the time, and which never loses a cent.

usage: bank [OPTIONS]

  --clerks N     processes that transfer money (default: 4)
  --seconds N    how long they do so (default: 10)
  --self-test    two seconds are enough";

/// The task of this process.
pub(crate) enum Role {
    Bank(Options),
    /// Transfer money with others; the bank, whose process id is given, started us.
    Clerk {
        number: usize,
        bank: u32,
        ledger: Place,
    },
}

/// The options of the user.
pub(crate) struct Options {
    pub(crate) clerks: usize,
    pub(crate) duration: Duration,
}

pub(crate) fn parse() -> Result<Role> {
    let mut options = Options { clerks: 4, duration: Duration::from_secs(10) };
    let (mut clerk, mut bank, mut ledger) = (None, 0, None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("clerks") => options.clerks = arguments.value()?.parse()?,
            Long("seconds") => options.duration = Duration::from_secs(arguments.value()?.parse()?),
            Long("self-test") => options.duration = Duration::from_secs(2),
            Long("clerk") => clerk = Some(arguments.value()?.parse()?),
            Long("bank") => bank = arguments.value()?.parse()?,
            Long("ledger") => ledger = Some(arguments.value()?.string()?.into()),
            Long("help") | Short('h') => {
                println!("{HELP}");
                std::process::exit(0);
            }
            other => bail!("{} (see --help)", other.unexpected()),
        }
    }
    ensure!((1..=CLERKS).contains(&options.clerks), "--clerks must be between 1 and {CLERKS}");
    match (clerk, ledger) {
        (None, _) => Ok(Role::Bank(options)),
        (Some(number), Some(ledger)) => Ok(Role::Clerk { number, bank, ledger }),
        (Some(_), None) => bail!("a clerk needs --ledger"),
    }
}

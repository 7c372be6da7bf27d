//! A bank whose clerks are killed all the time, and which never loses a cent.
//!
//! ```text
//! cargo run --release --example bank                       ten seconds of transfers and kills, then an audit
//! cargo run --release --example bank -- --seconds 60 --clerks 8
//! cargo run --release --example bank -- --self-test        two seconds, for a first look
//! ```
//!
//! Current and savings accounts are two tables, and a third member, an array, notes how much each clerk has moved: all in one object
//! (see `ledger.rs`). A transfer changes all three in one group. Clerks are processes, which the main process kills
//! at random moments, most of them in the middle of a transfer; others take their places. Each second, and at the end, an audit
//! looks at all accounts as they are at one moment.

mod ledger;
mod options;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::parent_id;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ledger::Ledger;
use netshm::declare::Place;
use options::{Options, Role};

fn main() -> Result<()> {
    match options::parse()? {
        Role::Clerk { number, bank, ledger } => serve(number, bank, ledger),
        Role::Bank(options) => run(&options),
    }
}

/// Works as a clerk, until the bank kills this process or has ended itself.
fn serve(number: usize, bank: u32, place: Place) -> Result<()> {
    let ledger = Ledger::at(place).open()?;
    println!("ready");
    std::io::stdout().flush()?;
    while parent_id() == bank {
        ledger.transfer(number, fastrand::u32(..), fastrand::u32(..), fastrand::i64(-10_000..=10_000))?;
    }
    Ok(())
}

/// The clerks at work, which end when this is dropped.
struct Clerks {
    place: Place,
    processes: Vec<Child>,
}

impl Clerks {
    fn start(&mut self, number: usize) -> Result<Child> {
        let mut clerk = Command::new(std::env::current_exe()?)
            .args(["--clerk", &number.to_string(), "--bank", &std::process::id().to_string()])
            .args(["--ledger", &self.place.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a clerk")?;
        let output = clerk.stdout.take().context("a clerk without output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line == "ready\n", "a clerk could not start: {}", clerk.wait()?);
        Ok(clerk)
    }

    /// Kills a clerk, whatever it is doing, and puts another one in its place.
    fn replace(&mut self, number: usize) -> Result<()> {
        self.processes[number].kill()?;
        self.processes[number].wait()?;
        self.processes[number] = self.start(number)?;
        Ok(())
    }
}

impl Drop for Clerks {
    fn drop(&mut self) {
        for clerk in &mut self.processes {
            let _ = clerk.kill();
            let _ = clerk.wait();
        }
    }
}

/// A ledger that is gone in the end.
struct Temporary(Place);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = Ledger::at(self.0.clone()).unlink();
    }
}

fn run(options: &Options) -> Result<()> {
    let place = Temporary(Place::posix(format!("/bank.{}", std::process::id())));
    let ledger = Ledger::at(place.0.clone()).create()?;
    ledger.open_accounts()?;
    let opening = ledger.audit()?;
    println!("{} accounts with {} each", opening.accounts, ledger::money(ledger::OPENING));

    let mut clerks = Clerks { place: place.0.clone(), processes: Vec::new() };
    for number in 0..options.clerks {
        let clerk = clerks.start(number)?;
        clerks.processes.push(clerk);
    }
    let (start, mut kills, mut audited) = (Instant::now(), 0u32, Duration::ZERO);
    while start.elapsed() < options.duration {
        thread::sleep(Duration::from_millis(fastrand::u64(1..10)));
        clerks.replace(fastrand::usize(..options.clerks))?;
        kills += 1;
        if start.elapsed() - audited >= Duration::from_secs(1) {
            audited = start.elapsed();
            let audit = ledger.audit()?;
            println!("{kills} clerks killed, {audit}");
        }
    }
    drop(clerks);

    let closing = ledger.audit()?;
    ensure!(closing.transfers > 0 && kills > 0, "nothing has happened");
    ensure!(closing.accounts == opening.accounts && closing.sum == opening.sum, "from {opening} to {closing}");
    for (member, report) in ledger.check()? {
        ensure!(report.is_clean(), "{member}: {report}");
    }
    println!("checked: {kills} clerks killed, {closing}; not a cent is lost");
    Ok(())
}

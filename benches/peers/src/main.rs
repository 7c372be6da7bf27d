//! netshm measured beside other stores: `cargo run --release -p netshm-peers -- --help`.

mod measure;
mod peers;
mod picture;
mod processes;
mod report;
mod worker;
mod workload;
mod ycsb;
mod ycsb_report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use peers::{KINDS, Kind, Scope};
use report::Figures;
use workload::Result;

const HELP: &str = "\
Measures netshm beside other stores and prints a markdown table.

cargo run --release -p netshm-peers -- [OPTIONS]

  --entries N     entries in each table (1000000)
  --runs R        runs over all peers, of which the medians are shown (3)
  --only NAMES    these peers only, separated by commas
  --svg FILE      draw a picture as well
  --ycsb yes      the workloads of YCSB instead of the others";

/// Options of the command line.
#[derive(Debug)]
struct Options {
    entries: u64,
    runs: u32,
    kinds: Vec<&'static Kind>,
    svg: Option<PathBuf>,
    ycsb: bool,
}

impl Options {
    fn parse(words: &[String]) -> Result<Options> {
        let mut options =
            Options { entries: 1_000_000, runs: 3, kinds: KINDS.iter().collect(), svg: None, ycsb: false };
        for pair in words.chunks(2) {
            let [option, value] = pair else { return Err(format!("{} needs a value\n\n{HELP}", pair[0]).into()) };
            match option.as_str() {
                "--entries" => options.entries = value.parse()?,
                "--runs" => options.runs = value.parse()?,
                "--only" => options.kinds = value.split(',').map(kind).collect::<Result<_>>()?,
                "--svg" => options.svg = Some(value.into()),
                "--ycsb" => options.ycsb = value == "yes",
                other => return Err(format!("no option is called {other}\n\n{HELP}").into()),
            }
        }
        // Key texts have nine digits, and misses take as many keys again; 32 bits of a value are the key's number.
        if !(1..=400_000_000).contains(&options.entries) || options.runs == 0 {
            return Err("entries must be 1 to 400000000, and runs 1 at least".into());
        }
        Ok(options)
    }
}

fn kind(name: &str) -> Result<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        format!("no peer is called {name:?}; there are {}", names.join(", ")).into()
    })
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [processes::WORKER, name, directory, entries] => {
            entries.parse().map_err(Into::into).and_then(|entries| peers::serve(name, Path::new(directory), entries))
        }
        ["--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => Options::parse(&words).and_then(|options| compare(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes all runs over all peers, then the table and the picture.
fn compare(options: &Options) -> Result<()> {
    // In memory, as shared memory is; removed at the end whatever the outcome.
    let scratch = tempfile::Builder::new().prefix("netshm-peers.").tempdir_in("/dev/shm")?;
    let mut peers = prepare(&options.kinds, scratch.path());
    if options.ycsb {
        peers.retain(|(kind, _)| kind.scope == Scope::Tables && kind.name != "ocaml");
    }
    let mut figures = Figures::default();
    let mut failures = Vec::new();
    for run in 0..options.runs {
        for (kind, driver) in &peers {
            if (kind.thinned > 1 && run > 0) || failures.contains(&kind.name) {
                continue;
            }
            let clock = Instant::now();
            let store = tempfile::Builder::new().prefix(kind.name).tempdir_in(scratch.path())?;
            let round = measure::Round::new(kind, driver.as_ref(), store.path(), options.entries);
            let measure = if options.ycsb { measure::Round::ycsb } else { measure::Round::run };
            if let Err(error) = round.and_then(|mut round| measure(&mut round, &mut figures)) {
                eprintln!("{} FAILED: {error}", kind.title);
                failures.push(kind.name);
            }
            let seconds = clock.elapsed().as_secs_f64();
            eprintln!("run {} of {}: {} took {seconds:.1} s", run + 1, options.runs, kind.title);
        }
        // Each has another one before it in the next run.
        peers.rotate_left(1);
    }
    let (table, picture) = if options.ycsb {
        (ycsb_report::markdown(&figures, options.entries, options.runs), ycsb_report::draw(&figures))
    } else {
        (figures.markdown(options.entries, options.runs), picture::draw(&figures, options.entries))
    };
    print!("{table}");
    if let Some(path) = &options.svg {
        std::fs::write(path, picture)?;
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("failed: {}", failures.join(", ")).into()) }
}

/// Returns the peers that can be measured here, with their drivers if they have any; the others are said to be left out.
fn prepare(kinds: &[&'static Kind], directory: &Path) -> Vec<(&'static Kind, Option<PathBuf>)> {
    let mut ready = Vec::new();
    for kind in kinds {
        let driver = kind.driver.map(|driver| driver.compile(directory)).transpose();
        match driver.and_then(|driver| peers::find_server(kind).map(|()| driver)) {
            Ok(driver) => ready.push((*kind, driver)),
            Err(error) => eprintln!("{} is left out: {error}", kind.title),
        }
    }
    ready
}

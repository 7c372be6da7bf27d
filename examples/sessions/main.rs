//! A web server of several processes that share their sessions.
//!
//! ```text
//! cargo run --release --example sessions                            then visit http://127.0.0.1:8080
//! cargo run --release --example sessions -- --store posix:/visits   the sessions outlive the server
//! cargo run --release --example sessions -- --self-test             a few requests, without a browser
//! ```
//!
//! A supervisor listens, and starts worker processes that take requests from the same listener. The sessions are in a
//! table in shared memory (see `store.rs`): it does not matter which worker answers, and when one is killed, another
//! takes its place and nobody is signed out. Pages show who is signed in, and change when that changes (see `live.rs`), whichever worker
//! somebody comes to. The supervisor sweeps out the sessions that nobody uses any more.

mod live;
mod options;
mod pages;
mod self_test;
mod store;
mod supervisor;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use options::Role;
use signal_hook::consts::TERM_SIGNALS;
use supervisor::Supervisor;

fn main() -> Result<()> {
    // Set by Ctrl-C (SIGINT) and SIGTERM.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in TERM_SIGNALS {
        signal_hook::flag::register(*signal, Arc::clone(&stop))?;
    }
    match options::parse()? {
        Role::Worker { supervisor, store } => worker::serve(supervisor, store, &stop),
        Role::Supervisor(options) if options.self_test => self_test::run(options),
        Role::Supervisor(options) => {
            let mut supervisor = Supervisor::start(&options)?;
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(50));
                supervisor.tend()?;
            }
            println!("stopping");
            Ok(())
        }
    }
}

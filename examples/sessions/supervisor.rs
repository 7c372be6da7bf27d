//! The supervisor: keeps the workers running, and removes idle sessions.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use netshm::declare::{At, Place};
use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size, set_socket_timeout};
use rustix::process::{Pid, Signal, kill_process};

use crate::options::Options;
use crate::store::Store;

const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SEND_BUFFER: usize = 1 << 14;
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Supervisor {
    /// Stays open here, so that no connection is refused while a worker is replaced.
    listener: TcpListener,
    workers: Vec<Child>,
    store: Store,
    place: StorePlace,
    idle: Duration,
    swept: Instant,
}

impl Supervisor {
    pub(crate) fn start(options: &Options) -> Result<Supervisor> {
        let address = SocketAddr::from(([127, 0, 0, 1], options.port));
        let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
        // The connections inherit this: a browser that does not read what it is sent takes little memory, and holds nobody up for
        // longer.
        set_socket_send_buffer_size(&listener, SEND_BUFFER)?;
        set_socket_timeout(&listener, Timeout::Send, Some(SEND_TIMEOUT))?;
        let place = StorePlace::new(options);
        let mut supervisor = Supervisor {
            listener,
            workers: Vec::new(),
            store: place.open()?,
            place,
            idle: options.idle,
            swept: Instant::now(),
        };
        for _ in 0..options.workers {
            let worker = supervisor.spawn()?;
            println!("worker {} started", worker.id());
            supervisor.workers.push(worker);
        }
        println!("listening on http://{}", supervisor.address()?);
        Ok(supervisor)
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Does the periodic work.
    pub(crate) fn tend(&mut self) -> Result<()> {
        self.replace_the_dead()?;
        if self.swept.elapsed() >= SWEEP_EVERY {
            self.swept = Instant::now();
            match self.store.sweep(self.idle)? {
                0 => {}
                swept => println!("sessions ended because nobody used them: {swept}"),
            }
        }
        Ok(())
    }

    fn replace_the_dead(&mut self) -> Result<()> {
        for place in 0..self.workers.len() {
            if let Some(status) = self.workers[place].try_wait()? {
                let worker = self.spawn()?;
                println!("worker {} ended ({status}), worker {} started", self.workers[place].id(), worker.id());
                self.workers[place] = worker;
            }
        }
        Ok(())
    }

    /// Starts a worker, and waits until it is ready: one that cannot start would be replaced again and again.
    fn spawn(&self) -> Result<Child> {
        let mut worker = Command::new(std::env::current_exe()?)
            .args(["--worker", &std::process::id().to_string(), "--store", &self.place.at.place().to_string()])
            // Ctrl-C is for the supervisor alone, which then ends the workers.
            .process_group(0)
            .stdin(OwnedFd::from(self.listener.try_clone()?))
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a worker")?;
        let output = worker.stdout.take().context("a worker without output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.is_empty() {
            bail!("a worker could not start: {}", worker.wait()?);
        }
        Ok(worker)
    }

    /// Ends a worker like a crash does.
    pub(crate) fn kill(&mut self, worker: u32) -> Result<()> {
        let place = self.workers.iter().position(|child| child.id() == worker).context("no such worker")?;
        self.workers[place].kill()?;
        self.workers[place].wait()?;
        Ok(())
    }
}

impl Drop for Supervisor {
    /// Ends the workers before the table goes away.
    fn drop(&mut self) {
        for worker in &self.workers {
            let _ = kill_process(Pid::from_child(worker), Signal::TERM);
        }
        for worker in &mut self.workers {
            let _ = worker.wait();
        }
    }
}

/// Place of the sessions. If the user did not choose the place, they go away with the server.
struct StorePlace {
    at: At<Store>,
    keep: bool,
}

impl StorePlace {
    fn new(options: &Options) -> StorePlace {
        match &options.store {
            Some(place) => StorePlace { at: Store::at(place.clone()), keep: true },
            None => {
                let place = Place::posix(format!("/webserver.{}", std::process::id()));
                StorePlace { at: Store::at(place), keep: false }
            }
        }
    }

    fn open(&self) -> netshm::Result<Store> {
        if self.keep { self.at.open_or_create() } else { self.at.create() }
    }
}

impl Drop for StorePlace {
    fn drop(&mut self) {
        if !self.keep {
            let _ = self.at.unlink();
        }
    }
}

//! Pages that are told who is signed in, as it changes: by server-sent events, fed by a watch.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tiny_http::{Request, Response};

use crate::store::{Present, Store};

/// The most pages that one worker keeps up to date.
const MOST: usize = 1000;
/// Pages are told no more often than this.
const TELL_EACH: Duration = Duration::from_millis(100);
/// Interval at which they are written to without a change, so that closed ones are noticed.
const STILL_HERE_EACH: Duration = Duration::from_secs(10);

/// No length, so the end of the answer is that of the connection.
const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";

/// Last event of a page.
const SIGNED_OUT: &str = "event: signed-out\ndata:\n\n";

/// A page that is open in a browser.
struct Stream {
    session: String,
    writer: Box<dyn Write + Send>,
}

impl Stream {
    fn send(&mut self, text: &str) -> io::Result<()> {
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }
}

/// The open pages of this worker. One thread keeps all of them up to date.
pub(crate) struct Live {
    store: Arc<Store>,
    streams: Mutex<Vec<Stream>>,
    /// There is a stream.
    wanted: Condvar,
}

impl Live {
    pub(crate) fn start(store: &Arc<Store>) -> Result<Arc<Live>> {
        let live = Arc::new(Live { store: Arc::clone(store), streams: Mutex::default(), wanted: Condvar::new() });
        let teller = Arc::clone(&live);
        thread::Builder::new().name("live pages".to_owned()).spawn(move || {
            while let Err(error) = teller.tell() {
                eprintln!("live pages: {error:#}");
                // The browsers reconnect.
                teller.streams().clear();
            }
        })?;
        Ok(live)
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request with the events of a session. Returns at once; the events follow.
    pub(crate) fn join(&self, session: String, request: Request) -> Result<()> {
        let mut streams = self.streams();
        // What changes from now on is told by the thread, which waits for the lock.
        if streams.len() >= MOST {
            request.respond(Response::from_string("too many pages are open").with_status_code(503))?;
        } else if self.store.is_signed_in(&session)? {
            let event = event(&self.store.present()?);
            let mut stream = Stream { session, writer: request.into_writer() };
            // Whoever has hung up already has no need of it.
            if stream.send(&format!("{HEAD}retry: 500\n\n{event}")).is_ok() {
                streams.push(stream);
                self.wanted.notify_one();
            }
        } else {
            // So that the page does not ask again.
            let _ = Stream { session, writer: request.into_writer() }.send(&format!("{HEAD}{SIGNED_OUT}"));
        }
        Ok(())
    }

    /// Tells the pages of each change, for ever.
    fn tell(&self) -> Result<()> {
        let mut changes = self.store.changes()?;
        loop {
            // Nobody is woken while nobody looks.
            let nobody = |streams: &mut Vec<Stream>| streams.is_empty();
            drop(self.wanted.wait_while(self.streams(), nobody).unwrap_or_else(PoisonError::into_inner));
            let text = if changes.changed(Some(STILL_HERE_EACH))? {
                event(&self.store.present()?)
            } else {
                ": still here\n\n".to_owned()
            };
            self.streams().retain_mut(|stream| {
                let is_signed_in = self.store.is_signed_in(&stream.session);
                if let Ok(false) = is_signed_in {
                    let _ = stream.send(SIGNED_OUT);
                }
                // Writing to a browser that does not read ends after a while, too: see the supervisor.
                is_signed_in.unwrap_or(false) && stream.send(&text).is_ok()
            });
            thread::sleep(TELL_EACH);
        }
    }
}

/// Returns an event whose lines are the number of those who are signed in and their names.
fn event(present: &Present) -> String {
    let mut event = format!("data: {}\n", present.count);
    for name in &present.names {
        // A line break would end the line.
        event.extend(["data: ", &name.replace(char::is_control, " "), "\n"]);
    }
    event.push('\n');
    event
}

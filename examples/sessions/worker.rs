//! A worker process: answers requests. It may be killed at any moment; the sessions take no harm.

use std::io::{self, Read};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use netshm::declare::Place;
use tiny_http::{Header, Method, Request, Response, Server};

use crate::live::Live;
use crate::pages;
use crate::store::Store;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'";
/// The most that is read of a form.
const LONGEST_FORM: u64 = 4096;
const LONGEST_NAME: usize = 60;

type Page = Response<io::Cursor<Vec<u8>>>;

/// Answers requests until the supervisor says that it is time to end, or has ended itself.
pub(crate) fn serve(supervisor: u32, store: Place, stop: &Arc<AtomicBool>) -> Result<()> {
    let store = Arc::new(Store::at(store).open()?);
    // The supervisor passes the listener, which all workers share, as standard input.
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    let server = Server::from_listener(listener, None).map_err(anyhow::Error::from_boxed)?;
    let live = Live::start(&store)?;
    println!("ready");
    while !stop.load(Ordering::Relaxed) && parent_id() == supervisor {
        let Some(request) = server.recv_timeout(Duration::from_millis(100))? else { continue };
        // In a thread of its own, since a form may take long to arrive. All threads use one handle of the table.
        let (store, live) = (Arc::clone(&store), Arc::clone(&live));
        thread::Builder::new().spawn(move || respond(&store, &live, request))?;
    }
    Ok(())
}

fn respond(store: &Store, live: &Live, mut request: Request) {
    if (request.method(), path(&request)) == (&Method::Get, "/live") {
        if let Err(error) = live.join(session_id(&request), request) {
            eprintln!("GET /live: {error:#}");
        }
        return;
    }
    let page = answer(store, &mut request).unwrap_or_else(|error| {
        eprintln!("{} {}: {error:#}", request.method(), request.url());
        html(pages::message("Something went wrong", "Please try again.")).with_status_code(500)
    });
    // The client may have hung up.
    let _ = request.respond(page);
}

fn answer(store: &Store, request: &mut Request) -> Result<Page> {
    let id = session_id(request);
    Ok(match (request.method(), path(request)) {
        (Method::Get, "/") => match store.visit(&id)? {
            Some((session, all)) => html(pages::session(&session, all, &store.present()?, std::process::id())),
            None => html(pages::sign_in()),
        },
        (Method::Get, "/live.js") => {
            Response::from_string(pages::LIVE_JS).with_header(header("Content-Type", "text/javascript; charset=utf-8"))
        }
        (Method::Post, "/sign-in") => {
            let name = name_in_form(request)?;
            if name.is_empty() || name.chars().count() > LONGEST_NAME {
                return Ok(html(pages::message("Who are you?", "A name has 1 to 60 characters.")).with_status_code(400));
            }
            // A new id each time: one that somebody else has planted in the browser becomes worthless.
            store.sign_out(&id)?;
            let id = store.sign_in(&name)?;
            back_home().with_header(header("Set-Cookie", &format!("session={id}; Path=/; HttpOnly; SameSite=Lax")))
        }
        (Method::Post, "/sign-out") => {
            store.sign_out(&id)?;
            back_home().with_header(header("Set-Cookie", "session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"))
        }
        _ => html(pages::message("Not found", "There is no such page.")).with_status_code(404),
    })
}

fn path(request: &Request) -> &str {
    request.url().split('?').next().unwrap_or_default()
}

/// Returns the session id that the browser sent, or the empty string, which is no valid id.
fn session_id(request: &Request) -> String {
    let cookies = request.headers().iter().filter(|header| header.field.equiv("Cookie"));
    let mut cookies = cookies.flat_map(|header| header.value.as_str().split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix("session=")).unwrap_or_default().to_owned()
}

fn name_in_form(request: &mut Request) -> Result<String> {
    let mut form = Vec::new();
    request.as_reader().take(LONGEST_FORM).read_to_end(&mut form)?;
    let name = form_urlencoded::parse(&form).find(|(field, _)| field == "name");
    Ok(name.map(|(_, value)| value.trim().to_owned()).unwrap_or_default())
}

fn html(page: String) -> Page {
    Response::from_string(page)
        .with_header(header("Content-Type", "text/html; charset=utf-8"))
        .with_header(header("Content-Security-Policy", POLICY))
        .with_header(header("Cache-Control", "no-store"))
}

/// Makes the browser request the page again, so that reloading it does not send a form again.
fn back_home() -> Page {
    Response::from_string("").with_status_code(303).with_header(header("Location", "/"))
}

fn header(field: &str, value: &str) -> Header {
    Header::from_bytes(field, value).expect("our headers are printable ASCII")
}

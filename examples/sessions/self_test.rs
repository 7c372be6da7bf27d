//! A look at the server without a browser.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::options::Options;
use crate::supervisor::Supervisor;

const REQUESTS: u64 = 500;

/// Signs in, counts visits while a worker is killed and replaced, and signs out.
pub(crate) fn run(options: Options) -> Result<()> {
    let mut supervisor = Supervisor::start(&Options { port: 0, ..options })?;
    let address = supervisor.address()?;

    let answer = request(address, "POST /sign-in", "", "name=Ada+%3CLovelace%3E")?;
    let cookie = between(&answer, "Set-Cookie: ", ";")?;
    let page = request(address, "GET /", cookie, "")?;
    ensure!(page.contains("Hello, Ada &lt;Lovelace&gt;"), "the page does not greet: {page}");
    let killed: u32 = between(&page, "<b id=\"worker\">", "<")?.parse()?;
    supervisor.kill(killed)?;
    supervisor.tend()?;

    let start = Instant::now();
    for visit in 2..=REQUESTS {
        let page = request(address, "GET /", cookie, "")?;
        let visits: u64 = between(&page, "<b id=\"visits\">", "<")?.parse()?;
        ensure!(visits == visit, "visit {visit} was counted as {visits}");
        let worker: u32 = between(&page, "<b id=\"worker\">", "<")?.parse()?;
        ensure!(worker != killed, "the killed worker answers");
    }
    let rate = REQUESTS as f64 / start.elapsed().as_secs_f64();
    request(address, "POST /sign-out", cookie, "")?;
    ensure!(request(address, "GET /", cookie, "")?.contains("Who are you?"), "nobody was signed out");
    println!(
        "checked: {REQUESTS} visits by one browser, {rate:.0} a second, still signed in after a worker was killed"
    );
    Ok(())
}

/// Sends a request; the answer, headers included.
fn request(address: SocketAddr, what: &str, cookie: &str, form: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nCookie: {cookie}\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Result<&'a str> {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    Ok(found.with_context(|| format!("no {before:?} in {text}"))?.0)
}

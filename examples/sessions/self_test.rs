//! A look at the server without a browser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

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

    let mut page = events(address, cookie)?;
    wait_for(&mut page, "data: 1")?;
    let other = request(address, "POST /sign-in", "", "name=Grace")?;
    wait_for(&mut page, "data: 2")?;
    request(address, "POST /sign-out", between(&other, "Set-Cookie: ", ";")?, "")?;
    wait_for(&mut page, "data: 1")?;

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
        "checked: {REQUESTS} visits by one browser, {rate:.0} a second, still signed in after a worker was killed, and told at once \
         who else comes and goes"
    );
    Ok(())
}

/// Asks to be told who is signed in.
fn events(address: SocketAddr, cookie: &str) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "GET /live HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n")?;
    Ok(BufReader::new(stream))
}

/// Reads events up to a certain line.
fn wait_for(page: &mut BufReader<TcpStream>, wanted: &str) -> Result<()> {
    let mut line = String::new();
    while line.trim_end() != wanted {
        line.clear();
        ensure!(page.read_line(&mut line)? > 0, "the events end without {wanted:?}");
    }
    Ok(())
}

/// Sends a request, and returns the answer with its headers.
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

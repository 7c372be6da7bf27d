//! `examples/sessions` as its users run it: over TCP, with workers that are killed.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use netshm::ShmName;
use netshm_tests::Scratch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Time limit for a server's answers.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A running server, which ends when this is dropped.
pub(crate) struct Server {
    process: Child,
    lines: Mutex<Receiver<String>>,
    pub(crate) address: String,
    pub(crate) workers: Vec<u32>,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Server {
        let mut process = Command::new(crate::example_common::program("sessions"))
            .args(["--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut server = Server { process, lines: Mutex::new(lines), address: String::new(), workers: Vec::new() };
        while server.address.is_empty() {
            let line = server.line();
            if let Some(address) = line.strip_prefix("listening on http://") {
                server.address = address.to_owned();
            } else {
                server.workers.push(number(&line, "worker ", " started"));
            }
        }
        server
    }

    /// Returns the next line that the server printed.
    #[track_caller]
    fn line(&self) -> String {
        self.lines.lock().unwrap().recv_timeout(LIMIT).expect("the server says something")
    }

    /// Sends a request over a connection of its own; the answer.
    pub(crate) fn request(&self, what: &str, cookie: &str, form: &str) -> String {
        let mut stream = self.connect();
        send(&mut stream, what, &format!("Connection: close\r\nCookie: {cookie}\r\n"), form);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// Signs in; the cookie.
    pub(crate) fn sign_in(&self, name: &str) -> String {
        let answer = self.request("POST /sign-in", "", &format!("name={name}"));
        assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
        between(&answer, "Set-Cookie: ", ";").to_owned()
    }

    /// Looks at the page; the visits it shows, and the worker that answered.
    fn visit(&self, cookie: &str) -> (u32, u32) {
        shown(&self.request("GET /", cookie, ""))
    }

    /// Kills a worker, and waits for another one in its place.
    fn kill_worker(&mut self, worker: u32) -> u32 {
        kill(Pid::from_raw(worker as i32), Signal::SIGKILL).unwrap();
        let line = self.line();
        assert!(line.starts_with(&format!("worker {worker} ended (signal: 9")), "{line}");
        let fresh = number(&line, ", worker ", " started");
        self.workers.retain(|other| *other != worker);
        self.workers.push(fresh);
        fresh
    }

    /// Ends the server as Ctrl-C does.
    fn stop(&mut self) {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGINT).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not SIGKILL: the server removes its table and ends its workers.
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
            let _ = self.process.wait();
        }
    }
}

/// A place in shared memory for sessions that outlive their server. They go away with this.
struct KeptPlace(String);

impl KeptPlace {
    fn new() -> KeptPlace {
        KeptPlace(Scratch::posix("example-sessions").name().to_string())
    }
}

impl Drop for KeptPlace {
    fn drop(&mut self) {
        let _ = self.0.parse::<ShmName>().and_then(|name| name.unlink());
    }
}

pub(crate) fn send(stream: &mut TcpStream, what: &str, headers: &str, form: &str) {
    let length = form.len();
    write!(stream, "{what} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{form}").unwrap();
}

#[track_caller]
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    found.unwrap_or_else(|| panic!("no {before:?} in {text}")).0
}

#[track_caller]
pub(crate) fn number(text: &str, before: &str, after: &str) -> u32 {
    between(text, before, after).parse().unwrap()
}

/// Returns the visits that a page shows, and the worker that answered.
#[track_caller]
fn shown(page: &str) -> (u32, u32) {
    (number(page, "<b id=\"visits\">", "<"), number(page, "<b id=\"worker\">", "<"))
}

#[track_caller]
fn assert_signed_out(page: &str) {
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("action=\"/sign-in\""), "{page}");
}

/// Repeats until something is so; not for ever.
#[track_caller]
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "it never became so");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nobody_is_signed_out_when_workers_are_killed() {
    let mut server = Server::start(&["--workers", "3"]);
    let (ada, bob) = (server.sign_in("Ada"), server.sign_in("Bob"));
    assert_ne!(ada, bob);
    for round in 0..6 {
        let (visits, worker) = server.visit(&ada);
        assert_eq!(visits, 2 * round + 1);
        server.kill_worker(worker);
        let (visits, worker) = server.visit(&ada);
        assert_eq!(visits, 2 * round + 2);
        assert!(server.workers.contains(&worker), "{worker} is none of {:?}", server.workers);
    }
    let page = server.request("GET /", &bob, "");
    assert!(page.contains("<h1>Hello, Bob</h1>"), "{page}");
    assert_eq!(shown(&page).0, 1);
}

#[test]
fn all_workers_can_be_killed() {
    let mut server = Server::start(&["--workers", "2"]);
    let cookie = server.sign_in("Ada");
    let first = server.workers.clone();
    for worker in &first {
        server.kill_worker(*worker);
    }
    let (visits, worker) = server.visit(&cookie);
    assert_eq!(visits, 1);
    assert!(!first.contains(&worker));
}

/// Browsers ask for several things at the same time. Each visit is counted once, and each count is shown once.
#[test]
fn visits_over_many_connections_are_all_counted() {
    let server = Server::start(&["--workers", "3"]);
    let cookie = server.sign_in("Ada");
    let answers: Vec<(u32, u32)> = thread::scope(|scope| {
        let visitors: Vec<_> =
            (0..8).map(|_| scope.spawn(|| (0..25).map(|_| server.visit(&cookie)).collect::<Vec<_>>())).collect();
        visitors.into_iter().flat_map(|visitor| visitor.join().unwrap()).collect()
    });
    let mut visits: Vec<u32> = answers.iter().map(|(visits, _)| *visits).collect();
    visits.sort_unstable();
    assert_eq!(visits, (1..=200).collect::<Vec<u32>>());
    let workers: HashSet<u32> = answers.iter().map(|(_, worker)| *worker).collect();
    assert!(workers.iter().all(|worker| server.workers.contains(worker)), "{workers:?}");
}

/// Connections that are kept open stay with the worker that took them.
#[test]
fn a_kept_connection_ends_with_its_worker_and_the_next_one_goes_on() {
    let mut server = Server::start(&["--workers", "2"]);
    let cookie = format!("Cookie: {}\r\n", server.sign_in("Ada"));
    let mut stream = server.connect();
    let page = |stream: &mut TcpStream| {
        send(stream, "GET /", &cookie, "");
        let mut answer = String::new();
        let mut reader = BufReader::new(stream);
        while !answer.ends_with("</html>\n") && reader.read_line(&mut answer).unwrap_or(0) > 0 {}
        answer
    };
    let (visits, worker) = shown(&page(&mut stream));
    assert_eq!((visits, shown(&page(&mut stream))), (1, (2, worker)));
    server.kill_worker(worker);
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).unwrap_or(0), 0, "{rest:?}");
    assert_eq!(shown(&page(&mut server.connect())).0, 3);
}

#[test]
fn signing_out_ends_the_session_for_everybody_who_has_its_cookie() {
    let server = Server::start(&["--workers", "2"]);
    let cookie = server.sign_in("Ada");
    server.visit(&cookie);
    let answer = server.request("POST /sign-out", &cookie, "");
    assert!(answer.contains("Set-Cookie: session=;") && answer.contains("Max-Age=0"), "{answer}");
    assert_signed_out(&server.request("GET /", &cookie, ""));
}

#[test]
fn signing_in_again_gives_another_cookie_and_ends_the_session_of_the_first() {
    let server = Server::start(&["--workers", "2"]);
    let first = server.sign_in("Ada");
    let answer = server.request("POST /sign-in", &first, "name=Ada");
    let second = between(&answer, "Set-Cookie: ", ";");
    assert_ne!(first, second);
    assert_signed_out(&server.request("GET /", &first, ""));
    assert_eq!(server.visit(second).0, 1);
}

#[test]
fn names_are_shown_as_text() {
    let server = Server::start(&["--workers", "1"]);
    let cookie = server.sign_in("%3Cscript%3Ealert(1)%3C/script%3E+%26+%C3%BC");
    let page = server.request("GET /", &cookie, "");
    assert!(page.contains("<h1>Hello, &lt;script&gt;alert(1)&lt;/script&gt; &amp; ü</h1>"), "{page}");
    assert!(!page.contains("<script>"), "{page}");
}

#[test]
fn the_cookie_is_out_of_reach_for_scripts_and_foreign_forms() {
    let server = Server::start(&["--workers", "1"]);
    let answer = server.request("POST /sign-in", "", "name=Ada");
    let cookie = between(&answer, "Set-Cookie: ", "\r\n");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"), "{cookie}");
    assert_eq!(between(cookie, "session=", ";").len(), 32);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = Server::start(&["--workers", "1"]);
    for form in ["", "name=", "name=+++", "other=Ada", &format!("name={}", "a".repeat(61)), &"x".repeat(100_000)] {
        let answer = server.request("POST /sign-in", "", form);
        assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("Set-Cookie"), "{answer}");
    }
    for what in ["GET /other", "POST /", "GET /sign-out", "DELETE /"] {
        assert!(server.request(what, "", "").starts_with("HTTP/1.1 404 "), "{what}");
    }
    for cookie in ["session=", "session=0", "session", "other=1; session=%C3%BC", ";;;=;", "session=a=b"] {
        assert_signed_out(&server.request("GET /", cookie, ""));
    }
}

#[test]
fn somebody_who_never_finishes_a_form_holds_nobody_up() {
    let server = Server::start(&["--workers", "1"]);
    let mut stalled = server.connect();
    write!(stalled, "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n\r\nname=").unwrap();
    for round in 1..=20 {
        let cookie = server.sign_in("Ada");
        assert_eq!(server.visit(&cookie).0, 1, "round {round}");
    }
}

#[test]
fn sessions_that_nobody_uses_are_swept() {
    let server = Server::start(&["--workers", "1", "--idle", "0"]);
    let cookie = server.sign_in("Ada");
    assert_eq!(server.line(), "sessions ended because nobody used them: 1");
    assert_signed_out(&server.request("GET /", &cookie, ""));
}

#[test]
fn sessions_outlive_the_server_if_their_table_has_a_name() {
    let place = KeptPlace::new();
    let mut server = Server::start(&["--workers", "2", "--store", &place.0]);
    let cookie = server.sign_in("Ada");
    assert_eq!(server.visit(&cookie).0, 1);
    server.stop();
    let server = Server::start(&["--workers", "2", "--store", &place.0]);
    assert_eq!(server.visit(&cookie).0, 2);
}

#[test]
fn the_server_ends_its_workers_and_leaves_nothing_behind() {
    let mut server = Server::start(&["--workers", "2"]);
    let object = format!("/dev/shm/webserver.{}", server.process.id());
    assert!(std::fs::exists(&object).unwrap());
    server.stop();
    assert!(!std::fs::exists(&object).unwrap());
    for worker in &server.workers {
        assert_eq!(kill(Pid::from_raw(*worker as i32), None), Err(nix::errno::Errno::ESRCH));
    }
}

#[test]
fn workers_end_when_the_supervisor_is_killed() {
    let place = KeptPlace::new();
    let mut server = Server::start(&["--workers", "2", "--store", &place.0]);
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    // A process that has ended, but that nobody has waited for, no longer has a program.
    let gone = |worker: &u32| std::fs::read_link(format!("/proc/{worker}/exe")).is_err();
    eventually(|| server.workers.iter().all(gone));
}

#[test]
fn the_self_test_succeeds() {
    let output = Command::new(crate::example_common::program("sessions")).arg("--self-test").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("still signed in after a worker was killed"));
}

/// Returns the first headless browser that is installed, if any is.
pub(crate) fn browser() -> Option<&'static str> {
    let runs =
        |name: &&str| Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| runs(name))
}

#[test]
fn a_browser_shows_the_form() {
    let Some(browser) = browser() else {
        println!("skipped: no headless browser is installed");
        return;
    };
    let server = Server::start(&[]);
    let profile = std::env::temp_dir().join(format!("netshm-test-browser-{}", std::process::id()));
    let mut process = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("http://{}/", server.address))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = process.stdout.take().unwrap();
    let (sender, page) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        let _ = output.read_to_string(&mut text);
        sender.send(text)
    });
    let page = page.recv_timeout(LIMIT);
    let _ = process.kill();
    let _ = process.wait();
    let _ = std::fs::remove_dir_all(&profile);
    let page = page.expect("the browser comes to an end");
    assert!(page.contains("<form") && page.contains("action=\"/sign-in\""), "{page}");
}

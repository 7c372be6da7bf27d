//! Pages of `examples/sessions` that are told who is signed in: over HTTP, and in a browser where one is installed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use netshm_tests::Scratch;
use serde_json::{Value, json};

use crate::example_sessions::{LIMIT, Server, between, browser, eventually, number, send};

/// A connection that a certain worker serves.
struct Connection {
    reader: BufReader<TcpStream>,
    cookie: String,
    worker: u32,
}

impl Connection {
    fn open(server: &Server, cookie: &str) -> Connection {
        let reader = BufReader::new(server.connect());
        let mut connection = Connection { reader, cookie: cookie.to_owned(), worker: 0 };
        let page = connection.request("GET /", "");
        connection.worker = number(&page, "<b id=\"worker\">", "<");
        connection
    }

    /// Opens a connection that another worker serves than this one.
    fn another(&self, server: &Server) -> Connection {
        let mut connections = (0..1000).map(|_| Connection::open(server, &self.cookie));
        connections.find(|connection| connection.worker != self.worker).expect("one worker answers all")
    }

    fn send(&mut self, what: &str, form: &str) {
        let cookie = format!("Cookie: {}\r\n", self.cookie);
        send(self.reader.get_mut(), what, &cookie, form);
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.reader.read_line(&mut head).unwrap() > 0, "the connection ends: {head}");
        }
        head
    }

    /// Sends a request, and keeps the connection; the answer.
    fn request(&mut self, what: &str, form: &str) -> String {
        self.send(what, form);
        let mut answer = self.head();
        let length =
            answer.split_once("Content-Length: ").map_or(0, |(_, rest)| between(rest, "", "\r\n").parse().unwrap());
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        answer.push_str(&String::from_utf8(body).unwrap());
        answer
    }

    /// Asks for the events.
    fn listen(mut self) -> Connection {
        self.send("GET /live", "");
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Type: text/event-stream\r\n"), "{head}");
        assert_eq!(self.event(), "retry: 500\n");
        self
    }

    /// Returns the next event.
    fn event(&mut self) -> String {
        let mut event = String::new();
        while !event.ends_with("\n\n") {
            assert!(self.reader.read_line(&mut event).unwrap() > 0, "the events end: {event}");
        }
        event.truncate(event.len() - 1);
        event
    }

    /// Waits for an event, among others: changes may be told as one, and twice.
    #[track_caller]
    fn until(&mut self, wanted: &str) {
        let mut event = String::new();
        for _ in 0..100 {
            event = self.event();
            if event == wanted {
                return;
            }
        }
        panic!("{event:?} is not {wanted:?}");
    }
}

#[test]
fn an_open_page_is_told_who_signs_in_and_out_at_another_worker() {
    let server = Server::start(&["--workers", "2"]);
    let ada = server.sign_in("Ada");
    let mut page = Connection::open(&server, &ada);
    let mut other = page.another(&server);
    page = page.listen();
    page.until("data: 1\ndata: Ada\n");
    other.cookie = String::new();
    let answer = other.request("POST /sign-in", "name=Zo%C3%AB%0Adata:+0");
    page.until("data: 2\ndata: Ada\ndata: Zoë data: 0\n");
    other.cookie = between(&answer, "Set-Cookie: ", ";").to_owned();
    other.request("POST /sign-out", "");
    page.until("data: 1\ndata: Ada\n");
}

#[test]
fn the_events_end_with_the_session() {
    let server = Server::start(&["--workers", "1"]);
    let ada = server.sign_in("Ada");
    let mut page = Connection::open(&server, &ada).listen();
    server.request("POST /sign-out", &ada, "");
    page.until("event: signed-out\ndata:\n");
    // And so it is when it asks again.
    for cookie in [&ada, ""] {
        let answer = server.request("GET /live", cookie, "");
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nevent: signed-out\ndata:\n\n"),
            "{answer}"
        );
    }
}

/// Returns the number of connections that a process has.
fn sockets(process: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn one_thread_tells_all_pages_and_closed_ones_leave_nothing() {
    let server = Server::start(&["--workers", "1"]);
    let worker = server.workers[0];
    let ada = server.sign_in("Ada");
    let tellers = || {
        let tasks = std::fs::read_dir(format!("/proc/{worker}/task")).unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name == "live pages\n").count()
    };
    let first = sockets(worker);
    let mut pages: Vec<_> = (0..20).map(|_| Connection::open(&server, &ada).listen()).collect();
    assert_eq!(tellers(), 1);
    assert!(sockets(worker) >= first + 20);
    server.sign_in("Bob");
    pages.iter_mut().for_each(|page| page.until("data: 2\ndata: Ada\ndata: Bob\n"));
    drop(pages);
    eventually(|| {
        // What is told next shows that nobody reads it.
        server.sign_in("Cleo");
        sockets(worker) <= first + 2
    });
    assert_eq!(tellers(), 1);
}

#[test]
fn a_page_that_does_not_read_is_given_up() {
    let server = Server::start(&["--workers", "1"]);
    let ada = server.sign_in("Ada");
    // Many names of many bytes.
    let name = "%F0%9F%90%8C".repeat(60);
    let mut count = 1;
    let mut sign_in = || {
        server.sign_in(&name);
        count += 1;
        format!("data: {count}\n")
    };
    (0..60).for_each(|_| drop(sign_in()));
    let mut stalled = Connection::open(&server, &ada);
    // The server closes it when it has written what it wants to.
    stalled.cookie.push_str("\r\nConnection: close");
    let _stalled = stalled.listen();
    let mut page = Connection::open(&server, &ada).listen();
    // The thread that sends to the one has to go on with the other.
    let connections = sockets(server.workers[0]);
    let is_given_up = |_| {
        let told = sign_in();
        while !page.event().starts_with(&told) {}
        sockets(server.workers[0]) < connections
    };
    assert!((0..1000).any(is_given_up));
}

/// A browser, spoken to by the protocol of its developers' tools.
struct Browser {
    process: Child,
    input: ChildStdin,
    answers: Receiver<Value>,
    profile: std::path::PathBuf,
    calls: u64,
    page: Value,
}

impl Browser {
    fn open(program: &str, url: &str) -> Browser {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let number = OPENED.fetch_add(1, Relaxed);
        let profile = std::env::temp_dir().join(format!("netshm-test-live-{}-{number}", std::process::id()));
        // It speaks on descriptors 3 and 4.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null"#, "sh", program])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let answers = answers(output);
        let mut browser = Browser { process, input, answers, profile, calls: 0, page: Value::Null };
        let target = browser.call("Target.createTarget", &json!({ "url": url }))["targetId"].clone();
        let page = browser.call("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        browser.page = page["sessionId"].clone();
        browser
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if !self.page.is_null() {
            call["sessionId"] = self.page.clone();
        }
        self.input.write_all(format!("{call}\0").as_bytes()).unwrap();
        loop {
            let answer = self.answers.recv_timeout(LIMIT).expect("the browser answers");
            if answer["id"] == self.calls {
                return answer["result"].clone();
            }
        }
    }

    /// Returns the text that an expression of its page has as value.
    fn text(&mut self, expression: &str) -> String {
        let params = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &params);
        answer["result"]["value"].as_str().unwrap_or_default().to_owned()
    }
}

fn answers(output: ChildStdout) -> Receiver<Value> {
    let (sender, answers) = channel();
    let messages = BufReader::new(output).split(0).map_while(Result::ok);
    let mut values = messages.filter_map(|message| serde_json::from_slice(&message).ok());
    thread::spawn(move || values.try_for_each(|value| sender.send(value)));
    answers
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        thread::sleep(Duration::from_millis(50));
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

#[test]
fn a_browser_shows_who_is_signed_in_now() {
    let Some(program) = browser() else {
        println!("skipped: no headless browser is installed");
        return;
    };
    let server = Server::start(&["--workers", "2"]);
    let mut browser = Browser::open(program, &format!("http://{}/", server.address));
    let shown = "document.getElementById('count')?.textContent + ':' + document.getElementById('names')?.innerText";
    eventually(|| browser.text("document.title") == "Who are you?");
    browser.text("document.getElementById('name').value = 'Ada'; document.forms[0].submit(); ''");
    eventually(|| browser.text(shown) == "1:Ada");
    let bob = server.sign_in("%3Cb%3EBob%3C/b%3E");
    eventually(|| browser.text(shown) == "2:<b>Bob</b>\nAda");
    server.request("POST /sign-out", &bob, "");
    eventually(|| browser.text(shown) == "1:Ada");
    // No page was loaded anew.
    assert_eq!(browser.text("document.getElementById('visits').textContent"), "1");
    // More than the page shows by name.
    let others: Vec<_> = (0..51).map(|number| server.sign_in(&format!("user+{number:02}"))).collect();
    eventually(|| browser.text("document.getElementById('more').textContent") == "and 2 more");
    others.iter().for_each(|cookie| drop(server.request("POST /sign-out", cookie, "")));
    eventually(|| browser.text(shown) == "1:Ada");
    assert_eq!(browser.text("document.getElementById('more').textContent"), "");
    // The one window shows what another one has done.
    browser.text("fetch('/sign-out', { method: 'POST' }); ''");
    eventually(|| browser.text("document.title") == "Who are you?");
}

#[test]
fn a_browser_says_that_the_connection_is_lost_and_connects_again() {
    let Some(program) = browser() else {
        println!("skipped: no headless browser is installed");
        return;
    };
    let store = Scratch::posix("example-live");
    let store = store.name().to_string();
    let server = Server::start(&["--workers", "1", "--store", &store]);
    let address = server.address.clone();
    let mut browser = Browser::open(program, &format!("http://{address}/"));
    eventually(|| browser.text("document.title") == "Who are you?");
    browser.text("document.getElementById('name').value = 'Ada'; document.forms[0].submit(); ''");
    let is_lost = "String(document.getElementById('lost')?.hidden === false)";
    eventually(|| browser.text("document.getElementById('names')?.innerText") == "Ada");
    assert_eq!(browser.text(is_lost), "false");
    drop(server);
    eventually(|| browser.text(is_lost) == "true");
    let port = address.rsplit(':').next().unwrap();
    let server = Server::start(&["--workers", "1", "--store", &store, "--port", port]);
    eventually(|| browser.text(is_lost) == "false");
    server.sign_in("Bob");
    eventually(|| browser.text("document.getElementById('names')?.innerText") == "Ada\nBob");
}

//! Commands that watch programs at work, and clean up after them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use netshm::{HashTable, Locking, Shm, ShmName};
use netshm_tests::{Child, Scratch};
use nix::pty::{Winsize, openpty};
use serde_json::json;

use crate::support::{Named, failure, json, netshm, output, several, text};

const LIMIT: Duration = Duration::from_secs(60);

fn table(name: &str) -> HashTable<u64, u64> {
    HashTable::options().stripes(4).manage(Shm::open(name).unwrap()).unwrap()
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    let table = table(&arguments[0]);
    let key = |text: &String| text.parse::<u64>().unwrap();
    let start = Instant::now();
    match part {
        // Holds the stripe of a key; with a second one, waits for that as soon as a file is there.
        "holder" => table
            .group_retry(|| {
                table.replace(&key(&arguments[1]), &1)?;
                println!("> holds");
                let Some([second, file]) = arguments.get(2..4) else {
                    thread::sleep(LIMIT);
                    return Ok(());
                };
                while !std::path::Path::new(file).exists() && start.elapsed() < LIMIT {
                    thread::sleep(Duration::from_millis(1));
                }
                table.replace(&key(second), &2)
            })
            .unwrap(),
        "writer" => {
            println!("> writes");
            while start.elapsed() < LIMIT {
                table.update(&1, |old| Some(old.unwrap_or(0).wrapping_add(1))).unwrap();
            }
        }
        "idler" => {
            println!("> open");
            thread::sleep(LIMIT);
        }
        other => panic!("no such part: {other}"),
    }
}

fn start(part: &str, arguments: &[&str]) -> Child {
    let child = Child::start(&format!("watching::{part}"), arguments);
    assert!(child.line().is_some());
    child
}

/// Repeats until what is waited for is seen.
#[track_caller]
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "not seen within {LIMIT:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn holders_and_waiters_are_shown() {
    for locking in [Locking::Futex, Locking::Record] {
        let named = Named::new("cli-locks");
        drop(HashTable::<u64, u64>::options().locking(locking).stripes(4).manage(named.object.open()).unwrap());
        assert_eq!(output(&["locks", &named.name]), "no locks are held\n");
        let holder = start("holder", &[&named.name, "1"]);
        let waiter = Child::start("watching::holder", &[&named.name, "1"]);
        let seen = until(|| {
            let seen = json(&["locks", &named.name, "--during", "0.1"]);
            (seen[0]["waits"][0]["seconds"].as_f64()? > 0.05).then_some(seen)
        });
        assert_eq!(
            (&seen[0]["holds"][0]["pid"], &seen[0]["waits"][0]["pid"]),
            (&json!(holder.id()), &json!(waiter.id()))
        );
        assert_eq!(seen[0]["deadlocks"], json!([]));
        let shown = output(&["locks", &named.name, "--during", "0.1"]);
        assert!(shown.contains(&format!("process {}", holder.id())) && shown.contains("waits"), "{shown}");
        // Of the program its name, so that the arguments have room; for scripts all of it.
        let program = std::env::current_exe().unwrap();
        let name = program.file_name().unwrap().to_string_lossy();
        assert!(shown.contains(&format!("  {name} --exact")), "the command line of the holder: {shown}");
        let whole = seen[0]["holds"][0]["command"].as_str().unwrap();
        assert!(whole.starts_with(&format!("{} --exact", program.display())), "{whole}");
        // Among all objects.
        assert!(output(&["locks", "--during", "0.01"]).contains(&named.name));
    }
}

#[test]
fn a_deadlock_is_shown_as_its_ring() {
    let named = Named::new("cli-ring");
    drop(HashTable::<u64, u64>::options().stripes(4).manage(named.object.open()).unwrap());
    let stripe_of = |key: u64| {
        let holder = start("holder", &[&named.name, &key.to_string()]);
        let stripe = json(&["locks", &named.name, "--during", "0.01"])[0]["holds"][0]["stripe"].clone();
        drop(holder);
        output(&["sync", &named.name]);
        stripe
    };
    let first = stripe_of(1);
    let second = (2..).find(|key| stripe_of(*key) != first).unwrap().to_string();
    let files = [0; 2].map(|_| Scratch::file("go"));
    let paths = files.each_ref().map(|file| file.name().to_string().replace("file:", ""));
    let mut children = [
        (start("holder", &[&named.name, "1", &second, &paths[0]]), &paths[0]),
        (start("holder", &[&named.name, &second, "1", &paths[1]]), &paths[1]),
    ];
    // The larger slot gives way; stopped in its wait it does not.
    let seen = json(&["locks", &named.name, "--during", "0.01"]);
    let slot_of = |child: &Child| {
        let holds = seen[0]["holds"].as_array().unwrap();
        holds.iter().find(|hold| hold["pid"] == child.id()).unwrap()["slot"].as_u64().unwrap()
    };
    children.sort_by_key(|(child, _)| std::cmp::Reverse(slot_of(child)));
    std::fs::write(children[0].1, "").unwrap();
    let waits = || {
        let seen = json(&["locks", &named.name, "--during", "0.01"]);
        seen[0]["waits"].as_array().is_some_and(|waits| !waits.is_empty()).then_some(())
    };
    until(waits);
    children[0].0.stop();
    std::fs::write(children[1].1, "").unwrap();
    let ring = until(|| {
        let seen = json(&["locks", &named.name, "--during", "0.01"]);
        seen[0]["deadlocks"].get(0).cloned()
    });
    let pids: BTreeSet<_> = ring.as_array().unwrap().iter().map(|link| link["pid"].as_u64().unwrap()).collect();
    assert_eq!(pids, children.iter().map(|(child, _)| u64::from(child.id())).collect());
    assert_eq!(ring[0]["held_by_pid"], ring[1]["pid"]);
    let shown = until(|| {
        let shown = output(&["locks", &named.name, "--during", "0.01"]);
        shown.contains("deadlock of 2 writers").then_some(shown)
    });
    for (child, _) in &children {
        assert!(shown.contains(&format!("held by process {}", child.id())), "{shown}");
    }
}

#[test]
fn top_prints_one_interval() {
    let named = Named::new("cli-top");
    drop(HashTable::<u64, u64>::options().stripes(4).manage(named.object.open()).unwrap());
    let writer = start("writer", &[&named.name]);
    let document = json(&["top", &named.name, "--once", "--interval", "0.3"]);
    assert!(document["changes_per_second"].as_f64().unwrap() > 10.0, "{document}");
    assert_eq!(document["members"][0]["changes_per_second"], document["changes_per_second"]);
    assert_eq!(document["stripes"].as_array().unwrap().len(), 1);
    assert_eq!((&document["users"], &document["processes"][0]["pid"]), (&json!(1), &json!(writer.id())));
    let shown = output(&["top", &named.name, "--once", "-i", "0.1"]);
    assert!(shown.contains("CHANGES/S") && shown.contains(&writer.id().to_string()), "{shown}");
    assert!(failure(1, &["top", &named.name]).contains("needs a terminal"));
}

/// A program in a terminal of its own.
struct Terminal {
    child: std::process::Child,
    master: std::fs::File,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        let slave = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = std::process::Command::new(assert_cmd::cargo::cargo_bin("netshm"))
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied())
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        drop(pair.slave);
        let master = std::fs::File::from(pair.master);
        let mut reader = master.try_clone().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, master, output, screen: vt100::Parser::new(40, 120, 0) }
    }

    /// Returns what is on the screen, as soon as it is as wanted.
    #[track_caller]
    fn screen_until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        until(|| {
            while let Ok(bytes) = self.output.try_recv() {
                self.screen.process(&bytes);
            }
            let screen = self.screen.screen().contents();
            wanted(&screen).then_some(screen)
        })
    }

    #[track_caller]
    fn ends_well(mut self) {
        let status = until(|| self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn top_is_live_in_a_terminal() {
    let named = Named::new("cli-top");
    drop(HashTable::<u64, u64>::options().stripes(4).manage(named.object.open()).unwrap());
    let writer = start("writer", &[&named.name]);
    let holder = start("holder", &[&named.name, "2"]);
    let mut terminal = Terminal::start(&["top", &named.name, "--interval", "0.1"], &[]);
    let pids = [holder.id(), writer.id()].map(|pid| pid.to_string());
    let parts =
        [&*named.name, "in use", "changes a second", "BUSIEST STRIPE", "locks", "holds", &pids[0], &pids[1], "q quit"];
    // What is drawn comes in pieces.
    terminal.screen_until(|screen| parts.iter().all(|part| screen.contains(part)));
    assert!(terminal.screen.screen().alternate_screen());
    terminal.master.write_all(b"p").unwrap();
    terminal.screen_until(|screen| screen.contains("(paused)"));
    terminal.master.write_all(b"+").unwrap();
    terminal.screen_until(|screen| screen.contains("0.2 s"));
    terminal.master.write_all(b"q").unwrap();
    terminal.ends_well();
}

#[test]
fn on_a_terminal_deleting_is_only_shown() {
    let named = several("cli-gc-terminal");
    let pattern = named.name.replace("posix:/", "");
    let mut terminal = Terminal::start(&["gc", &pattern], &[("NO_COLOR", "1")]);
    let screen = terminal.screen_until(|screen| screen.contains("dry run"));
    assert!(screen.contains("would delete 1 object"), "{screen}");
    terminal.ends_well();
    output(&["stat", &named.name]);
}

#[test]
fn orphans_are_deleted_and_nothing_else() {
    let prefix = format!("netshm-cli-gc-{}", std::process::id());
    let name = |kind: &str, number: usize| ShmName::posix(format!("/{prefix}-{kind}-{number}")).unwrap();
    // Many small objects: each is made as a copy of one.
    let make = |name: &ShmName| {
        let shm = Shm::options().create_new(true).open(name).unwrap();
        HashTable::<u64, u64>::options().stripes(1).slots(4).max_size(1 << 20).manage(shm).unwrap()
    };
    struct Cleanup(Vec<ShmName>);
    impl Drop for Cleanup {
        fn drop(&mut self) {
            self.0.iter().for_each(|name| drop(name.unlink()));
        }
    }
    let orphans: Vec<_> = (0..1000).map(|number| name("orphan", number)).collect();
    let live: Vec<_> = (0..100).map(|number| name("live", number)).collect();
    let foreign = name("foreign", 0);
    let _cleanup = Cleanup(orphans.iter().chain(&live).chain([&foreign]).cloned().collect());
    drop(make(&orphans[0]));
    let path = |name: &ShmName| name.to_string().replace("posix:", "/dev/shm");
    for name in &orphans[1..] {
        std::fs::copy(path(&orphans[0]), path(name)).unwrap();
    }
    let mut tables: Vec<_> = live.iter().take(98).map(make).collect();
    drop((make(&live[98]), make(&live[99])));
    let idler = start("idler", &[&live[98].to_string()]);
    // Open, but not managed.
    let opened = Shm::open(&live[99]).unwrap();
    std::fs::write(format!("/dev/shm/{prefix}-foreign-0"), "of somebody else").unwrap();

    let pattern = format!("{prefix}-*");
    let listed = json(&["ls"]);
    let ours = listed.as_array().unwrap().iter().filter(|found| found["name"].as_str().unwrap().contains(&prefix));
    assert_eq!(ours.count(), 1100);
    let dry = json(&["gc", &pattern, "--dry-run"]);
    assert!(dry["objects"].as_array().unwrap().len() >= 1000);
    assert_eq!(json(&["gc", &pattern, "--older-than", "1d"])["objects"], json!([]));
    assert_eq!(json(&["gc", "no-such-*"])["objects"], json!([]));
    assert!(failure(1, &["gc"]).contains("which objects"));
    let done = json(&["gc", &pattern]);
    let deleted: BTreeSet<_> =
        done["objects"].as_array().unwrap().iter().map(|found| found["name"].as_str().unwrap().to_owned()).collect();
    let expected: BTreeSet<_> = orphans.iter().map(ToString::to_string).collect();
    let difference: Vec<_> = deleted.symmetric_difference(&expected).collect();
    assert!(difference.is_empty(), "{difference:?}");
    for (table, name) in tables.iter().zip(&live) {
        table.add(&1, &1).unwrap();
        output(&["get", &name.to_string(), "1"]);
    }
    drop(opened);
    drop(idler);
    tables.clear();
    assert_eq!(json(&["gc", &pattern])["objects"].as_array().unwrap().len(), 100);
    assert!(std::path::Path::new(&format!("/dev/shm/{prefix}-foreign-0")).exists());
}

/// The text of such a name leads to no file.
#[test]
fn orphans_are_deleted_whatever_their_names_are() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let pattern = format!("netshm-cli-gc-bytes-{}", std::process::id());
    let name = ShmName::posix(OsStr::from_bytes(&[b"/", pattern.as_bytes(), b"-\xff"].concat())).unwrap();
    let shm = Shm::options().create_new(true).open(&name).unwrap();
    drop(HashTable::<u64, u64>::options().stripes(1).slots(4).max_size(1 << 20).manage(shm).unwrap());
    let done = json(&["gc", &format!("{pattern}*"), "--older-than", "0s"]);
    let is_there = name.path().exists();
    let _ = name.unlink();
    assert!(!is_there && done["objects"].as_array().unwrap().len() == 1, "{done}");
}

#[test]
fn help_completions_and_manual_pages_are_printed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(output(&["completions", shell]).contains("netshm"), "{shell}");
    }
    assert!(output(&["man"]).contains(".TH netshm 1"));
    let page = output(&["man", "ls"]);
    assert!(page.contains("needs recovery") && page.contains(".SH EXAMPLES\n.nf\nnetshm ls\n"), "{page}");
    assert!(output(&["man"]).contains(".SH \"EXIT STATUS\"\n0 on success"));
    let directory = Scratch::file("cli-man");
    let path = directory.name().to_string().replace("file:", "");
    output(&["man", "--directory", &path]);
    assert!(std::fs::read_dir(&path).unwrap().count() > 25);
    std::fs::remove_dir_all(&path).unwrap();
    // Each command has a help with examples, and lines that fit.
    let help = output(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for command in commands.map(|line| line.split_whitespace().next().unwrap()).filter(|command| *command != "help") {
        let help = output(&[command, "--help"]);
        let widest = help.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 100, "{command}: {help}");
        assert!(help.contains("Examples:\n  netshm "), "{command}: {help}");
    }
    let unknown = netshm(&["lss"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("similar subcommand"));
}

#[test]
fn this_machine_is_measured() {
    let document = json(&["bench", "-n", "1000", "--seconds", "0.01"]);
    assert!(document["results"].as_array().unwrap().iter().all(|result| result["nanoseconds"].as_f64().unwrap() > 0.0));
    assert!(!output(&["ls"]).contains("netshm-bench."));
}

#[test]
fn values_are_waited_for() {
    let named = several("cli-wait");
    let name = &*named.name;
    assert_eq!(output(&["wait", name, "-m", "pairs", "7"]), "49\n");
    let late = failure(1, &["wait", name, "-m", "pairs", "700", "--timeout", "0.05"]);
    assert!(late.contains("700") || late.contains("waited"), "{late}");
    let wait = |arguments: &'static [&'static str]| {
        let arguments = [&["wait", name, "-m"][..], arguments, &["--timeout", "50"]].concat();
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("netshm"));
        command.args(arguments).stdout(Stdio::piped()).spawn().unwrap()
    };
    let ends = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        text(&output.stdout)
    };
    let waits = [
        wait(&["pairs", "700"]),
        wait(&["pairs", "7", "--value", "50"]),
        wait(&["pairs", "8", "--absent"]),
        wait(&["hits", "3", "--changed"]),
    ];
    // Whoever looks before the change and whoever looks after it sees the same in the end.
    until(|| (json(&["stat", name])["users"].as_u64() >= Some(4)).then_some(()));
    output(&["set", name, "-m", "pairs", "700", "1"]);
    output(&["set", name, "-m", "pairs", "7", "50"]);
    output(&["remove", name, "-m", "pairs", "8"]);
    // The waiter may look at the element for the first time only now.
    let hits = waits.map(Some);
    let [first, second, third, mut fourth] = hits;
    assert_eq!([first, second, third].map(|child| ends(child.unwrap())), ["1\n", "50\n", ""]);
    let end = Instant::now() + LIMIT;
    while fourth.as_mut().unwrap().try_wait().unwrap().is_none() {
        output(&["incr", name, "-m", "hits", "3"]);
        assert!(Instant::now() < end);
    }
    assert!(ends(fourth.unwrap()).trim().parse::<u64>().unwrap() > 33);
}

#[test]
fn changes_are_printed_as_they_come() {
    let named = several("cli-watch");
    let name = &*named.name;
    let start = |arguments: &[&str]| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("netshm"));
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let (sender, receiver) = channel();
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        (child, receiver)
    };
    let (mut child, lines) = start(&["watch", name, "-m", "pairs", "--initial", "--limit", "23", "--timeout", "50"]);
    for number in 0..20 {
        assert_eq!(lines.recv_timeout(LIMIT).unwrap(), format!("set\t{number}\t{}", number * number));
    }
    output(&["set", name, "-m", "pairs", "5", "55"]);
    assert_eq!(lines.recv_timeout(LIMIT).unwrap(), "set\t5\t55");
    output(&["remove", name, "-m", "pairs", "6"]);
    assert_eq!(lines.recv_timeout(LIMIT).unwrap(), "removed\t6");
    output(&["set", name, "-m", "pairs", "500", "1"]);
    assert_eq!(lines.recv_timeout(LIMIT).unwrap(), "set\t500\t1");
    assert!(child.wait().unwrap().success());

    let (mut child, lines) =
        start(&["--json", "watch", name, "-m", "hits", "3..5", "--initial", "-n", "3", "-t", "50"]);
    let next = || serde_json::from_str::<serde_json::Value>(&lines.recv_timeout(LIMIT).unwrap()).unwrap();
    assert_eq!(next(), json!({"change": "set", "key": 3, "value": 33}));
    assert_eq!(next(), json!({"change": "set", "key": 4, "value": 7}));
    output(&["set", name, "-m", "hits", "2..4", "1"]);
    assert_eq!(next(), json!({"change": "set", "key": 3, "value": 1}));
    assert!(child.wait().unwrap().success());
    assert_eq!(output(&["watch", name, "-m", "pairs", "--timeout", "0.05"]), "");
}

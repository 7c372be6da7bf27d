//! `examples/jobs` as its users run it: with processes that are killed, stopped and gone on with.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::{Shm, ShmName};
use netshm_tests::Scratch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_secs(60);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::example_common::program("jobs"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end; what it said.
fn jobs(arguments: &[&str]) -> (bool, String) {
    let child = command(arguments).spawn().unwrap();
    let name = format!("/dev/shm/jobs.{}", child.id());
    let output = child.wait_with_output().unwrap();
    assert!(!std::fs::exists(name).unwrap(), "the queue is left behind");
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// A place for a queue that outlives its program. It goes away with this.
struct Kept(ShmName);

impl Kept {
    fn new() -> Kept {
        Kept(Scratch::posix("example-jobs").name().clone())
    }

    /// Starts the program upon it, with work that does not come to an end here.
    fn start(&self) -> Child {
        let place = self.0.to_string();
        let mut child = command(&["--store", &place, "--jobs", "1000000", "--size", "1"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("1,000,000 jobs, "), "{line}");
        child
    }

    /// Waits until workers are at work.
    fn until_at_work(&self, changes: u32) {
        let taken = DynTable::open_member(Shm::open(&self.0).unwrap(), "taken").unwrap();
        let mut watch = taken.watch().unwrap();
        let (start, mut seen) = (Instant::now(), 0);
        while seen < changes {
            seen += u32::from(watch.changed(Some(Duration::from_secs(1))).unwrap());
            assert!(start.elapsed() < LIMIT, "nobody works");
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.unlink();
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Returns the processes that a program has started, each in one of its threads.
fn children(program: &Child) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
    lists
        .flat_map(|list| list.split_whitespace().map(|id| Pid::from_raw(id.parse().unwrap())).collect::<Vec<_>>())
        .collect()
}

/// Waits for the end of a program; whether it succeeded, and the rest of what it said.
fn end(mut child: Child) -> (bool, String) {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    (status.success(), format!("{text}[{status}]"))
}

/// Returns the number of processes that the program has killed, by what it said: fewer than it was told to, if the work ended before
/// it came to the last ones.
fn killed(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.split_once(" processes killed here"));
    line.map_or(0, |(number, _)| number.parse().unwrap())
}

#[test]
fn the_self_test_succeeds() {
    let (success, text) = jobs(&["--self-test", "--size", "10"]);
    assert!(success && text.contains("checked: each of 2,000 jobs was done once"), "{text}");
    assert!(killed(&text) <= 20, "{text}");
}

/// The program compares all results in the end, and how often each job was done.
#[test]
fn no_job_is_lost_whoever_is_killed() {
    let mut kills = std::env::var("NETSHM_KILLS").map_or(30, |kills| kills.parse().unwrap());
    for round in 1.. {
        let (all, wanted) = ((kills * 100_u64).to_string(), kills.to_string());
        let (success, text) =
            jobs(&["--jobs", &all, "--kills", &wanted, "--size", "20", "--workers", "3", "--capacity", "7"]);
        assert!(success && text.contains("checked: "), "{text}");
        println!("{text}");
        kills -= killed(&text);
        if kills == 0 {
            break;
        }
        assert!(round < 20, "the work always ends before anybody is killed: {text}");
    }
}

#[test]
fn work_that_is_stopped_can_be_gone_on_with() {
    let kept = Kept::new();
    for signals in [&[Signal::SIGINT][..], &[Signal::SIGTERM], &[Signal::SIGINT, Signal::SIGINT]] {
        let program = kept.start();
        kept.until_at_work(20);
        signals.iter().for_each(|which| signal(&program, *which));
        let (success, text) = end(program);
        assert!(success && text.contains("stopped: ") && text.contains("none is lost"), "{text}");
        assert!(text.contains("the same command goes on with them"), "{text}");
    }
}

/// Two would stop each other's.
#[test]
fn only_one_program_keeps_others_at_work() {
    let kept = Kept::new();
    let program = kept.start();
    let place = kept.0.to_string();
    let (success, text) = jobs(&["--store", &place]);
    let expected = format!("Error: process {} is at this work already", program.id());
    assert!(!success && text.starts_with(&expected), "{text}");
    kept.until_at_work(5);
    signal(&program, Signal::SIGINT);
    let (success, text) = end(program);
    assert!(success && text.contains("stopped: "), "{text}");
}

/// Workers whose main process was killed finish what they are at; that is not taken for lost.
#[test]
fn what_others_still_do_is_not_lost() {
    let kept = Kept::new();
    let place = kept.0.to_string();
    let first = ["--store", &place, "--jobs", "1000", "--size", "100000000", "--workers", "2"];
    let mut program = command(&first).spawn().unwrap();
    BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let taken = DynTable::open_member(Shm::open(&kept.0).unwrap(), "taken").unwrap();
    let mut watch = taken.watch().unwrap();
    while taken.len().unwrap() < 2 {
        assert!(watch.changed(Some(LIMIT)).unwrap(), "nobody works");
    }
    let at_work = children(&program);
    program.kill().unwrap();
    program.wait().unwrap();
    let program = command(&["--store", &place, "--workers", "1", "--producers", "1"]).spawn().unwrap();
    let queue = DynArray::open_member(Shm::open(&kept.0).unwrap(), "state").unwrap();
    let keeper = Value::from(program.id());
    let is_kept = |state: &Value| format!("{state:?}").contains(&format!("{keeper:?}"));
    queue.wait_until(0, Some(LIMIT), is_kept).unwrap();
    signal(&program, Signal::SIGINT);
    signal(&program, Signal::SIGINT);
    let (success, text) = end(program);
    assert!(success && text.contains("by processes of an earlier program"), "{text}");
    for child in at_work {
        let _ = kill(child, Signal::SIGKILL);
    }
}

/// Without a place of its own it goes away.
#[test]
fn a_queue_without_a_name_ends_with_its_program() {
    let mut program = command(&["--jobs", "1000000"]).spawn().unwrap();
    let name = format!("/dev/shm/jobs.{}", program.id());
    let mut line = String::new();
    BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(std::fs::exists(&name).unwrap());
    signal(&program, Signal::SIGINT);
    let (success, text) = end(program);
    assert!(!std::fs::exists(name).unwrap(), "the queue is left behind: {text}");
    assert!(success && text.contains("with --store they could be gone on with"), "{text}");
}

/// Jobs of a program that was killed with all that it has started are taken up by the next.
#[test]
fn what_a_dead_program_was_at_is_begun_again() {
    let kept = Kept::new();
    let place = kept.0.to_string();
    let size = if cfg!(debug_assertions) { "10000" } else { "200000" };
    let arguments = ["--store", &place, "--jobs", "30", "--size", size];
    for round in 1.. {
        let mut program = command(&arguments).spawn().unwrap();
        BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
        kept.until_at_work(2);
        // It cannot put others in their places.
        signal(&program, Signal::SIGSTOP);
        for child in children(&program) {
            let _ = kill(child, Signal::SIGKILL);
        }
        program.kill().unwrap();
        program.wait().unwrap();
        let taken = DynTable::open_member(Shm::open(&kept.0).unwrap(), "taken").unwrap().len().unwrap();
        if taken > 0 {
            break;
        }
        assert!(round < 20, "nobody is ever at a job");
        kept.0.unlink().unwrap();
    }
    let (success, text) = jobs(&arguments);
    assert!(success && text.contains("jobs of dead ones begun again"), "{text}");
    assert!(text.contains("checked: each of 30 jobs was done once"), "{text}");
}

/// A signal may come as soon as there is a queue.
#[test]
fn a_queue_that_has_just_been_made_ends_with_its_program() {
    let program = command(&["--jobs", "1000000"]).spawn().unwrap();
    let name = format!("/dev/shm/jobs.{}", program.id());
    let start = Instant::now();
    while !std::fs::exists(&name).unwrap() {
        assert!(start.elapsed() < LIMIT, "no queue is made");
        std::hint::spin_loop();
    }
    signal(&program, Signal::SIGINT);
    let (success, text) = end(program);
    assert!(!std::fs::exists(name).unwrap(), "the queue is left behind: {text}");
    assert!(success && text.contains("stopped: "), "{text}");
}

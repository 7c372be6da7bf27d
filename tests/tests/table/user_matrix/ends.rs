//! The code of users in the destructors of thread-locals and in handlers of `atexit`, and code that ends the process.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use netshm_tests::Child;

use super::code::with_hook;
use super::verbs::{Members, VERBS, Verb};
use super::{BEHAVIOURS, Bench, METHODS, PLACES, Place, differences, is_long, method, use_object};

thread_local! {
    /// Used before anything of the library's, so that it is destroyed after all of that.
    static LAST: Last = const { Last(RefCell::new(None)) };
}

type AtLast = Box<dyn FnOnce()>;

struct Last(RefCell<Option<AtLast>>);

impl Drop for Last {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

fn at_last(work: impl FnOnce() + 'static) {
    LAST.with(|last| *last.0.borrow_mut() = Some(Box::new(work)));
}

thread_local! {
    /// Work for a handler of `atexit`. Never dropped, so that it is there then.
    static AT_EXIT: RefCell<ManuallyDrop<Option<AtLast>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Runs `work` in a handler of `atexit`.
fn at_exit(work: impl FnOnce() + 'static) {
    extern "C" fn handler() {
        let work = AT_EXIT.with_borrow_mut(|work| work.take());
        // A panic must not leave a function of C.
        let outcome = work.map(|work| catch_unwind(AssertUnwindSafe(work)));
        println!("> {}", if matches!(outcome, Some(Ok(()))) { "works" } else { "fails" });
    }
    AT_EXIT.with_borrow_mut(|place| **place = Some(Box::new(work)));
    shutdown_hooks::add_shutdown_hook(handler);
}

/// Where all thread-locals are gone, or the process is at its end, verbs do the same as elsewhere, whatever the code does.
#[test]
fn at_the_end_of_a_thread_and_at_exit() {
    for way in WAYS {
        for locking in if is_long() { &METHODS[..] } else { &METHODS[..1] } {
            let child = Child::start(&format!("user_matrix::{way}"), &[&format!("{locking:?}")]);
            for verb in verbs_of(way) {
                assert_eq!(child.line().as_deref(), Some(verb.name), "{way}, {locking:?}");
            }
            assert_eq!(child.line().as_deref(), Some("works"), "{way}, {locking:?}");
            assert_eq!(child.line(), None);
        }
    }
}

const WAYS: [&str; 2] = ["thread", "atexit"];

/// Returns the verbs that are called in this way: half of them, unless every call is to be tried.
fn verbs_of(way: &str) -> impl Iterator<Item = &'static Verb> {
    let number = WAYS.iter().position(|known| *known == way).unwrap();
    VERBS.iter().skip(if is_long() { 0 } else { number }).step_by(if is_long() { 1 } else { WAYS.len() })
}

/// Calls these verbs, with code that does all that there is.
fn call_all(bench: &Bench, way: &str) {
    for (turn, verb) in verbs_of(way).enumerate() {
        let (behaviour, place) = (BEHAVIOURS[turn % BEHAVIOURS.len()], PLACES[turn / BEHAVIOURS.len() % PLACES.len()]);
        if is_long() {
            for behaviour in BEHAVIOURS {
                let calls = bench.case(verb, behaviour, place, 1);
                bench.case(verb, behaviour, place, calls.max(1));
            }
        } else {
            bench.case(verb, behaviour, place, 1);
        }
        println!("> {}", verb.name);
    }
}

/// Code that ends the process in the middle of a verb, and what is done at its exit.
#[test]
fn the_code_ends_the_process() {
    for locking in METHODS {
        let bench = Bench::new(locking);
        for (number, verb) in VERBS.iter().enumerate() {
            if !is_long() && number % 15 != locking as usize {
                continue;
            }
            let (_, calls) = with_hook(0, Box::new(|| ()), || bench.call(verb, Place::Alone));
            let after = bench.content.read();
            bench.restore();
            let calls =
                if is_long() { 1..=calls.min(9) } else { 1 + number as u32 % calls..=1 + number as u32 % calls };
            for call in calls {
                let number = [number.to_string(), call.to_string()];
                let object = bench.object.name().to_string();
                let child =
                    Child::start("user_matrix::exit", &[&object, &format!("{locking:?}"), &number[0], &number[1]]);
                assert_eq!(child.line().as_deref(), Some("at exit"), "{}, call {call}", verb.name);
                child.succeed();
                bench.other.work(true);
                let found = bench.content.read();
                let is_whole = found == bench.before || found == after || verb.in_parts;
                assert!(is_whole, "{}, call {call}: {:#?}", verb.name, differences(&bench.before, &found));
                bench.check(&verb.name);
                bench.restore();
            }
        }
    }
}

pub(super) fn child(part: &str, arguments: &[String]) {
    match part {
        "thread" => {
            let locking = method(&arguments[0]);
            let thread = thread::spawn(move || {
                LAST.with(|_| ());
                let bench = Bench::new(locking);
                at_last(move || {
                    call_all(&bench, "thread");
                    println!("> works");
                });
            });
            thread.join().unwrap();
        }
        "atexit" => {
            let bench = Bench::new(method(&arguments[0]));
            at_exit(move || call_all(&bench, "atexit"));
            std::process::exit(0);
        }
        "exit" => {
            let [verb, call] = [2, 3].map(|argument| arguments[argument].parse::<usize>().unwrap());
            LAST.with(|_| ());
            let members = Members::open(&arguments[0].parse().unwrap(), method(&arguments[1]));
            let again = members.clone();
            at_last(move || {
                use_object(&again);
                println!("> at exit");
            });
            let _ = with_hook(call as u32, Box::new(|| std::process::exit(0)), || (VERBS[verb].run)(&members));
            panic!("it does not end the process");
        }
        _ => unreachable!(),
    }
}

//! Other processes: the test binary runs itself again and plays a part.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable that tells a child its part.
const PART: &str = "NETSHM_TEST_PART";

/// Time limit for a child.
const LIMIT: Duration = Duration::from_secs(120);

/// Returns the part this process was started to play, and its arguments; `None` in the process that runs the tests.
///
/// A test binary with children has one test `child`, marked `#[ignore]`, that plays the part. [`children!`](crate::children)
/// makes it in a binary of several modules.
pub fn part() -> Option<(String, Vec<String>)> {
    let text = std::env::var(PART).ok()?;
    let mut words = text.split('\u{1f}').map(str::to_owned);
    Some((words.next()?, words.collect()))
}

/// Makes the test `child` of a binary: it plays the part `module::part` by calling `module::child(part, arguments)`.
///
/// ```ignore
/// netshm_tests::children!(process_stress, power_loss);
/// ```
#[macro_export]
macro_rules! children {
    ($($module:ident),*) => {
        #[test]
        #[ignore = "runs in the children of the other tests"]
        fn child() {
            let Some((part, arguments)) = $crate::part() else { return };
            match part.split_once("::") {
                $(Some((stringify!($module), part)) => $module::child(part, &arguments),)*
                _ => panic!("no module of this binary plays {part}"),
            }
        }
    };
}

/// Another process that plays a part in a test. It is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
}

impl Child {
    /// Starts a child; `part` (`module::part` in a binary of several modules) and `arguments` reach it through [`part`]. Its output
    /// comes through [`line`](Self::line).
    ///
    /// # Panics
    /// If no process can be started.
    #[track_caller]
    pub fn start(part: &str, arguments: &[&str]) -> Child {
        Self::start_under(Command::new(std::env::current_exe().expect("the path of this program")), part, arguments)
    }

    /// Starts a child through a command that so far ends in this program's path: `strace` and its arguments before it, say.
    ///
    /// # Panics
    /// If no process can be started.
    #[track_caller]
    pub fn start_under(mut command: Command, part: &str, arguments: &[&str]) -> Child {
        let mut words = vec![part];
        words.extend(arguments);
        let mut process = command
            .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(PART, words.join("\u{1f}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child can be started");
        let output = process.stdout.take().expect("the output is a pipe");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The test harness prints lines of its own, and the start of one before the child's first.
                let Some((_, line)) = line.split_once("> ") else { continue };
                if sender.send(line.to_owned()).is_err() {
                    return;
                }
            }
        });
        Child { process, lines }
    }

    /// Returns the next line that the child printed, without the `"> "` that marks it; `None` at the end of its output.
    ///
    /// # Panics
    /// If it takes too long.
    #[track_caller]
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("a child said nothing for {LIMIT:?}"),
        }
    }

    /// Ends the child at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Stops the child, all of its threads, until [`go_on`](Self::go_on).
    ///
    /// # Panics
    /// If that takes too long, or the child has ended.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let end = Instant::now() + LIMIT;
        // Each thread stops at a moment of its own; the state of the process is that of the first.
        while !self.threads_are_stopped() {
            assert!(Instant::now() < end, "a child did not stop within {LIMIT:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a stopped child go on.
    ///
    /// # Panics
    /// If the child has ended.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().cast_signed()), signal).expect("a child of ours");
    }

    fn threads_are_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("the threads of a child");
        threads.flatten().all(|thread| {
            // One that has ended meanwhile has no status.
            let status = std::fs::read_to_string(thread.path().join("status"));
            status.is_ok_and(|status| status.contains("\nState:\tT")) || !thread.path().exists()
        })
    }

    /// Returns the child's process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the end of the child.
    ///
    /// # Panics
    /// If it takes too long.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait().expect("a child of ours") {
                return status;
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        panic!("a child did not end within {LIMIT:?}");
    }

    /// Waits for the end of the child, which must have succeeded.
    ///
    /// # Panics
    /// If it failed or takes too long.
    #[track_caller]
    pub fn succeed(mut self) {
        let status = self.wait();
        assert!(status.success(), "a child ended with {status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

//! The commands.

pub(crate) mod bench;
pub(crate) mod care;
pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod dump;
pub(crate) mod gc;
pub(crate) mod locks;
pub(crate) mod ls;
pub(crate) mod manual;
pub(crate) mod members;
pub(crate) mod read;
pub(crate) mod rust_source;
pub(crate) mod schema;
pub(crate) mod stat;
pub(crate) mod table_file;
pub(crate) mod top;
pub(crate) mod wait;

use netshm::inspect::Process;

/// Returns the command line of a process that lives, as far as the system tells.
pub(crate) fn command_of(process: &Process) -> String {
    if process.is_alive { command_line(process.pid) } else { String::new() }
}

/// Returns the command line of a process, cut to a length that can be read.
pub(crate) fn command_line(pid: u32) -> String {
    const LONGEST: usize = 60;
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = words.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    let text = words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
    let text = crate::output::plain(&text);
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

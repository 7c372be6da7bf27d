//! The commands.

pub(crate) mod bench;
pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod dump;
pub(crate) mod gc;
pub(crate) mod locks;
pub(crate) mod ls;
pub(crate) mod maintenance;
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

/// Returns the `command` of a living process as output shows it: [`short_command`] for tables, [`command_line`] for `--json`.
pub(crate) fn command_of(process: &Process, command: fn(u32) -> String) -> String {
    if process.is_alive { command(process.pid) } else { String::new() }
}

/// Returns the whole command line of a process, as far as the system shows it.
pub(crate) fn command_line(pid: u32) -> String {
    words_of(pid).join(" ")
}

/// Returns the command line of a process, cut to a length that can be read. Of the program only the file's name is
/// shown, so that a long path does not push the arguments out.
pub(crate) fn short_command(pid: u32) -> String {
    const LONGEST: usize = 60;
    let mut words = words_of(pid);
    if let Some(program) = words.first_mut() {
        let name = program.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().to_string();
        *program = name;
    }
    let text = words.join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// Returns the words of a process's command line, safe to print.
fn words_of(pid: u32) -> Vec<String> {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = words.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| crate::output::plain(&String::from_utf8_lossy(word))).collect()
}

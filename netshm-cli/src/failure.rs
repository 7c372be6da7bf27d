//! What ends the command: errors of the library, of the system, and of its own.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const TIP: Style = AnsiColor::Green.on_default();

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error of the library, in its words.
    Library(netshm::Error),
    /// Output cannot be written, or input read.
    Io(&'static str, io::Error),
    /// Something else, and perhaps what to do.
    Message(String, Option<String>),
    /// The error has been reported already.
    Said,
}

impl Failure {
    pub(crate) fn message(text: impl Into<String>) -> Failure {
        Failure::Message(text.into(), None)
    }

    pub(crate) fn with_tip(text: impl Into<String>, tip: impl Into<String>) -> Failure {
        Failure::Message(text.into(), Some(tip.into()))
    }

    /// Returns what is wrong, without what to do.
    pub(crate) fn text(&self) -> String {
        match self {
            Failure::Library(error) => error.to_string(),
            Failure::Io(doing, source) => format!("{doing}: {source}"),
            Failure::Message(text, _) => text.clone(),
            Failure::Said => String::new(),
        }
    }

    /// Reports what is wrong, on standard error.
    pub(crate) fn report(self) -> ExitCode {
        let (text, tip) = match self {
            Failure::Said => return ExitCode::FAILURE,
            // Whoever reads the output has enough of it.
            Failure::Io(_, source) if source.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Failure::Io(doing, source) => (format!("{doing}: {source}"), None),
            Failure::Message(text, tip) => (text, tip),
            Failure::Library(error) => {
                let tip = tip_for(&error);
                (error.to_string(), tip)
            }
        };
        say(&text, tip.as_deref());
        ExitCode::FAILURE
    }
}

/// Writes an error to standard error; the command may go on.
pub(crate) fn say(text: &str, tip: Option<&str>) {
    let mut stderr = anstream::stderr().lock();
    // A failure of that cannot be reported.
    let _ = writeln!(stderr, "{ERROR}error:{ERROR:#} {text}");
    if let Some(tip) = tip {
        let _ = writeln!(stderr, "\n  {TIP}tip:{TIP:#} {tip}");
    }
}

/// Returns what to do with this command about an error of the library.
fn tip_for(error: &netshm::Error) -> Option<String> {
    use netshm::Error;
    match error {
        Error::NeedsRecovery { object, .. } => {
            Some(format!("`netshm sync {object}` opens it for writing, which rolls the change back"))
        }
        Error::NoMember { name, members, .. } if name.is_empty() && !members.is_empty() => {
            Some(format!("choose a member with `--member {}`", members[0]))
        }
        Error::Corrupt { object, .. } => {
            Some(format!("`netshm check {object}` says more, and `netshm repair {object}` saves what is sound"))
        }
        Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
            "`netshm ls` lists the objects in shared memory, `netshm ls DIRECTORY` those in a directory".to_owned(),
        ),
        _ => None,
    }
}

impl From<netshm::Error> for Failure {
    fn from(error: netshm::Error) -> Failure {
        Failure::Library(error)
    }
}

/// A group that fails is rolled back, and run again after a deadlock.
impl netshm::GroupError for Failure {
    fn is_deadlock(&self) -> bool {
        matches!(self, Failure::Library(error) if error.is_deadlock())
    }
}

/// Errors of writing to standard output.
impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Failure {
        Failure::Io("writing the output", source)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::Io("writing the output", error.into())
    }
}

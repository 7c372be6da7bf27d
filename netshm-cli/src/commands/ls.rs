//! `netshm ls`.

use comfy_table::Color;
use netshm::inspect::{Inspector, KernelLocks, Snapshot, State};
use netshm::{Error, ShmName};
use serde::Serialize;

use crate::args::{Ls, LsSort, StateName};
use crate::failure::{Failure, say};
use crate::names::Place;
use crate::output::{Columns, Output, bytes, count};

/// A line of the list.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    #[serde(serialize_with = "text")]
    pub(crate) name: ShmName,
    #[serde(serialize_with = "state_text")]
    pub(crate) state: StateName,
    members: Option<usize>,
    pub(crate) rows: Option<u64>,
    pub(crate) size: u64,
    pub(crate) allocated: Option<u64>,
    pub(crate) users: Option<usize>,
    /// Description of what is wrong with it.
    error: Option<String>,
}

fn text<S: serde::Serializer>(name: &ShmName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn state_text<S: serde::Serializer>(state: &StateName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.text())
}

/// Returns the state in the words of the command line.
pub(crate) fn state_name(state: State) -> StateName {
    match state {
        State::InUse => StateName::InUse,
        State::Idle => StateName::Idle,
        State::Orphaned => StateName::Orphaned,
        _ => StateName::NeedsRecovery,
    }
}

pub(crate) fn color_of(state: StateName) -> Option<Color> {
    match state {
        StateName::InUse => Some(Color::Green),
        StateName::Idle => None,
        StateName::Orphaned => Some(Color::DarkGrey),
        StateName::NeedsRecovery => Some(Color::Yellow),
        StateName::OtherFormat | StateName::Damaged => Some(Color::Red),
    }
}

impl Listed {
    fn of(snapshot: &Snapshot) -> Listed {
        Listed {
            name: snapshot.name.clone(),
            state: state_name(snapshot.state),
            members: Some(snapshot.members.len()),
            rows: Some(snapshot.members.iter().map(|member| member.rows).fold(0, u64::saturating_add)),
            size: snapshot.size,
            allocated: Some(snapshot.allocated),
            users: snapshot.users,
            error: None,
        }
    }

    fn broken(name: &ShmName, state: StateName, error: &Error) -> Listed {
        let size = std::fs::metadata(name.path()).map_or(0, |found| found.len());
        Listed {
            name: name.clone(),
            state,
            members: None,
            rows: None,
            size,
            allocated: None,
            users: None,
            error: Some(error.to_string()),
        }
    }
}

/// Returns what a candidate is; `None` if it is not an object of netshm.
pub(crate) fn look(name: &ShmName, kernel: &KernelLocks) -> Result<Option<Listed>, Error> {
    match Inspector::open(name).and_then(|inspector| inspector.look_with(kernel)) {
        Ok(snapshot) => Ok(Some(Listed::of(&snapshot))),
        Err(error @ Error::UnsupportedVersion { .. }) => Ok(Some(Listed::broken(name, StateName::OtherFormat, &error))),
        Err(error @ Error::Corrupt { .. }) => Ok(Some(Listed::broken(name, StateName::Damaged, &error))),
        Err(Error::NotNetshm { .. } | Error::Replaced { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn run(args: &Ls, out: &mut Output) -> Result<(), Failure> {
    let kernel = KernelLocks::read();
    let mut found = Vec::new();
    let mut complete = true;
    let default = [Place::posix()];
    for place in if args.places.is_empty() { &default[..] } else { &args.places } {
        let is_named = matches!(place, Place::Object(_));
        for name in place.candidates()? {
            match look(&name, &kernel) {
                Ok(Some(listed)) => found.push(listed),
                Ok(None) if !is_named => {}
                Ok(None) => {
                    complete = false;
                    say(&format!("{name}: not a netshm object"), None);
                }
                // It may have gone meanwhile, or be of somebody else.
                Err(_) if !is_named => {}
                Err(error) => {
                    complete = false;
                    say(&error.to_string(), None);
                }
            }
        }
    }
    found.retain(|listed| args.state.is_none_or(|state| state == listed.state));
    match args.sort {
        LsSort::Name => {}
        LsSort::Size => found.sort_by_key(|listed| std::cmp::Reverse(listed.size)),
        LsSort::Rows => found.sort_by_key(|listed| std::cmp::Reverse(listed.rows)),
    }
    if out.json() {
        out.json_document(&found)?;
    } else {
        show(&found, args.bytes, out)?;
    }
    if complete { Ok(()) } else { out.flush().and(Err(Failure::Said)) }
}

fn show(found: &[Listed], exact: bool, out: &mut Output) -> Result<(), Failure> {
    let size = |size: u64| if exact { size.to_string() } else { bytes(size) };
    let or_dash = |text: Option<String>| (text.unwrap_or_else(|| "-".to_owned()), None);
    let mut columns = Columns::new(&["NAME", ">MEMBERS", ">ROWS", ">SIZE", ">ALLOCATED", ">USERS", "STATE"]);
    for listed in found {
        columns.row([
            (listed.name.to_string(), None),
            or_dash(listed.members.map(|members| members.to_string())),
            or_dash(listed.rows.map(count)),
            (size(listed.size), None),
            or_dash(listed.allocated.map(size)),
            or_dash(listed.users.map(|users| users.to_string())),
            (listed.state.text().to_owned(), color_of(listed.state)),
        ]);
    }
    if columns.is_empty() {
        if out.is_terminal() {
            out.line("no objects")?;
        }
        return Ok(());
    }
    out.table(&columns)
}

//! `netshm members`.

use netshm::inspect::{Inspector, MemberState};
use netshm::{MemberKind, Shm};
use serde_json::{Value as Json, json};

use crate::args::Members;
use crate::failure::Failure;
use crate::output::{Columns, Output, count};
use crate::rows::shown;

/// The longest schema in a list.
const LONGEST: usize = 60;

pub(crate) fn run(args: &Members, out: &mut Output) -> Result<(), Failure> {
    if let Some(name) = &args.remove {
        return Ok(Shm::open(&args.object.name)?.remove_member(name)?);
    }
    let members = Inspector::open(&args.object.name)?.look()?.members;
    if out.json() {
        return out.json_document(&members.iter().map(document).collect::<Vec<_>>());
    }
    show(&members, out)
}

pub(crate) fn kind(kind: MemberKind) -> &'static str {
    match kind {
        MemberKind::HashTable => "HashTable",
        MemberKind::Array => "Array",
        _ => "Table",
    }
}

pub(crate) fn show(members: &[MemberState], out: &mut Output) -> Result<(), Failure> {
    let mut columns = Columns::new(&["MEMBER", ">ROWS", ">KEYS", ">STRIPES", ">CHANGES", "TYPE"]);
    for member in members {
        let schema = member.schema.to_string();
        let schema = if schema.chars().count() <= LONGEST {
            schema
        } else {
            schema.chars().take(LONGEST - 1).chain(['…']).collect()
        };
        let keys = if member.kind == MemberKind::Array { "-".to_owned() } else { count(member.keys) };
        let cells = [
            shown(&member.name),
            count(member.rows),
            keys,
            member.stripes.len().to_string(),
            count(member.changes),
            schema,
        ];
        columns.row(cells.map(|text| (text, None)));
    }
    out.table(&columns)
}

pub(crate) fn document(member: &MemberState) -> Json {
    json!({
        "name": member.name,
        "kind": kind(member.kind),
        "rows": member.rows,
        "keys": member.keys,
        "changes": member.changes,
        "stripes": member.stripes.len(),
        "first_stripe": member.stripes.start,
        "init": member.init,
        "schema": member.schema.to_string(),
    })
}

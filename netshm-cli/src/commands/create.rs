//! `netshm create`.

use std::io::Read;
use std::path::Path;

use netshm::inspect::Inspector;
use netshm::{Error, Shm};

use super::dump::group;
use crate::args::Create;
use crate::failure::Failure;
use crate::plan::{MemberPlan, ObjectPlan, members, remove_added};

/// Reads a file, or standard input for `-`.
pub(crate) fn text_of(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let failed = |error| Failure::message(format!("{}: {error}", path.display()));
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
    } else {
        text = std::fs::read_to_string(path).map_err(failed)?;
    }
    Ok(text)
}

pub(crate) fn run(args: &Create) -> Result<(), Failure> {
    let text = match (&args.schema, &args.from) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => text_of(path)?,
        (None, None) => return Err(Failure::message("a schema is needed, or `--from FILE`")),
    };
    let mut plans = members(&text)?;
    if let Some(name) = &args.member {
        let [plan] = &mut plans[..] else {
            return Err(Failure::message("--member names one member, but the schema has several"));
        };
        name.clone_into(&mut plan.name);
    }
    for plan in &mut plans {
        plan.init = args.init.or(plan.init);
        plan.stripes = args.stripes.or(plan.stripes);
        plan.len = args.len.or(plan.len);
        if let Some(default) = &args.default {
            let parsed = serde_json::from_str(default);
            plan.default = Some(parsed.unwrap_or_else(|_| default.clone().into()));
        }
    }
    let object = ObjectPlan {
        locking: args.locking.map(Into::into),
        pagesize: args.pagesize,
        slots: args.slots,
        max_size: args.max_size,
    };
    make(&args.name, args.mode, &object, &plans)
}

/// Makes an object, or adds members to one. Members that are there are an error.
fn make(name: &netshm::ShmName, mode: u32, object: &ObjectPlan, plans: &[MemberPlan]) -> Result<(), Failure> {
    let present = match Inspector::open(name).and_then(|inspector| inspector.look()) {
        Ok(snapshot) => snapshot.members,
        // An empty file becomes an object.
        Err(Error::NotNetshm { found, .. }) if found == "an empty object" => Vec::new(),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let shm = Shm::options().create_new(true).mode(mode).open(name)?;
            return fill(&shm, object, plans).inspect_err(|_| drop(name.unlink()));
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(plan) = plans.iter().find(|plan| present.iter().any(|member| member.name == plan.name)) {
        let what = if plan.name.is_empty() { "the object".to_owned() } else { format!("the member {:?}", plan.name) };
        return Err(Failure::message(format!("{name}: {what} is there already")));
    }
    let planned = || plans.iter().map(|plan| plan.name.as_str());
    fill(&Shm::open(name)?, object, plans).inspect_err(|_| remove_added(name, &present, planned()))
}

fn fill(shm: &Shm, object: &ObjectPlan, plans: &[MemberPlan]) -> Result<(), Failure> {
    // The member without a name cannot be added later.
    let (unnamed, named): (Vec<_>, Vec<_>) = plans.iter().partition(|plan| plan.name.is_empty());
    let plans = [unnamed, named].concat();
    let rows = plans.iter().map(|plan| plan.make(shm, object)).collect::<Result<Vec<_>, _>>()?;
    let Some(any) = rows.first() else { return Ok(()) };
    group(any, || plans.iter().zip(&rows).try_for_each(|(plan, rows)| plan.lengthen(rows)))
}

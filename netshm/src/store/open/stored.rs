//! What an object says of itself, without being managed.

use std::sync::Arc;

use super::alone::check_reentrant;
use super::catalogue::{Catalogue, Member};
use super::header::{self, Header};
use super::initialising::Initialising;
use super::{attached, manage_guard};
use crate::error::{Error, Result};
use crate::shm::{Object, Shm};
use crate::store::{Limits, group};

/// The stored description of an object.
pub(crate) struct Stored {
    pub(crate) header: Header,
    pub(crate) member: Member,
    /// Text of the schema.
    pub(crate) schema: String,
    /// Words of an array's default value.
    pub(crate) default: Vec<u64>,
}

/// Reads what a member of an object says of itself, while nobody initialises the object or changes its members.
pub(crate) fn stored(shm: &Shm, name: Option<&str>) -> Result<Stored> {
    with_catalogue(shm, |header, catalogue| match catalogue.find(name) {
        Some(member) => stored_member(shm, header, member),
        None => Err(no_member(shm.object(), catalogue, name)),
    })
}

/// Reads what all members of an object say of themselves.
pub(crate) fn stored_members(shm: &Shm) -> Result<Vec<Stored>> {
    with_catalogue(shm, |header, catalogue| {
        let present = catalogue.members.iter().filter(|member| !member.is_leaving);
        present.map(|member| stored_member(shm, header, member)).collect()
    })
}

/// Reads what a member says of itself.
pub(crate) fn stored_member(shm: &Shm, header: &Header, member: &Member) -> Result<Stored> {
    let schema = member.schema(shm.object())?;
    let default = member.default_value(shm.object())?;
    Ok(Stored { header: header.clone(), member: member.clone(), schema, default })
}

/// Returns the error for a member that is not there.
pub(super) fn no_member(object: &Object, catalogue: &Catalogue, name: Option<&str>) -> Error {
    let mut members = catalogue.names();
    members.sort_unstable();
    Error::NoMember { object: object.name().clone(), name: name.unwrap_or_default().to_owned(), members }
}

pub(super) fn with_catalogue<R>(shm: &Shm, look: impl Fn(&Header, &Catalogue) -> Result<R>) -> Result<R> {
    let object = shm.object();
    object.check_fork()?;
    check_reentrant(object)?;
    // A process that has it open reads past others that add or remove members, however long they take.
    if attached(object).is_some() {
        let read = |header: &Header| Catalogue::read(object, header).and_then(|catalogue| look(header, &catalogue));
        if let Some(found) = undisturbed(object, read)? {
            return found;
        }
    }
    let deadline = group::own_deadline(Limits { lock_timeout: shm.lock_timeout() });
    let _alone = manage_guard(object, &deadline)?;
    let lock = Initialising::lock(shm, deadline)?;
    // A store shares the use of the object already.
    let _claim = match attached(object) {
        Some(_) => None,
        None => Some(lock.share_use()?),
    };
    let header = Header::read(object)?;
    look(&header, &Catalogue::read(object, &header)?)
}

/// Reads what changes of the run heap and of members change, past such a change if there is one; `None` if they follow each other so
/// fast that none of the attempts is undisturbed.
pub(crate) fn undisturbed<R>(object: &Arc<Object>, read: impl Fn(&Header) -> Result<R>) -> Result<Option<Result<R>>> {
    for _ in 0..header::READINGS {
        let header = Header::read(object)?;
        let state = header::meta_state(object, &header.geometry)?;
        let found = read(&header);
        if header::meta_state(object, &header.geometry)? == state {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

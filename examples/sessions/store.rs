//! The sessions, in a table that all processes of the server share.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use netshm::{Array, HashTable, Locking, ShmData, ShmSchema, Watch, group};

/// A signed-in user.
#[derive(ShmData, Debug, Clone, PartialEq)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) visits: u64,
    last_visit: SystemTime,
}

impl Session {
    fn is_older_than(&self, age: Duration) -> bool {
        // No session expires because the clock was set back.
        self.last_visit.elapsed().is_ok_and(|elapsed| elapsed > age)
    }
}

/// The signed-in users.
pub(crate) struct Present {
    pub(crate) count: usize,
    /// The first of them by name.
    pub(crate) names: Vec<String>,
}

/// Names that a page shows at most.
const SHOWN: usize = 50;

/// State that the processes of the server share: three members of one object. Opening, creating and removing it is derived.
#[derive(ShmSchema)]
#[shm(object = "/webserver", locking = Locking::Futex)]
pub(crate) struct Store {
    /// By session id: random text that only the browser and we know.
    #[shm(init = 10_000)]
    sessions: HashTable<String, Session>,
    /// Sign-ins, and visits, since the object was created.
    #[shm(len = 2, default = 0)]
    totals: Array<u64>,
    /// A counter of sign-ins and sign-outs. Whoever shows who is signed in watches it; visits wake nobody.
    #[shm(len = 1, default = 0)]
    comings: Array<u64>,
}

const SIGN_INS: usize = 0;
const VISITS: usize = 1;

impl Store {
    /// Begins a session and returns its id.
    pub(crate) fn sign_in(&self, name: &str) -> Result<String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let id = format!("{:032x}", u128::from_ne_bytes(random));
        let session = Session { name: name.to_owned(), visits: 0, last_visit: SystemTime::now() };
        group!(retry self => {
            self.sessions.replace(&id, &session)?;
            self.totals.update(SIGN_INS, |count| count + 1)?;
            self.comings.update(0, |count| count.wrapping_add(1))?;
            Ok::<_, netshm::Error>(())?
        })?;
        Ok(id)
    }

    /// Counts a visit, if there is such a session; returns the session and the visits of all. No visit is lost if several workers
    /// count at the same time, and the two counts fit together even if one of them dies.
    pub(crate) fn visit(&self, id: &str) -> netshm::Result<Option<(Session, u64)>> {
        group!(retry self => {
            let session = self.sessions.update(id, |session| {
                session.map(|session| Session { visits: session.visits + 1, last_visit: SystemTime::now(), ..session })
            })?;
            match session {
                Some(session) => Some((session, self.totals.update(VISITS, |count| count + 1)?)),
                None => None,
            }
        })
    }

    pub(crate) fn sign_out(&self, id: &str) -> Result<()> {
        group!(retry self => {
            if self.sessions.remove(id)? {
                self.comings.update(0, |count| count.wrapping_add(1))?;
            }
            Ok::<_, netshm::Error>(())?
        })?;
        Ok(())
    }

    pub(crate) fn is_signed_in(&self, id: &str) -> netshm::Result<bool> {
        self.sessions.contains(id)
    }

    /// Returns who is signed in.
    pub(crate) fn present(&self) -> netshm::Result<Present> {
        let sessions = self.sessions.values().map(|session| session.map(|session| session.name));
        let mut names = sessions.collect::<netshm::Result<Vec<_>>>()?;
        names.sort_unstable();
        let count = names.len();
        names.truncate(SHOWN);
        Ok(Present { count, names })
    }

    /// Returns a watch that reports when somebody signs in or out.
    pub(crate) fn changes(&self) -> netshm::Result<Watch> {
        self.comings.watch()
    }

    /// Removes the sessions that have been idle for that long, and returns their number.
    pub(crate) fn sweep(&self, age: Duration) -> Result<usize> {
        let mut swept = 0;
        for item in self.sessions.scan() {
            let (id, session) = item?;
            if session.is_older_than(age) {
                // Going through the table locks nothing, so there may have been a visit just now.
                let left = group!(retry self => {
                    let keep = |session: Option<Session>| session.filter(|session| !session.is_older_than(age));
                    let left = self.sessions.update(&id, keep)?;
                    if left.is_none() {
                        self.comings.update(0, |count| count.wrapping_add(1))?;
                    }
                    left
                })?;
                swept += usize::from(left.is_none());
            }
        }
        Ok(swept)
    }
}

//! Declared schemas: a struct whose fields are tables and arrays, opened, created and described as a whole.
//!
//! `#[derive(ShmSchema)]` implements [`ShmSchema`]; what it generates says what was declared and opens the fields, and
//! all else is done here.
//!
//! ```
//! use netshm::{Array, HashTable, Locking, ShmData, ShmSchema};
//!
//! #[derive(ShmData, Debug, PartialEq)]
//! struct Session {
//!     user: u64,
//!     name: String,
//! }
//!
//! #[derive(ShmSchema)]
//! #[shm(prefix = "/declare-example", locking = Locking::Futex, mode = 0o600)]
//! struct AppState {
//!     /// One row for each signed-in user.
//!     #[shm(init = 10_000)]
//!     sessions: HashTable<String, Session>,
//!     #[shm(len = 16, default = 0)]
//!     counters: Array<u64>,
//! }
//!
//! # fn main() -> netshm::Result<()> {
//! # let place = format!("/declare-example.{}", std::process::id());
//! # struct Gone<'a>(&'a str);
//! # impl Drop for Gone<'_> { fn drop(&mut self) { let _ = AppState::at(self.0).unlink(); } }
//! # let _gone = Gone(&place);
//! # /*
//! let state = AppState::open_or_create()?;
//! # */
//! # let state = AppState::open_in(&place)?;
//! state.sessions.add("k3", &Session { user: 7, name: "Ann".to_owned() })?;
//! state.counters.update(0, |n| n + 1)?;
//! assert_eq!(state.counters.get(0)?, 1);
//! for (field, report) in state.check()? {
//!     assert!(report.is_clean(), "{field}: {report}");
//! }
//! println!("{}", AppState::describe());
//! # Ok(())
//! # }
//! ```
//!
//! With `prefix` or `dir`, each field is an object of its own. With `#[shm(object = "/name")]` (or `object = "file:path"`) all fields are
//! [members](crate::ManageOptions::named) of one object, and [`group!`](crate::group!) takes the struct: `group!(retry app => { .. })` is one
//! change over all fields. What is said of whole objects (`mode`, `locking`, `slots`, `max_size`, `pagesize`) then stands on the struct.

mod declaration;
mod describe;
mod field;
mod migrate;
mod open;
mod place;
mod schema;

pub use declaration::{Declaration, Entry};
pub use field::{ElementDefault, Elements, Field, Object};
pub use migrate::SchemaMigration;
pub use open::{At, Opener};
pub use place::Place;
pub use schema::{InOneObject, ShmSchema};

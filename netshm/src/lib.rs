//! netshm

pub mod error;
pub use error::{Error, Result};

pub mod data;
mod locking;
mod name;
mod os;
mod shm;
pub use locking::Locking;
pub use name::ShmName;
pub use shm::{Shm, ShmOptions};

pub use netshm_derive::{ShmData, ShmKey};

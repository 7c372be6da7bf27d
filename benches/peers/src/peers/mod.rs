//! The stores that are measured.

use std::path::Path;

use ::netshm::Locking;

use crate::worker::{serve_cells, serve_tables};
use crate::workload::Result;

pub(crate) mod drivers;
mod in_process;
mod lmdb;
mod netshm;
mod plain_array;
mod redb;
mod redis;
mod sqlite;

/// Part of the work that a peer is measured at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All workloads of tables.
    Tables,
    /// Work of a single process.
    Alone,
    /// The workloads of arrays.
    Cells,
}

/// Sharers of the store when several work at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Processes,
    Threads,
}

/// Source of the figures on a store's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    Files,
    Worker,
}

/// One peer of the comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The driver that is compiled for it, if it is not measured from Rust.
    pub(crate) driver: Option<&'static drivers::Driver>,
    /// Name of the method, as the driver gets it.
    pub(crate) method: &'static str,
    pub(crate) scope: Scope,
    pub(crate) sharing: Sharing,
    pub(crate) memory: Memory,
    /// Divisor of the number of operations, made by the first run only, where more would take minutes. Filling is always complete.
    pub(crate) thinned: u64,
}

/// Peer that the others are compared with.
pub(crate) const BASELINE: &str = "netshm";
/// The same for arrays.
pub(crate) const ARRAY_BASELINE: &str = "array";

const fn tables(name: &'static str, title: &'static str) -> Kind {
    Kind {
        name,
        title,
        driver: None,
        method: "-",
        scope: Scope::Tables,
        sharing: Sharing::Processes,
        memory: Memory::Files,
        thinned: 1,
    }
}

const fn in_process(name: &'static str, title: &'static str) -> Kind {
    Kind { sharing: Sharing::Threads, memory: Memory::Worker, ..tables(name, title) }
}

const fn cells(name: &'static str, title: &'static str) -> Kind {
    Kind { scope: Scope::Cells, ..tables(name, title) }
}

/// All peers, in the order in which they are shown.
pub(crate) const KINDS: [Kind; 20] = [
    tables(BASELINE, "netshm Futex"),
    tables("netshm-record", "netshm Record"),
    Kind { scope: Scope::Alone, ..tables("netshm-none", "netshm None") },
    Kind { driver: Some(&drivers::BOOST), ..tables("boost", "Boost.Interprocess") },
    tables("lmdb", "LMDB"),
    Kind { scope: Scope::Alone, ..tables("lmdb-long", "LMDB, one long txn") },
    Kind { driver: Some(&drivers::TDB), method: "mutex", ..tables("tdb-mutex", "TDB mutex") },
    Kind { driver: Some(&drivers::TDB), method: "fcntl", ..tables("tdb-fcntl", "TDB fcntl") },
    Kind { sharing: Sharing::Threads, thinned: 10, ..tables("redb", "redb (threads)") },
    Kind { thinned: 10, ..tables("redb-shared", "redb (processes)") },
    Kind { memory: Memory::Worker, thinned: 10, ..tables("sqlite", "SQLite") },
    Kind { driver: Some(&drivers::OCAML), thinned: 100, ..tables("ocaml", "OCaml netshm") },
    Kind { memory: Memory::Worker, thinned: 20, ..tables("redis", "Redis") },
    in_process("rwlock", "RwLock<HashMap> (threads)"),
    in_process("dashmap", "dashmap (threads)"),
    in_process("papaya", "papaya (threads)"),
    cells(ARRAY_BASELINE, "netshm array, Futex"),
    cells("array-record", "netshm array, Record"),
    cells("array-none", "netshm array, None"),
    cells("array-plain", "mapped atomics"),
];

/// Returns what a worker does: opens the peer's store in the directory and serves requests.
pub(crate) fn serve(name: &str, directory: &Path, entries: u64) -> Result<()> {
    match name {
        BASELINE => serve_tables(&netshm::Netshm::open(directory, Locking::Futex)?, entries),
        "netshm-record" => serve_tables(&netshm::Netshm::open(directory, Locking::Record)?, entries),
        "netshm-none" => serve_tables(&netshm::Netshm::open(directory, Locking::None)?, entries),
        "lmdb" => serve_tables(&lmdb::Lmdb::open(directory, entries, false)?, entries),
        "lmdb-long" => serve_tables(&lmdb::Lmdb::open(directory, entries, true)?, entries),
        "redb" => serve_tables(&redb::Redb::open(directory, false)?, entries),
        "redb-shared" => serve_tables(&redb::Redb::open(directory, true)?, entries),
        "sqlite" => serve_tables(&sqlite::Sqlite::open(directory)?, entries),
        "redis" => serve_tables(&redis::Redis::open(directory)?, entries),
        "rwlock" => serve_tables(&in_process::LockedMaps::default(), entries),
        "dashmap" => serve_tables(&in_process::DashMaps::default(), entries),
        "papaya" => serve_tables(&in_process::PapayaMaps::default(), entries),
        ARRAY_BASELINE => serve_cells(&netshm::NetshmArray::open(directory, Locking::Futex, entries)?, entries),
        "array-record" => serve_cells(&netshm::NetshmArray::open(directory, Locking::Record, entries)?, entries),
        "array-none" => serve_cells(&netshm::NetshmArray::open(directory, Locking::None, entries)?, entries),
        "array-plain" => serve_cells(&plain_array::PlainArray::open(directory, entries)?, entries),
        other => Err(format!("no peer is called {other:?}").into()),
    }
}

/// Fails if the peer is a server that is not installed.
pub(crate) fn find_server(kind: &Kind) -> Result<()> {
    if kind.name == "redis" { redis::find() } else { Ok(()) }
}

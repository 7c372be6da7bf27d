//! Figures about an object, at the cost of a look at each stripe.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::handle::Handle;
use crate::index;
use crate::layout::header::{self, ObjectKind};
use crate::layout::method::Locking;
use crate::layout::{PROCESSES, WORD};

/// Figures about an object: `stats()` of a table or an array. They are taken one after the other without a lock, so
/// while others write they need not fit together exactly, and what a group has changed counts before it is committed, also if the
/// group's process has died and nobody has undone it yet; [`Report`](crate::Report) has exact ones.
///
/// ```
/// # use netshm::{HashTable, Locking, Shm};
/// # let shm = Shm::create_unique("posix:/stats.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// let tab: HashTable<String, u64> = HashTable::options().init(10_000).manage(shm)?;
/// tab.add("one", &1)?;
/// let stats = tab.stats()?;
/// assert_eq!((stats.keys, stats.bindings), (1, 1));
/// println!("{stats}");
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Keys that have a binding; in an array, chunks of elements that have been written to.
    pub keys: u64,
    /// Bindings, hidden ones included; 0 in an array.
    pub bindings: u64,
    /// Elements of an array; 0 in a table.
    pub elements: u64,
    /// Bytes of the object.
    pub size: u64,
    /// Bytes that the object takes up in memory or on the disk: less than its size where it has holes.
    pub allocated: u64,
    /// The size in bytes that it cannot exceed.
    pub max_size: u64,
    /// Bytes that belong to the index, or to an array's directory (there: its root nodes only are counted, as 0).
    pub index: u64,
    /// Cells of the index that hold a key, as a part of all: 0 in an empty table, about 0.55 in one that has grown.
    pub load: f64,
    /// Keys in the fullest stripe, as a multiple of the mean: 1 if they are spread evenly.
    pub skew: f64,
    /// Bytes of the chunks that hold small records, free blocks in them included.
    pub chunks: u64,
    /// Bytes in a page.
    pub pagesize: u64,
    /// Stripes.
    pub stripes: u32,
    /// Slots for running writers.
    pub slots: u32,
    /// Slots in use at the moment.
    pub writers: u32,
    /// Process numbers in use: processes that have written to the object and still have it open, or died.
    pub processes: u32,
    /// The locking method.
    pub locking: Locking,
    /// True if something has been written since the last `sync`.
    pub dirty: bool,
}

pub(crate) fn stats(handle: &Handle) -> Result<Stats> {
    let store = &handle.store;
    store.check_fork()?;
    let region = store.region();
    let geometry = region.geometry();
    let is_array = store.kind() == ObjectKind::Array;
    let (mut keys, mut fullest, mut bindings, mut buckets, mut chunks) = (0u64, 0, 0u64, 0u64, 0u64);
    for stripe in geometry.own() {
        let at = geometry.stripe(stripe);
        let load = |place| region.field(place).load(Relaxed);
        keys = keys.saturating_add(load(at.keys()));
        fullest = fullest.max(load(at.keys()));
        chunks = chunks.saturating_add(load(at.capacity()));
        if !is_array {
            bindings = bindings.saturating_add(index::bindings_in(region, at));
            buckets = buckets.saturating_add(load(at.buckets()));
        }
    }
    let taken = |count: u32, owner: &dyn Fn(u32) -> u32| (0..count).filter(|i| owner(*i) != 0).count() as u32;
    let cells = buckets as f64 * geometry.form.cells() as f64;
    let mean = keys as f64 / f64::from(geometry.stripes);
    Ok(Stats {
        keys,
        bindings,
        elements: if is_array { store.array_len() } else { 0 },
        size: region.file_size()?,
        allocated: region.allocated()?,
        max_size: geometry.max_size,
        index: buckets.saturating_mul(geometry.form.words() as u64 * WORD),
        load: if buckets == 0 { 0.0 } else { keys as f64 / cells },
        skew: if keys == 0 { 1.0 } else { fullest as f64 / mean },
        chunks,
        pagesize: geometry.pagesize,
        stripes: geometry.stripes,
        slots: geometry.slots,
        writers: taken(geometry.slots, &|slot| region.field32(geometry.slot(slot).owner()).load(Relaxed)),
        processes: taken(PROCESSES, &|number| region.field32(geometry.process(number + 1)).load(Relaxed)),
        locking: store.method(),
        dirty: region.field(header::DIRTY).load(Relaxed) != 0,
    })
}

/// A few lines for a person.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.elements > 0 {
            writeln!(f, "{} elements, {} chunks of them written to", self.elements, self.keys)?;
        } else {
            writeln!(f, "{} bindings of {} keys", self.bindings, self.keys)?;
        }
        writeln!(
            f,
            "{} bytes, {} of them allocated, at most {}; pages of {}",
            self.size, self.allocated, self.max_size, self.pagesize
        )?;
        writeln!(f, "index {} bytes, load {:.2}, skew {:.2}", self.index, self.load, self.skew)?;
        write!(
            f,
            "{} stripes; {} of {} slots and {} process numbers in use; Locking::{}{}",
            self.stripes,
            self.writers,
            self.slots,
            self.processes,
            self.locking,
            if self.dirty { "; written to since the last sync" } else { "" },
        )
    }
}

//! What the benchmarks share: objects that are removed at the end.

pub mod pieces;

use netshm::{Array, DataManager, HashTable, Locking, Result, Shm, ShmKey};
use netshm_tests::{Random, Scratch};

/// The locking methods, and what they are called in the names of benchmarks.
pub const METHODS: [(&str, Locking); 3] =
    [("None", Locking::None), ("Record", Locking::Record), ("Futex", Locking::Futex)];

/// A managed object that is removed when this is dropped.
#[derive(Debug)]
pub struct Managed<T> {
    /// The managed object.
    pub object: T,
    _removed_at_the_end: Scratch,
}

impl<T> Managed<T> {
    fn new(manage: impl FnOnce(Shm) -> Result<T>) -> Result<Managed<T>> {
        let scratch = Scratch::posix("bench");
        Ok(Managed { object: manage(scratch.open())?, _removed_at_the_end: scratch })
    }
}

impl<K: ShmKey, V: DataManager> Managed<HashTable<K, V>> {
    /// Returns an empty table.
    ///
    /// # Errors
    /// Those of creating and managing it.
    pub fn table(locking: Locking) -> Result<Self> {
        Managed::new(|shm| HashTable::options().locking(locking).manage(shm))
    }
}

impl Managed<Array<u64>> {
    /// Returns an array of that number of zeros.
    ///
    /// # Errors
    /// Those of creating and managing it.
    pub fn array(locking: Locking, length: usize) -> Result<Self> {
        let array = Managed::new(|shm| Array::options().locking(locking).manage(shm, 0))?;
        array.object.resize(length)?;
        Ok(array)
    }
}

/// Numbers below a bound in an order that caches cannot foresee, the same in each run.
#[derive(Debug, Clone)]
pub struct Order {
    random: Random,
    bound: u64,
}

impl Order {
    /// Returns an order of numbers below `bound`, which is not zero.
    pub fn below(bound: u64) -> Order {
        Order { random: Random::new(1), bound }
    }

    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        (self.random.number() >> 33) % self.bound
    }
}

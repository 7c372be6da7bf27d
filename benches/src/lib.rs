//! What the benchmarks share: objects of their own that are gone at the end.

use netshm::{Array, DataManager, HashTable, Locking, Result, Shm, ShmKey, ShmName};

/// The locking methods, and what they are called in the names of benchmarks.
pub const METHODS: [(&str, Locking); 3] =
    [("None", Locking::None), ("Record", Locking::Record), ("Futex", Locking::Futex)];

/// An object of a name that nobody else uses, removed when this is dropped.
#[derive(Debug)]
pub struct Scratch<T> {
    /// The managed object.
    pub object: T,
    name: ShmName,
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        // What is gone already need not be removed.
        let _ = self.name.unlink();
    }
}

impl<T> Scratch<T> {
    fn make(manage: impl FnOnce(Shm) -> Result<T>) -> Result<Scratch<T>> {
        let shm = Shm::create_unique(&"posix:/netshm-bench.XXXXXXXX".parse()?, 0o600)?;
        let name = shm.name().clone();
        match manage(shm) {
            Ok(object) => Ok(Scratch { object, name }),
            Err(error) => {
                name.unlink()?;
                Err(error)
            }
        }
    }
}

impl<K: ShmKey, V: DataManager> Scratch<HashTable<K, V>> {
    /// Returns an empty table.
    ///
    /// # Errors
    /// Those of making it.
    pub fn table(locking: Locking) -> Result<Self> {
        Scratch::make(|shm| HashTable::options().locking(locking).manage(shm))
    }
}

impl Scratch<Array<u64>> {
    /// Returns an array of that number of zeros.
    ///
    /// # Errors
    /// Those of making it.
    pub fn array(locking: Locking, length: usize) -> Result<Self> {
        let scratch = Scratch::make(|shm| Array::options().locking(locking).manage(shm, 0))?;
        scratch.object.resize(length)?;
        Ok(scratch)
    }
}

/// Numbers below a bound in an order that caches cannot foresee, the same in each run (splitmix64).
#[derive(Debug, Clone)]
pub struct Order {
    state: u64,
    bound: u64,
}

impl Order {
    /// Returns an order of numbers below `bound`, which is not zero.
    pub fn below(bound: u64) -> Order {
        Order { state: 1, bound }
    }

    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 33) % self.bound
    }
}

//! netshm itself, with each locking method.

use std::path::Path;

use netshm::{Array, HashTable, Locking, Shm, ShmKey, ShmName, group};

use crate::worker::{Cells, Peer, Table};
use crate::workload::{Numbers, Result, Texts};

#[derive(Debug)]
pub(crate) struct Netshm {
    numbers: HashTable<u64, u64>,
    texts: HashTable<String, String>,
}

fn object(directory: &Path, name: &str) -> Result<Shm> {
    let name = ShmName::file(directory.join(name))?;
    Ok(Shm::options().create(true).open(&name)?)
}

fn table<K: ShmKey, V: netshm::DataManager>(directory: &Path, name: &str, locking: Locking) -> Result<HashTable<K, V>> {
    Ok(HashTable::options().locking(locking).manage(object(directory, name)?)?)
}

impl Netshm {
    pub(crate) fn open(directory: &Path, locking: Locking) -> Result<Netshm> {
        Ok(Netshm { numbers: table(directory, "numbers", locking)?, texts: table(directory, "texts", locking)? })
    }
}

impl Table<Numbers> for Netshm {
    fn add(&self, key: &u64, value: &u64) -> Result<()> {
        Ok(self.numbers.add(key, value)?)
    }

    fn find<R>(&self, key: &u64, seen: impl FnOnce(Option<&u64>) -> R) -> Result<R> {
        Ok(seen(self.numbers.find(key)?.as_ref()))
    }

    fn replace(&self, key: &u64, value: &u64) -> Result<()> {
        Ok(self.numbers.replace(key, value)?)
    }

    fn sum(&self, part: fn(&u64) -> u64) -> Result<u64> {
        Ok(self.numbers.fold(0, |sum, _, value| sum + part(&value))?)
    }
}

impl Table<Texts> for Netshm {
    fn add(&self, key: &str, value: &str) -> Result<()> {
        Ok(self.texts.add(key, value)?)
    }

    fn find<R>(&self, key: &str, seen: impl FnOnce(Option<&str>) -> R) -> Result<R> {
        // As others hand out what lies in their memory: no text is built.
        let mut seen = Some(seen);
        let found = self.texts.find_with(key, |value| seen.take().map(|seen| seen(Some(value))))?.flatten();
        found.or_else(|| seen.map(|seen| seen(None))).ok_or_else(|| "nothing was shown".into())
    }

    fn replace(&self, key: &str, value: &str) -> Result<()> {
        Ok(self.texts.replace(key, value)?)
    }

    fn sum(&self, part: fn(&str) -> u64) -> Result<u64> {
        Ok(self.texts.fold(0, |sum, _, value| sum + part(&value))?)
    }
}

impl Peer for Netshm {
    fn increment(&self, key: u64, by: u64) -> Result<()> {
        let table = &self.numbers;
        // Reading locks the stripe for reading with record locks, so two that read before they write can deadlock.
        Ok(group!(retry table => {
            let value = table.find(&key)?.unwrap_or_default();
            table.replace(&key, &(value + by))?;
        })?)
    }
}

/// An array of `u64`.
#[derive(Debug)]
pub(crate) struct NetshmArray(Array<u64>);

impl NetshmArray {
    pub(crate) fn open(directory: &Path, locking: Locking, entries: u64) -> Result<NetshmArray> {
        let array = Array::options().locking(locking).manage(object(directory, "array")?, 0)?;
        array.resize(entries as usize)?;
        Ok(NetshmArray(array))
    }
}

impl Cells for NetshmArray {
    fn get(&self, place: u64) -> Result<u64> {
        Ok(self.0.get(place as usize)?)
    }

    fn set(&self, place: u64, value: u64) -> Result<()> {
        Ok(self.0.set(place as usize, &value)?)
    }
}

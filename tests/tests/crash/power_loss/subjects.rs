//! The objects that lose power.

use std::collections::BTreeMap;

use netshm::{Array, HashTable, Report, Result, Shm, ShmData};

use super::MIXED;

/// An object whose keys have versions as values.
pub(super) trait Subject: Sized {
    const NAME: &'static str;
    fn open(shm: Shm) -> Result<Self>;
    fn put(&self, key: u64, version: u64) -> Result<()>;
    fn remove(&self, key: u64) -> Result<()>;
    fn clear(&self) -> Result<()>;
    fn dump(&self) -> Result<BTreeMap<u64, u64>>;
    fn group(&self, body: &dyn Fn() -> Result<()>) -> Result<()>;
    fn sync(&self) -> Result<()>;
    fn check(&self) -> Result<Report>;
    /// Returns what the group of another process would have stored.
    fn written_by_writer() -> BTreeMap<u64, u64> {
        (0..60).map(|key| (key * 3, 900 + key)).collect()
    }
    /// Gives memory back, and whatever else is done to the object as a whole.
    fn keep_up(&self) -> Result<()>;
}

pub(super) struct Pairs(HashTable<u64, u64>);

macro_rules! same_in_all {
    () => {
        fn clear(&self) -> Result<()> {
            self.0.clear()
        }
        same_in_both!();
    };
}

macro_rules! same_in_both {
    () => {
        fn group(&self, body: &dyn Fn() -> Result<()>) -> Result<()> {
            self.0.group(body)
        }
        fn sync(&self) -> Result<()> {
            self.0.sync()
        }
        fn check(&self) -> Result<Report> {
            self.0.check()
        }
        fn keep_up(&self) -> Result<()> {
            self.0.shm().trim().map(drop)
        }
    };
}

impl Subject for Pairs {
    const NAME: &'static str = "pairs";
    fn open(shm: Shm) -> Result<Self> {
        HashTable::options().stripes(2).slots(3).init(10).manage(shm).map(Pairs)
    }
    fn put(&self, key: u64, version: u64) -> Result<()> {
        self.0.replace(&key, &version)
    }
    fn remove(&self, key: u64) -> Result<()> {
        self.0.remove(&key).map(drop)
    }
    fn dump(&self) -> Result<BTreeMap<u64, u64>> {
        let mut all = BTreeMap::new();
        self.0.for_each(|key, value| _ = all.insert(key, value))?;
        Ok(all)
    }
    same_in_all!();
}

/// Returns a text whose length depends on the version, readable only as a whole.
pub(super) fn text_of(version: u64) -> String {
    let times = if version.is_multiple_of(29) { 900 } else { version * 7 % 60 };
    format!("{version};").repeat(1 + times as usize)
}

pub(super) fn version_of(text: &str) -> u64 {
    let version = text.split(';').next().and_then(|first| first.parse().ok());
    version.filter(|&version| text_of(version) == text).unwrap_or(MIXED)
}

/// The type that the records have at first.
pub(super) mod first {
    #[derive(netshm::ShmData)]
    pub(in super::super) struct Row {
        pub(in super::super) text: String,
    }
}

#[derive(ShmData)]
pub(super) struct Row {
    text: String,
    #[shm(default)]
    more: u64,
}

pub(super) struct Texts(HashTable<u64, Row>);

impl Subject for Texts {
    const NAME: &'static str = "texts";
    fn open(shm: Shm) -> Result<Self> {
        HashTable::options().stripes(2).slots(3).init(10).manage(shm).map(Texts)
    }
    fn put(&self, key: u64, version: u64) -> Result<()> {
        self.0.replace(&key, &Row { text: text_of(version), more: 0 })
    }
    fn remove(&self, key: u64) -> Result<()> {
        self.0.remove(&key).map(drop)
    }
    fn dump(&self) -> Result<BTreeMap<u64, u64>> {
        let mut all = BTreeMap::new();
        self.0.for_each(|key, value| _ = all.insert(key, version_of(&value.text)))?;
        Ok(all)
    }
    same_in_all!();
}

pub(super) struct Numbers(Array<u64>);

/// Elements of the array; it is longer for a while.
pub(super) const LENGTH: usize = 40_000;

impl Subject for Numbers {
    const NAME: &'static str = "numbers";
    fn open(shm: Shm) -> Result<Self> {
        Array::options().stripes(2).slots(3).manage(shm, 0).map(Numbers)
    }
    fn put(&self, key: u64, version: u64) -> Result<()> {
        if self.0.len()? <= key as usize {
            self.0.resize(LENGTH)?;
        }
        self.0.set(key as usize, &version)
    }
    fn remove(&self, key: u64) -> Result<()> {
        if self.0.len()? <= key as usize { Ok(()) } else { self.0.set(key as usize, &0) }
    }
    fn clear(&self) -> Result<()> {
        self.0.resize(0)
    }
    fn dump(&self) -> Result<BTreeMap<u64, u64>> {
        let mut all = BTreeMap::new();
        for key in 0..self.0.len()? {
            match self.0.get(key)? {
                0 => {}
                version => _ = all.insert(key as u64, version),
            }
        }
        Ok(all)
    }
    same_in_both!();
}

/// Members of one object, with the same versions at the same time; others come and go.
pub(super) struct Members {
    pairs: HashTable<u64, u64>,
    numbers: Array<u64>,
}

impl Members {
    /// Runs a group on both, which is one with a group around it.
    fn both(&self, body: impl FnOnce() -> Result<()>) -> Result<()> {
        self.pairs.group(body)
    }
}

impl Subject for Members {
    const NAME: &'static str = "members";
    fn open(shm: Shm) -> Result<Self> {
        let pairs = HashTable::options().named("pairs").stripes(2).slots(3).init(10).manage(shm.clone())?;
        let numbers: Array<u64> = Array::options().named("numbers").stripes(2).manage(shm, 0)?;
        if numbers.len()? < 2000 {
            numbers.resize(2000)?;
        }
        Ok(Members { pairs, numbers })
    }
    fn put(&self, key: u64, version: u64) -> Result<()> {
        self.both(|| {
            self.numbers.set(key as usize, &version)?;
            self.pairs.replace(&key, &version)
        })
    }
    fn remove(&self, key: u64) -> Result<()> {
        self.both(|| {
            self.numbers.set(key as usize, &0)?;
            self.pairs.remove(&key).map(drop)
        })
    }
    fn clear(&self) -> Result<()> {
        self.both(|| {
            self.pairs.clear()?;
            self.numbers.resize(0)?;
            self.numbers.resize(2000)
        })
    }
    /// Each key twice: what the table has, and at another place what the array has.
    fn dump(&self) -> Result<BTreeMap<u64, u64>> {
        let mut all = BTreeMap::new();
        self.pairs.for_each(|key, version| _ = all.insert(key * 2, version))?;
        self.numbers.for_each(|key, version| {
            if version > 0 {
                all.insert(key as u64 * 2 + 1, version);
            }
        })?;
        Ok(all)
    }
    fn written_by_writer() -> BTreeMap<u64, u64> {
        (0..120).map(|place| (place / 2 * 6 + place % 2, 900 + place / 2)).collect()
    }
    fn group(&self, body: &dyn Fn() -> Result<()>) -> Result<()> {
        self.pairs.group(body)
    }
    fn sync(&self) -> Result<()> {
        self.pairs.sync()
    }
    fn check(&self) -> Result<Report> {
        self.pairs.check()
    }
    fn keep_up(&self) -> Result<()> {
        let shm = self.pairs.shm();
        if shm.remove_member("further").is_err() {
            let further: HashTable<u64, String> = HashTable::options().named("further").manage(shm.clone())?;
            (0..50).try_for_each(|key| further.add(&key, &text_of(key)))?;
        }
        shm.trim().map(drop)
    }
}

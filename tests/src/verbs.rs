//! One face for all tables, so that one test can be run on all of them.

use std::fmt::Debug;

use netshm::{DataManager, Error, HashTable, Locking, Report, Result, Shm, ShmKey, Table};

/// Keys that tests choose by number.
pub trait AnyKey: ShmKey + Ord + Clone + Debug {
    /// Returns the key with that number; different numbers give different keys.
    fn numbered(number: u16) -> Self;
}

/// Values that tests choose by length and number.
pub trait AnyValue: DataManager + Clone + PartialEq + Debug {
    /// Returns a value of about `bytes` bytes, if the type leaves the choice.
    fn sized(bytes: usize, number: u64) -> Self;

    /// Returns the elements, if the value is one of the primitive table.
    fn elements(&mut self) -> Option<&mut Vec<i32>> {
        None
    }
}

impl AnyKey for i32 {
    fn numbered(number: u16) -> Self {
        // Half of them are negative.
        (i32::from(number) - 4) * 0x0101_0101
    }
}

impl AnyKey for u64 {
    fn numbered(number: u16) -> Self {
        // They differ in the upper half only.
        u64::from(number) << 32
    }
}

impl AnyKey for i64 {
    fn numbered(number: u16) -> Self {
        -i64::from(number)
    }
}

impl AnyKey for String {
    fn numbered(number: u16) -> Self {
        // Short and long ones, up to several small pages.
        format!("{number}{}", "k".repeat(usize::from(number) * 37 % 700))
    }
}

impl AnyKey for (i8, String) {
    fn numbered(number: u16) -> Self {
        (number as i8, format!("{}", number / 256))
    }
}

impl AnyValue for u64 {
    fn sized(_bytes: usize, number: u64) -> Self {
        number
    }
}

impl AnyValue for i64 {
    fn sized(_bytes: usize, number: u64) -> Self {
        -(number as i64)
    }
}

impl AnyValue for bool {
    fn sized(_bytes: usize, number: u64) -> Self {
        number % 3 == 1
    }
}

impl AnyValue for [u64; 3] {
    fn sized(bytes: usize, number: u64) -> Self {
        [number, bytes as u64, !number]
    }
}

impl AnyValue for Vec<i32> {
    fn sized(bytes: usize, number: u64) -> Self {
        (0..bytes / 4).map(|at| (number as i32).wrapping_mul(31).wrapping_add(at as i32)).collect()
    }

    fn elements(&mut self) -> Option<&mut Vec<i32>> {
        Some(self)
    }
}

impl AnyValue for String {
    fn sized(bytes: usize, number: u64) -> Self {
        let text = format!("{number}-");
        text.chars().cycle().take(bytes).collect()
    }
}

impl AnyValue for Option<Vec<u8>> {
    fn sized(bytes: usize, number: u64) -> Self {
        bytes.checked_sub(1).map(|bytes| (0..bytes).map(|at| (number as usize + at) as u8).collect())
    }
}

/// Parameters of an object's creation.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The locking method.
    pub locking: Locking,
    /// Bytes in a page.
    pub pagesize: u64,
    /// Number of stripes.
    pub stripes: u32,
}

impl Shape {
    /// Returns each method with each page size and stripe count that tests are run with.
    pub fn all() -> Vec<Shape> {
        let mut shapes = Vec::new();
        for locking in [Locking::None, Locking::Record, Locking::Futex] {
            for pagesize in [256, 1024, 4096] {
                for stripes in [1, 64] {
                    shapes.push(Shape { locking, pagesize, stripes });
                }
            }
        }
        shapes
    }
}

/// Ways in which [`Verbs::visit`] goes through a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `for_each`.
    ForEach,
    /// `fold`.
    Fold,
    /// `scan`.
    Scan,
}

/// The verbs of a table.
#[allow(missing_docs, clippy::missing_errors_doc)]
pub trait Verbs: Sized {
    type Key: AnyKey;
    type Value: AnyValue;

    fn open(shm: Shm, shape: Shape) -> Result<Self>;
    fn add(&self, key: &Self::Key, value: &Self::Value) -> Result<()>;
    fn replace(&self, key: &Self::Key, value: &Self::Value) -> Result<()>;
    fn add_if_absent(&self, key: &Self::Key, value: &Self::Value) -> Result<bool>;
    fn find(&self, key: &Self::Key) -> Result<Option<Self::Value>>;
    fn find_all(&self, key: &Self::Key) -> Result<Vec<Self::Value>>;
    fn contains(&self, key: &Self::Key) -> Result<bool>;
    fn remove(&self, key: &Self::Key) -> Result<bool>;
    fn pop(&self, key: &Self::Key) -> Result<Option<Self::Value>>;
    fn remove_all(&self, key: &Self::Key) -> Result<usize>;
    fn get_or_insert_with(&self, key: &Self::Key, make: impl FnOnce() -> Self::Value) -> Result<Self::Value>;
    fn update(
        &self,
        key: &Self::Key,
        change: impl FnOnce(Option<Self::Value>) -> Option<Self::Value>,
    ) -> Result<Option<Self::Value>>;
    fn swap(&self, key: &Self::Key, value: &Self::Value) -> Result<Option<Self::Value>>;
    fn compare_exchange(
        &self,
        key: &Self::Key,
        old: &Self::Value,
        new: &Self::Value,
    ) -> Result<std::result::Result<(), Option<Self::Value>>>;
    fn visit(&self, way: Way) -> Result<Vec<(Self::Key, Self::Value)>>;
    fn visit_keys(&self) -> Result<Vec<Self::Key>>;
    fn scan_keys(&self) -> Result<Vec<Self::Key>>;
    fn scan_values(&self) -> Result<Vec<Self::Value>>;
    fn len(&self) -> Result<usize>;
    fn is_empty(&self) -> Result<bool>;
    fn clear(&self) -> Result<()>;
    fn check(&self) -> Result<Report>;
    fn group<R, E: From<Error>>(&self, body: impl FnOnce() -> Result<R, E>) -> Result<R, E>;
    /// Returns the primitive table and a key of it, for its block calls.
    fn primitive(&self, key: &Self::Key) -> Option<(&Table, i32)>;
}

macro_rules! verbs {
    ([$($generics:tt)*] $table:ty, $key:ty, $value:ty, $pass:expr, $primitive:expr) => {
        impl $($generics)* Verbs for $table {
            type Key = $key;
            type Value = $value;

            fn open(shm: Shm, shape: Shape) -> Result<Self> {
                let options = Self::options().locking(shape.locking).pagesize(shape.pagesize);
                options.stripes(shape.stripes).init(100).manage(shm)
            }
            fn add(&self, key: &$key, value: &$value) -> Result<()> {
                self.add($pass(key), value)
            }
            fn replace(&self, key: &$key, value: &$value) -> Result<()> {
                self.replace($pass(key), value)
            }
            fn add_if_absent(&self, key: &$key, value: &$value) -> Result<bool> {
                self.add_if_absent($pass(key), value)
            }
            fn find(&self, key: &$key) -> Result<Option<$value>> {
                self.find($pass(key))
            }
            fn find_all(&self, key: &$key) -> Result<Vec<$value>> {
                self.find_all($pass(key))
            }
            fn contains(&self, key: &$key) -> Result<bool> {
                self.contains($pass(key))
            }
            fn remove(&self, key: &$key) -> Result<bool> {
                self.remove($pass(key))
            }
            fn pop(&self, key: &$key) -> Result<Option<$value>> {
                self.pop($pass(key))
            }
            fn remove_all(&self, key: &$key) -> Result<usize> {
                self.remove_all($pass(key))
            }
            fn get_or_insert_with(&self, key: &$key, make: impl FnOnce() -> $value) -> Result<$value> {
                self.get_or_insert_with($pass(key), make)
            }
            fn update(
                &self,
                key: &$key,
                change: impl FnOnce(Option<$value>) -> Option<$value>,
            ) -> Result<Option<$value>> {
                self.update($pass(key), change)
            }
            fn swap(&self, key: &$key, value: &$value) -> Result<Option<$value>> {
                self.swap($pass(key), value)
            }
            fn compare_exchange(
                &self,
                key: &$key,
                old: &$value,
                new: &$value,
            ) -> Result<std::result::Result<(), Option<$value>>> {
                self.compare_exchange($pass(key), old, new)
            }
            fn visit(&self, way: Way) -> Result<Vec<($key, $value)>> {
                let mut items = Vec::new();
                match way {
                    Way::ForEach => self.for_each(|key, value| items.push((key, value)))?,
                    Way::Scan => return self.scan().collect(),
                    Way::Fold => {
                        items = self.fold(items, |mut sofar, key, value| {
                            sofar.push((key, value));
                            sofar
                        })?;
                    }
                }
                Ok(items)
            }
            fn visit_keys(&self) -> Result<Vec<$key>> {
                let mut keys = Vec::new();
                self.for_each_key(|key| keys.push(key))?;
                Ok(keys)
            }
            fn scan_keys(&self) -> Result<Vec<$key>> {
                self.keys().collect()
            }
            fn scan_values(&self) -> Result<Vec<$value>> {
                self.values().collect()
            }
            fn len(&self) -> Result<usize> {
                self.len()
            }
            fn is_empty(&self) -> Result<bool> {
                self.is_empty()
            }
            fn clear(&self) -> Result<()> {
                self.clear()
            }
            fn check(&self) -> Result<Report> {
                self.check()
            }
            fn group<R, E: From<Error>>(&self, body: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
                self.group(body)
            }
            fn primitive(&self, key: &$key) -> Option<(&Table, i32)> {
                $primitive(self, key)
            }
        }
    };
}

verbs!([] Table, i32, Vec<i32>, |key: &i32| *key, |table, key: &i32| Some((table, *key)));
verbs!([<K: AnyKey, V: AnyValue>] HashTable<K, V>, K, V, std::convert::identity, |_, _| None);

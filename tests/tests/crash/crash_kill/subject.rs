//! One face for the objects that are tormented.

use netshm::{Array, Error, HashTable, Locking, Report, Result, Shm, ShmName, Table};

use super::lane::{self, ACCOUNTS, KEYS, TOTAL, Verb};

/// An object with keys by number: first the accounts, then those of the lanes. Outcomes of verbs are compared with what
/// the model says.
pub(crate) trait Subject: Sized {
    /// True if a key can have more than one binding.
    const DEEP: bool;

    fn open(shm: Shm, locking: Locking) -> Result<Self>;
    /// Makes a verb; `before` is what is bound to its key.
    fn verb(&self, base: u32, verb: Verb, before: &[u64]) -> Result<()>;
    /// Returns the numbers of the values bound to a key, the newest last.
    fn stack(&self, key: u32) -> Result<Vec<u64>>;
    fn balance(&self, account: u32) -> Result<i64>;
    /// Stores a balance, in a value with `padding` bytes more.
    fn set_balance(&self, account: u32, amount: i64, padding: u64) -> Result<()>;
    /// Does something to the whole object that changes neither accounts nor keys, within a group.
    fn whole(&self, random: u64) -> Result<()>;
    fn group<R>(&self, body: impl FnMut() -> Result<R>) -> Result<R>;
    fn check(&self) -> Result<Report>;
    fn shm(&self) -> &Shm;

    fn fill_accounts(&self) -> Result<()> {
        (0..ACCOUNTS).try_for_each(|account| self.set_balance(account, TOTAL / i64::from(ACCOUNTS), 0))
    }
}

/// Returns the number of a lane's first key.
pub(crate) fn base(lane: u32) -> u32 {
    ACCOUNTS + lane * KEYS
}

/// Bytes of an object at most: what all lanes bind at a time takes a fraction of it, so a process that loses memory reaches the limit.
const MAX_SIZE: u64 = 24 << 20;

macro_rules! open {
    ($shm:expr, $locking:expr $(, $default:expr)?) => {
        Self::options()
            .locking($locking)
            .stripes(super::variable("NETSHM_STRIPES", 8) as u32)
            .slots(super::variable("NETSHM_SLOTS", 128) as u32)
            .init(16)
            .pagesize(256)
            .max_size(MAX_SIZE)
            .manage($shm $(, $default)?)
    };
}

/// Keys of the tables: of several lengths, up to pages.
trait Tabled: Sized {
    type Key;
    type Value;
    fn key(number: u32) -> Self::Key;
    fn value(bytes: &[u8]) -> Self::Value;
    fn bytes(value: &Self::Value) -> Vec<u8>;
    fn number(value: &Self::Value) -> u64 {
        lane::number(&Self::bytes(value))
    }
}

impl Tabled for HashTable<String, Vec<u8>> {
    type Key = String;
    type Value = Vec<u8>;

    fn key(number: u32) -> String {
        format!("{number}{}", "-".repeat(number as usize * 37 % 500))
    }
    fn value(bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
    fn bytes(value: &Vec<u8>) -> Vec<u8> {
        value.clone()
    }
}

impl Tabled for HashTable<u64, u64> {
    type Key = u64;
    type Value = u64;

    fn key(number: u32) -> u64 {
        number.into()
    }
    /// Its first eight bytes say which value it is.
    fn value(bytes: &[u8]) -> u64 {
        bytes.first_chunk().map_or(0, |start| u64::from_ne_bytes(*start))
    }
    fn bytes(value: &u64) -> Vec<u8> {
        value.to_ne_bytes().to_vec()
    }
    fn number(value: &u64) -> u64 {
        *value
    }
}

impl Tabled for Table {
    type Key = i32;
    type Value = Vec<i32>;

    fn key(number: u32) -> i32 {
        number as i32 - 100
    }
    /// Stores one byte per element, since the length has to come back.
    fn value(bytes: &[u8]) -> Vec<i32> {
        bytes.iter().map(|&byte| i32::from(byte)).collect()
    }
    fn bytes(value: &Vec<i32>) -> Vec<u8> {
        value.iter().map(|&element| u8::try_from(element).expect("a byte")).collect()
    }
}

/// Implements what is the same for all objects.
macro_rules! passed_on {
    () => {
        fn group<R>(&self, body: impl FnMut() -> Result<R>) -> Result<R> {
            self.group_retry(body)
        }

        fn check(&self) -> Result<Report> {
            self.check()
        }

        fn shm(&self) -> &Shm {
            self.shm()
        }
    };
}

macro_rules! table_subject {
    ($table:ty, $key:expr) => {
        impl Subject for $table {
            const DEEP: bool = true;

            fn open(shm: Shm, locking: Locking) -> Result<Self> {
                open!(shm, locking)
            }

            fn verb(&self, base: u32, verb: Verb, before: &[u64]) -> Result<()> {
                let key = |key: u32| <Self as Tabled>::key(base + key);
                let value = |number| Self::value(&lane::bytes(number));
                match verb {
                    Verb::Add(k, v) => self.add($key(&key(k)), &value(v))?,
                    Verb::Replace(k, v) => self.replace($key(&key(k)), &value(v))?,
                    Verb::AddIfAbsent(k, v) => {
                        assert_eq!(self.add_if_absent($key(&key(k)), &value(v))?, before.is_empty());
                    }
                    Verb::Update(k, v) => drop(self.update($key(&key(k)), |old| {
                        assert_eq!(old.map(|old| Self::number(&old)), before.last().copied());
                        v.map(value)
                    })?),
                    Verb::Remove(k) => assert_eq!(self.remove($key(&key(k)))?, !before.is_empty()),
                    Verb::Pop(k) => {
                        let popped = self.pop($key(&key(k)))?;
                        assert_eq!(popped.map(|old| Self::number(&old)), before.last().copied());
                    }
                    Verb::RemoveAll(k) => assert_eq!(self.remove_all($key(&key(k)))?, before.len()),
                    Verb::Swap(one, other) if one == other => (),
                    Verb::Swap(one, other) => self.group_retry(|| -> Result<()> {
                        let pairs =
                            [(one, self.find_all($key(&key(other)))?), (other, self.find_all($key(&key(one)))?)];
                        for (to, values) in pairs {
                            self.remove_all($key(&key(to)))?;
                            values.iter().rev().try_for_each(|value| self.add($key(&key(to)), value))?;
                        }
                        Ok(())
                    })?,
                }
                Ok(())
            }

            fn stack(&self, key: u32) -> Result<Vec<u64>> {
                let found = self.find_all($key(&<Self as Tabled>::key(key)))?;
                Ok(found.iter().rev().map(|value| Self::number(value)).collect())
            }

            fn balance(&self, account: u32) -> Result<i64> {
                let value = self.find($key(&<Self as Tabled>::key(account)))?.expect("accounts are never removed");
                Ok(i64::from_ne_bytes(*Self::bytes(&value).first_chunk().expect("a balance has eight bytes")))
            }

            fn set_balance(&self, account: u32, amount: i64, padding: u64) -> Result<()> {
                let mut bytes = amount.to_ne_bytes().to_vec();
                bytes.resize(8 + padding as usize % 200, 1);
                self.replace($key(&<Self as Tabled>::key(account)), &Self::value(&bytes))
            }

            fn whole(&self, random: u64) -> Result<()> {
                self.group_retry(|| -> Result<()> {
                    let mut all = Vec::new();
                    self.for_each(|key, value| all.push((key, value)))?;
                    self.clear()?;
                    // In another order of the keys, which changes where everything is.
                    all.reverse();
                    let mut at = random as usize % all.len();
                    // The bindings of one key stay together, the oldest first.
                    while at > 0 && all[at].0 == all[at - 1].0 {
                        at -= 1;
                    }
                    all.rotate_left(at);
                    for (key, value) in &all {
                        self.add($key(key), value)?;
                    }
                    Ok(())
                })
            }

            passed_on!();
        }
    };
}

table_subject!(HashTable<String, Vec<u8>>, std::convert::identity);
table_subject!(HashTable<u64, u64>, std::convert::identity);
table_subject!(Table, |key: &i32| *key);

/// Returns where the elements of an array are: far apart, so that each few of them have a chunk of their own.
fn index(key: u32) -> usize {
    key as usize * 61
}

/// The length below which the elements of all lanes are.
const LENGTH: usize = 200_000;

macro_rules! array_subject {
    ($element:ty, $default:expr, $value:expr, $number:expr, $set:expr, $get:expr) => {
        impl Subject for Array<$element> {
            const DEEP: bool = false;

            fn open(shm: Shm, locking: Locking) -> Result<Self> {
                let array: Self = open!(shm, locking, $default)?;
                if array.is_empty()? {
                    array.resize(LENGTH)?;
                }
                Ok(array)
            }

            fn verb(&self, base: u32, verb: Verb, before: &[u64]) -> Result<()> {
                let at = |key: u32| index(base + key);
                match verb {
                    Verb::Add(k, v) | Verb::Replace(k, v) => self.set(at(k), &$value(v)),
                    Verb::AddIfAbsent(k, v) => {
                        self.update(at(k), |old| if $number(&old) == 0 { $value(v) } else { old }).map(drop)
                    }
                    Verb::Update(k, v) => {
                        let new = self.update(at(k), |old| {
                            assert_eq!($number(&old), before.last().copied().unwrap_or(0));
                            v.map_or($default, $value)
                        });
                        new.map(drop)
                    }
                    Verb::Remove(k) | Verb::Pop(k) | Verb::RemoveAll(k) => self.set(at(k), &$default),
                    Verb::Swap(one, other) => self.swap(at(one), at(other)),
                }
            }

            fn stack(&self, key: u32) -> Result<Vec<u64>> {
                let number = $number(&self.get(index(key))?);
                Ok(Some(number).filter(|&number| number != 0).into_iter().collect())
            }

            fn balance(&self, account: u32) -> Result<i64> {
                Ok($get(&self.get(index(account))?))
            }

            fn set_balance(&self, account: u32, amount: i64, padding: u64) -> Result<()> {
                self.set(index(account), &$set(amount, padding as usize))
            }

            fn whole(&self, random: u64) -> Result<()> {
                self.group_retry(|| -> Result<()> {
                    let length = LENGTH + 10 + random as usize % 100_000;
                    self.resize(length)?;
                    for step in 1..10 {
                        self.set(LENGTH + (length - LENGTH) * step / 10, &$value(random >> step | 1))?;
                    }
                    self.resize(length - (length - LENGTH) / 3)?;
                    self.resize(length)?;
                    assert_eq!(self.get(length - 1)?, $default);
                    Ok(())
                })
            }

            passed_on!();
        }
    };
}

array_subject!(
    i64,
    0,
    |value: u64| value as i64,
    |value: &i64| *value as u64,
    |amount: i64, _| amount,
    |value: &i64| { *value }
);
array_subject!(
    String,
    String::new(),
    |value: u64| lane::bytes(value).into_iter().map(char::from).collect::<String>(),
    |value: &String| lane::number(&value.chars().map(|part| part as u8).collect::<Vec<u8>>()),
    |amount: i64, padding: usize| format!("{amount}{}", " ".repeat(padding % 200)),
    |value: &String| value.trim_end().parse().expect("a balance")
);

/// Returns the sum of all accounts, read within a group.
pub(crate) fn total(subject: &impl Subject) -> Result<i64> {
    subject.group(|| (0..ACCOUNTS).map(|account| subject.balance(account)).sum())
}

/// Returns the error that ends a group on purpose.
pub(crate) fn on_purpose() -> Error {
    "no name".parse::<ShmName>().expect_err("it has no kind")
}

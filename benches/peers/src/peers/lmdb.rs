//! LMDB through heed: a transaction for each operation, or one long transaction for each workload.

use std::path::Path;

use heed::byteorder::NativeEndian;
use heed::types::{Str, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, IntegerComparator, RoTxn, WithoutTls};

use crate::worker::{Peer, Table};
use crate::workload::{Data, Numbers, Result, Texts};

type NumbersDatabase = Database<U64<NativeEndian>, U64<NativeEndian>, IntegerComparator>;
type TextsDatabase = Database<Str, Str>;

#[derive(Debug)]
pub(crate) struct Lmdb {
    environment: Env<WithoutTls>,
    numbers: NumbersDatabase,
    texts: TextsDatabase,
    long: bool,
}

impl Lmdb {
    #[expect(unsafe_code, reason = "heed has no safe way to open an environment")]
    pub(crate) fn open(directory: &Path, entries: u64, long: bool) -> Result<Lmdb> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(2).map_size(usize::try_from((64 << 20) + entries * 4096)?);
        // SAFETY: losing data in a power loss is no matter here.
        unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::NO_META_SYNC | EnvFlags::WRITE_MAP) };
        // SAFETY: the directory belongs to this run, whose workers change the files through LMDB only.
        let environment = unsafe { options.open(directory) }?;
        let mut txn = environment.write_txn()?;
        let numbers = environment.database_options().types::<U64<NativeEndian>, U64<NativeEndian>>();
        let mut numbers = numbers.key_comparator::<IntegerComparator>();
        let numbers = numbers.name("numbers").create(&mut txn)?;
        let texts = environment.create_database(&mut txn, Some("texts"))?;
        txn.commit()?;
        Ok(Lmdb { environment, numbers, texts, long })
    }
}

/// Both databases differ in their types only.
macro_rules! table {
    ($data:ty, $field:ident, $key:ty, $value:ty, $borrow:path) => {
        impl Lmdb {
            fn $field<R>(
                &self,
                txn: &RoTxn<'_, WithoutTls>,
                key: &$key,
                seen: impl FnOnce(Option<&$value>) -> R,
            ) -> Result<R> {
                Ok(seen(self.$field.get(txn, key)?.as_ref().map($borrow)))
            }
        }

        impl Table<$data> for Lmdb {
            fn add(&self, key: &$key, value: &$value) -> Result<()> {
                let mut txn = self.environment.write_txn()?;
                self.$field.put(&mut txn, key, value)?;
                Ok(txn.commit()?)
            }

            fn find<R>(&self, key: &$key, seen: impl FnOnce(Option<&$value>) -> R) -> Result<R> {
                self.$field(&self.environment.read_txn()?, key, seen)
            }

            fn replace(&self, key: &$key, value: &$value) -> Result<()> {
                Table::<$data>::add(self, key, value)
            }

            fn sum(&self, part: fn(&$value) -> u64) -> Result<u64> {
                let txn = self.environment.read_txn()?;
                self.$field.iter(&txn)?.try_fold(0, |sum, pair| Ok(sum + part($borrow(&pair?.1))))
            }

            fn fill(&self, keys: &<$data as Data>::Keys, count: usize) -> Result<()> {
                let mut txn = self.environment.write_txn()?;
                for place in 0..count {
                    if !self.long {
                        txn.commit()?;
                        txn = self.environment.write_txn()?;
                    }
                    let key = <$data>::key(keys, place);
                    <$data>::with_value(key, false, |value| self.$field.put(&mut txn, key, value))?;
                }
                Ok(txn.commit()?)
            }

            fn find_each(
                &self,
                keys: &<$data as Data>::Keys,
                count: usize,
                part: fn(Option<&$value>) -> u64,
            ) -> Result<u64> {
                let mut txn = self.environment.read_txn()?;
                (0..count).try_fold(0, |sum, place| {
                    if !self.long {
                        txn = self.environment.read_txn()?;
                    }
                    Ok(sum + self.$field(&txn, <$data>::key(keys, place), part)?)
                })
            }
        }
    };
}

fn number(value: &u64) -> &u64 {
    value
}

fn text<'t>(value: &&'t str) -> &'t str {
    value
}

table!(Numbers, numbers, u64, u64, number);
table!(Texts, texts, str, str, text);

impl Peer for Lmdb {
    fn increment(&self, key: u64, by: u64) -> Result<()> {
        let mut txn = self.environment.write_txn()?;
        let value = self.numbers.get(&txn, &key)?.unwrap_or_default();
        self.numbers.put(&mut txn, &key, &(value + by))?;
        Ok(txn.commit()?)
    }
}

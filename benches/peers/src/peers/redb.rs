//! redb, a transaction for each operation: within one process, which has the file to itself, durability left to others; and shared by
//! processes, where each commit must be durable.

use std::path::Path;

use redb::{ConcurrencyMode, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::worker::{Peer, Table};
use crate::workload::{Data, Numbers, Result, Texts};

const NUMBERS: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");
const TEXTS: TableDefinition<'_, &str, &str> = TableDefinition::new("texts");

pub(crate) struct Redb {
    database: Database,
    durability: Durability,
}

impl Redb {
    pub(crate) fn open(directory: &Path, shared: bool) -> Result<Redb> {
        let (mode, durability) = if shared {
            (ConcurrencyMode::MultiWriter, Durability::Immediate)
        } else {
            (ConcurrencyMode::ExclusiveWriter, Durability::None)
        };
        let database = Database::builder().set_concurrency_mode(mode).create(directory.join("redb"))?;
        let redb = Redb { database, durability };
        redb.write(|txn| {
            txn.open_table(NUMBERS)?;
            txn.open_table(TEXTS)?;
            Ok(())
        })?;
        Ok(redb)
    }

    fn write(&self, body: impl FnOnce(&WriteTransaction) -> Result<()>) -> Result<()> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(self.durability)?;
        body(&txn)?;
        Ok(txn.commit()?)
    }
}

/// Both tables differ in their types only; a number is handed over by value, a text by reference.
macro_rules! table {
    ($data:ty, $definition:ident, $key:ty, $value:ty, $give:path, $take:path) => {
        impl Table<$data> for Redb {
            fn add(&self, key: &$key, value: &$value) -> Result<()> {
                self.write(|txn| {
                    txn.open_table($definition)?.insert($give(key), $give(value))?;
                    Ok(())
                })
            }

            fn find<R>(&self, key: &$key, seen: impl FnOnce(Option<&$value>) -> R) -> Result<R> {
                let found = self.database.begin_read()?.open_table($definition)?.get($give(key))?;
                Ok(seen(found.as_ref().map(|guard| guard.value()).as_ref().map($take)))
            }

            fn replace(&self, key: &$key, value: &$value) -> Result<()> {
                Table::<$data>::add(self, key, value)
            }

            fn sum(&self, part: fn(&$value) -> u64) -> Result<u64> {
                let table = self.database.begin_read()?.open_table($definition)?;
                table.iter()?.try_fold(0, |sum, pair| Ok(sum + part($take(&pair?.1.value()))))
            }

            /// Fills in one transaction: one for each entry would take minutes.
            fn fill(&self, keys: &<$data as Data>::Keys, count: usize) -> Result<()> {
                self.write(|txn| {
                    let mut table = txn.open_table($definition)?;
                    (0..count).try_for_each(|place| {
                        let key = <$data>::key(keys, place);
                        <$data>::with_value(key, false, |value| table.insert($give(key), $give(value)).map(|_| ()))?;
                        Ok(())
                    })
                })
            }
        }
    };
}

fn give_number(value: &u64) -> u64 {
    *value
}

fn give_text(value: &str) -> &str {
    value
}

fn number(value: &u64) -> &u64 {
    value
}

fn text<'t>(value: &&'t str) -> &'t str {
    value
}

table!(Numbers, NUMBERS, u64, u64, give_number, number);
table!(Texts, TEXTS, str, str, give_text, text);

impl Peer for Redb {
    fn increment(&self, key: u64, by: u64) -> Result<()> {
        self.write(|txn| {
            let mut table = txn.open_table(NUMBERS)?;
            let value = table.get(key)?.map_or(0, |guard| guard.value());
            table.insert(key, value + by)?;
            Ok(())
        })
    }
}

//! SQLite through rusqlite: write-ahead log, synchronous off, a transaction for each statement.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use crate::worker::{Peer, Table};
use crate::workload::{Data, Numbers, Result, Texts};

/// The lock is there because a connection is not for several threads; beside a statement it costs nothing.
#[derive(Debug)]
pub(crate) struct Sqlite(Mutex<Connection>);

impl Sqlite {
    pub(crate) fn open(directory: &Path) -> Result<Sqlite> {
        let connection = Connection::open(directory.join("sqlite"))?;
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = off; pragma cache_size = -262144;
             create table if not exists numbers (key integer primary key, value integer not null);
             create table if not exists texts (key text primary key, value text not null) without rowid;",
        )?;
        Ok(Sqlite(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(value: ValueRef<'_>) -> Result<u64> {
    Ok(value.as_i64()? as u64)
}

impl Table<Numbers> for Sqlite {
    fn add(&self, key: &u64, value: &u64) -> Result<()> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("insert into numbers values (?1, ?2)")?;
        statement.execute(params![*key as i64, *value as i64])?;
        Ok(())
    }

    fn find<R>(&self, key: &u64, seen: impl FnOnce(Option<&u64>) -> R) -> Result<R> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("select value from numbers where key = ?1")?;
        let found: Option<i64> = statement.query_row([*key as i64], |row| row.get(0)).optional()?;
        Ok(seen(found.map(|value| value as u64).as_ref()))
    }

    fn replace(&self, key: &u64, value: &u64) -> Result<()> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("update numbers set value = ?2 where key = ?1")?;
        statement.execute(params![*key as i64, *value as i64])?;
        Ok(())
    }

    fn sum(&self, part: fn(&u64) -> u64) -> Result<u64> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("select key, value from numbers")?;
        let mut rows = statement.query([])?;
        let mut sum = 0;
        while let Some(row) = rows.next()? {
            sum += part(&number(row.get_ref(1)?)?);
        }
        Ok(sum)
    }

    fn fill(&self, keys: &Vec<u64>, count: usize) -> Result<()> {
        self.in_one_transaction(|| {
            (0..count).try_for_each(|place| Table::<Numbers>::add(self, &keys[place], &keys[place]))
        })
    }
}

impl Table<Texts> for Sqlite {
    fn add(&self, key: &str, value: &str) -> Result<()> {
        let connection = self.connection();
        connection.prepare_cached("insert into texts values (?1, ?2)")?.execute([key, value])?;
        Ok(())
    }

    fn find<R>(&self, key: &str, seen: impl FnOnce(Option<&str>) -> R) -> Result<R> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("select value from texts where key = ?1")?;
        let mut rows = statement.query([key])?;
        match rows.next()? {
            Some(row) => Ok(seen(Some(row.get_ref(0)?.as_str()?))),
            None => Ok(seen(None)),
        }
    }

    fn replace(&self, key: &str, value: &str) -> Result<()> {
        let connection = self.connection();
        connection.prepare_cached("update texts set value = ?2 where key = ?1")?.execute([key, value])?;
        Ok(())
    }

    fn sum(&self, part: fn(&str) -> u64) -> Result<u64> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("select key, value from texts")?;
        let mut rows = statement.query([])?;
        let mut sum = 0;
        while let Some(row) = rows.next()? {
            sum += part(row.get_ref(1)?.as_str()?);
        }
        Ok(sum)
    }

    fn fill(&self, keys: &String, count: usize) -> Result<()> {
        self.in_one_transaction(|| {
            (0..count).try_for_each(|place| {
                let key = Texts::key(keys, place);
                Texts::with_value(key, false, |value| Table::<Texts>::add(self, key, value))
            })
        })
    }
}

impl Sqlite {
    /// Runs `body` in one transaction, for filling only: one for each row would take minutes.
    fn in_one_transaction(&self, body: impl FnOnce() -> Result<()>) -> Result<()> {
        self.connection().execute_batch("begin immediate")?;
        body()?;
        Ok(self.connection().execute_batch("commit")?)
    }
}

impl Peer for Sqlite {
    fn increment(&self, key: u64, by: u64) -> Result<()> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("update numbers set value = value + ?2 where key = ?1")?;
        statement.execute(params![key as i64, by as i64])?;
        Ok(())
    }

    /// Files do not show it: rows may still be in the log.
    fn bytes(&self) -> Result<u64> {
        let connection = self.connection();
        let pages: i64 = connection.query_row("pragma page_count", [], |row| row.get(0))?;
        let page: i64 = connection.query_row("pragma page_size", [], |row| row.get(0))?;
        Ok((pages * page) as u64)
    }
}

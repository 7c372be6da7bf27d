//! The accounts, in one object that all clerks share.

use std::fmt;

use anyhow::{Result, ensure};
use netshm::{Array, HashTable, Locking, ShmData, ShmSchema, group};

/// Accounts of each kind.
const ACCOUNTS: u32 = 500;
/// Opening balance of each account, in cents.
pub(crate) const OPENING: i64 = 100_000;
/// Clerks that there can be.
pub(crate) const CLERKS: usize = 64;

/// Work of a clerk.
#[derive(ShmData, Debug, Clone, Copy, Default)]
struct Done {
    transfers: u64,
    /// From current to savings accounts, in cents.
    moved: i64,
}

/// The bank's books. A group on one of the members is a group on all of them.
#[derive(ShmSchema)]
#[shm(object = "/bank", locking = Locking::Futex)]
pub(crate) struct Ledger {
    /// Cents in current accounts, by number.
    current: HashTable<u32, i64>,
    /// Cents in savings accounts, by IBAN.
    savings: HashTable<String, i64>,
    /// By clerk.
    #[shm(len = CLERKS, default = Done::default())]
    done: Array<Done>,
}

impl Ledger {
    pub(crate) fn open_accounts(&self) -> netshm::Result<()> {
        group!(retry self => {
            for number in 0..ACCOUNTS {
                self.current.add(&number, &OPENING)?;
                self.savings.add(&iban(number), &OPENING)?;
            }
        })
    }

    /// Moves money from a current to a savings account, or back if it is negative; not if an account has not got it. All of it
    /// happens, or nothing, whatever becomes of this process.
    pub(crate) fn transfer(&self, clerk: usize, from: u32, to: u32, cents: i64) -> netshm::Result<()> {
        let (from, to) = (from % ACCOUNTS, iban(to % ACCOUNTS));
        group!(retry self => {
            let (Some(current), Some(savings)) = (self.current.find(&from)?, self.savings.find(&to)?) else {
                return Ok(());
            };
            if current >= cents && savings >= -cents {
                self.current.replace(&from, &(current - cents))?;
                self.savings.replace(&to, &(savings + cents))?;
                self.done.update(clerk, |done| Done { transfers: done.transfers + 1, moved: done.moved + cents })?;
            }
        })
    }

    /// Adds up all accounts as they are at one moment.
    pub(crate) fn audit(&self) -> Result<Audit> {
        let (audit, savings, moved) = group!(retry self => {
            let (mut accounts, mut current, mut savings) = (0, 0, 0);
            self.current.for_each(|_, cents| {
                accounts += 1;
                current += cents;
            })?;
            self.savings.for_each(|_, cents| {
                accounts += 1;
                savings += cents;
            })?;
            let (mut transfers, mut moved) = (0, 0);
            for done in &self.done {
                let done = done?;
                transfers += done.transfers;
                moved += done.moved;
            }
            Ok::<_, netshm::Error>((Audit { accounts, transfers, sum: current + savings }, savings, moved))?
        })?;
        let opening = i64::from(ACCOUNTS) * OPENING;
        ensure!(audit.sum == 2 * opening, "{audit}, but there were {} at first", money(2 * opening));
        ensure!(savings == opening + moved, "clerks moved {}, but savings are {}", money(moved), money(savings));
        Ok(audit)
    }
}

/// Findings of an audit.
pub(crate) struct Audit {
    pub(crate) accounts: u64,
    pub(crate) transfers: u64,
    /// Cents in all accounts.
    pub(crate) sum: i64,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} transfers, {} in {} accounts", self.transfers, money(self.sum), self.accounts)
    }
}

pub(crate) fn money(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents.abs() % 100)
}

fn iban(number: u32) -> String {
    format!("XY00 BANK {number:08}")
}

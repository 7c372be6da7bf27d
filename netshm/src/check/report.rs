//! What a check finds.

use std::fmt;

/// Findings that are listed; the rest is only counted.
const LISTED: usize = 1000;

/// Findings of a check of an object: `check()` of a table or an array.
///
/// The bytes add up: `used + index + logs + overhead + free + lost == size` in a sound object.
///
/// ```
/// # use netshm::{HashTable, Locking, Shm};
/// # let shm = Shm::create_unique("posix:/check.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// # let tab: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
/// tab.add("one", &1)?;
/// let report = tab.check()?;
/// assert!(report.is_clean(), "{report}");
/// assert_eq!(report.bindings, 1);
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Keys of a table that have a binding; chunks of an array that have been written to.
    pub keys: u64,
    /// Bindings of a table, hidden ones included; elements of an array that have been written to and lie in records of
    /// their own.
    pub bindings: u64,
    /// Bytes of the object.
    pub size: u64,
    /// Bytes of records: keys, values, their heads and padding.
    pub used: u64,
    /// Bytes of the index, or of an array's directory.
    pub index: u64,
    /// Bytes of logs beyond their first segments.
    pub logs: u64,
    /// Bytes of the header, the tables of slots and stripes, and the heads of runs and chunks.
    pub overhead: u64,
    /// Bytes that the object can use without growing.
    pub free: u64,
    /// Bytes that nothing refers to. A sound object has none, whatever died while writing to it.
    pub lost: u64,
    /// Findings, in the order of discovery. At most 1000 are listed.
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub unlisted: u64,
    /// True if the findings prove nothing: the object was read through a read-only descriptor, which cannot lock it, while
    /// others wrote to it, or after one of them had died in the middle of a change.
    pub disturbed: bool,
}

/// Something wrong in an object.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Place, in bytes from the object's start.
    pub offset: u64,
    /// Description.
    pub what: String,
}

impl Report {
    /// Returns whether nothing is wrong and nothing is lost.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.lost == 0
    }

    pub(super) fn finding(&mut self, offset: u64, what: impl Into<String>) {
        if self.findings.len() < LISTED {
            self.findings.push(Finding { offset, what: what.into() });
        } else {
            self.unlisted += 1;
        }
    }
}

/// A few lines for a person.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        writeln!(f, "{} of {} in {} bytes", counted(self.bindings, "binding"), counted(self.keys, "key"), self.size)?;
        writeln!(
            f,
            "  records {}, index {}, logs {}, overhead {}, free {}, lost {}",
            self.used, self.index, self.logs, self.overhead, self.free, self.lost
        )?;
        for finding in &self.findings {
            writeln!(f, "  at {}: {}", finding.offset, finding.what)?;
        }
        match (self.is_clean(), self.unlisted) {
            (true, _) => write!(f, "  nothing is wrong"),
            (false, 0) => write!(f, "  {}", counted(self.findings.len() as u64, "finding")),
            (false, more) => write!(f, "  and {}", counted(more, "more finding")),
        }?;
        if self.disturbed {
            write!(
                f,
                "; others were writing to the object, so they prove nothing (check it through a writable descriptor)"
            )?;
        }
        Ok(())
    }
}

//! One peer's round of measurements: a fresh store, all workloads, every answer checked.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::peers::{Kind, Memory, Scope, Sharing};
use crate::processes::{Answer, Worker, ask};
use crate::report::{Figures, Row};
use crate::workload::{Data, Numbers, Request, Result, Texts, Workload, expected, key_numbers};
use crate::ycsb::{self, SEEDS};

/// Numbers of workers in the workloads of several.
const CROWDS: [u64; 2] = [2, 4];
/// Percentiles of the latencies that workers report, per mille.
pub(crate) const PERCENTILES: [u64; 3] = [500, 990, 999];

/// A peer's store during one round.
#[derive(Debug)]
pub(crate) struct Round<'r> {
    kind: &'r Kind,
    driver: Option<&'r PathBuf>,
    directory: &'r Path,
    entries: u64,
    workers: Vec<Worker>,
    /// The next request's seed: the same for every peer, as all get the same requests in the same order.
    seed: u64,
}

impl<'r> Round<'r> {
    pub(crate) fn new(
        kind: &'r Kind,
        driver: Option<&'r PathBuf>,
        directory: &'r Path,
        entries: u64,
    ) -> Result<Round<'r>> {
        let workers = vec![Worker::start(kind, driver, directory, entries)?];
        Ok(Round { kind, driver, directory, entries, workers, seed: 1 })
    }

    /// Measures everything that the peer can do.
    pub(crate) fn run(&mut self, figures: &mut Figures) -> Result<()> {
        if self.kind.scope == Scope::Cells {
            for workload in [Workload::Fill, Workload::Set, Workload::Get] {
                self.alone::<Numbers>(workload, &mut [], figures)?;
            }
            return Ok(());
        }
        self.table::<Numbers>(figures)?;
        self.table::<Texts>(figures)?;
        if self.kind.scope == Scope::Tables {
            for crowd in CROWDS {
                let (time, answers) = self.crowd(Workload::Mix, false, crowd, self.operations(1))?;
                self.take(Row { workload: Workload::Mix, texts: false, crowd, percentile: 0 }, time, &answers, figures);
            }
            let (_, answers) = self.crowd(Workload::Latency, false, CROWDS[0], self.operations(4))?;
            let row = Row { workload: Workload::Latency, texts: false, crowd: CROWDS[0], percentile: 0 };
            self.take_latencies(row, &answers, figures)?;
            // Last, as some peers hardly get on here.
            CROWDS.into_iter().try_for_each(|crowd| self.increments(crowd, figures))?;
        }
        Ok(())
    }

    /// Measures YCSB with numbers, then with rows, by one to four.
    pub(crate) fn ycsb(&mut self, figures: &mut Figures) -> Result<()> {
        for texts in [false, true] {
            let request = self.request(Workload::Load, texts, self.entries);
            ask(&mut self.workers, &[request])?;
            for crowd in 1..=4 {
                for workload in ycsb::MIXES {
                    let (time, answers) = self.crowd(workload, texts, crowd, self.operations(1))?;
                    self.take(Row { workload, texts, crowd, percentile: 0 }, time, &answers, figures);
                    self.take_latencies(Row { workload, texts, crowd, percentile: 0 }, &answers, figures)?;
                }
            }
        }
        Ok(())
    }

    /// Records the latencies of the process that waited longest.
    fn take_latencies(&self, row: Row, answers: &[Answer], figures: &mut Figures) -> Result<()> {
        for (place, percentile) in PERCENTILES.into_iter().enumerate() {
            let latency = answers.iter().filter_map(|answer| answer.latencies.get(place)).max();
            let latency = *latency.ok_or("the worker tells no latencies")?;
            figures.add(self.kind.name, Row { percentile, ..row }, latency as f64);
        }
        Ok(())
    }

    fn table<D: Data>(&mut self, figures: &mut Figures) -> Result<()> {
        let mut replaced = vec![false; self.entries as usize];
        let before = self.bytes()?;
        self.alone::<D>(Workload::Fill, &mut replaced, figures)?;
        let row = Row { workload: Workload::Bytes, texts: D::NAME == Texts::NAME, crowd: 1, percentile: 0 };
        figures.add(self.kind.name, row, self.bytes()?.saturating_sub(before) as f64 / self.entries as f64);
        for workload in [Workload::Hit, Workload::Miss, Workload::Replace, Workload::Iterate] {
            self.alone::<D>(workload, &mut replaced, figures)?;
        }
        Ok(())
    }

    /// Returns a workload of one process.
    fn alone<D: Data>(&mut self, workload: Workload, replaced: &mut [bool], figures: &mut Figures) -> Result<()> {
        let operations = match workload {
            Workload::Fill | Workload::Iterate => self.entries,
            _ => self.operations(1),
        };
        let request = self.request(workload, D::NAME == Texts::NAME, operations);
        if workload == Workload::Replace {
            key_numbers(request, self.entries).for_each(|number| replaced[number as usize] = true);
        }
        let expected = expected::<D>(request, self.entries, replaced);
        let (_, answers) = ask(&mut self.workers, &[request])?;
        if answers[0].check != expected {
            return Err(format!("{request}: the check sum is {}, not {expected}", answers[0].check).into());
        }
        let row = Row { workload, texts: request.texts, crowd: 1, percentile: 0 };
        figures.add(self.kind.name, row, answers[0].nanoseconds as f64 / operations as f64);
        Ok(())
    }

    /// Measures grouped read-modify-write by several; no increment may be lost.
    fn increments(&mut self, crowd: u64, figures: &mut Figures) -> Result<()> {
        let before = self.hot_sum()?;
        let operations = self.operations(4);
        let (time, answers) = self.crowd(Workload::Increment, false, crowd, operations)?;
        let made = self.hot_sum()? - before;
        let asked: u64 = answers.iter().map(|answer| answer.check).sum();
        if made != asked {
            return Err(format!("{asked} increments by {crowd} were acknowledged, {made} are there").into());
        }
        self.take(Row { workload: Workload::Increment, texts: false, crowd, percentile: 0 }, time, &answers, figures);
        Ok(())
    }

    fn hot_sum(&mut self) -> Result<u64> {
        let request = self.request(Workload::Increments, false, 0);
        Ok(ask(&mut self.workers, &[request])?.1[0].check)
    }

    /// Returns a workload of several processes or threads, which share the operations.
    fn crowd(
        &mut self,
        workload: Workload,
        texts: bool,
        crowd: u64,
        operations: u64,
    ) -> Result<(Duration, Vec<Answer>)> {
        let (processes, threads) = match self.kind.sharing {
            Sharing::Processes => (crowd, 1),
            Sharing::Threads => (1, crowd),
        };
        while self.workers.len() < processes as usize {
            self.workers.push(Worker::start(self.kind, self.driver, self.directory, self.entries)?);
        }
        let each = operations.div_ceil(crowd);
        let mut requests = Vec::new();
        for _ in 0..processes {
            requests.push(Request { threads, ..self.request(workload, texts, each) });
        }
        let (time, answers) = ask(&mut self.workers, &requests)?;
        let done: u64 = answers.iter().map(|answer| answer.check).sum();
        if done != each * crowd {
            return Err(format!("{workload} by {crowd}: {done} of {} operations came out right", each * crowd).into());
        }
        Ok((time, answers))
    }

    /// Records the time from the common start to the last end, per operation of all.
    fn take(&self, row: Row, time: Duration, answers: &[Answer], figures: &mut Figures) {
        let done: u64 = answers.iter().map(|answer| answer.check).sum();
        figures.add(self.kind.name, row, time.as_nanos() as f64 / done as f64);
    }

    fn request(&mut self, workload: Workload, texts: bool, operations: u64) -> Request {
        self.seed += SEEDS;
        Request { workload, texts, operations, seed: self.seed, threads: 1 }
    }

    /// Returns the number of operations: one for each entry, divided by `divisor`.
    fn operations(&self, divisor: u64) -> u64 {
        (self.entries / (divisor * self.kind.thinned)).max(self.entries.min(1000))
    }

    fn bytes(&mut self) -> Result<u64> {
        match self.kind.memory {
            Memory::Files => {
                std::fs::read_dir(self.directory)?.try_fold(0, |sum, entry| Ok(sum + entry?.metadata()?.blocks() * 512))
            }
            Memory::Worker => {
                let request = self.request(Workload::Bytes, false, 0);
                Ok(ask(&mut self.workers, &[request])?.1[0].check)
            }
        }
    }
}

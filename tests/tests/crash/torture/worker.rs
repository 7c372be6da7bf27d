//! What a worker does, a step at a time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use netshm::{Error, Shm, ShmName, group};
use netshm_tests::{Ends, Outcome, Random};

use super::world::{
    ACCOUNTS, CELLS, Form, KEYS, World, assert_row, assert_text, assert_word, row, row_key, text, word,
};

pub(super) struct Worker {
    pub(super) world: World,
    pub(super) form: Form,
    pub(super) number: u64,
    pub(super) directory: PathBuf,
    /// The step under way.
    pub(super) step: u64,
    pub(super) random: Random,
}

impl Worker {
    fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    /// Does something; if it is a group, it counts the step.
    pub(super) fn act(&mut self) -> Outcome {
        match self.below(100) {
            0..12 => self.transfer(),
            12..22 => self.moves_to_cell(),
            22..32 => self.stack(),
            32..40 => self.plain_texts(),
            40..50 => self.counted_texts(),
            50..58 => self.counted_rows(),
            58..66 => self.plain_rest(),
            66..76 => self.half_undone(),
            76..79 => self.panics(),
            79..81 => self.clears(),
            81..86 => self.bulk(),
            86..90 => self.looks(),
            90..94 => self.apart(),
            94..97 => self.shuffles_cells(),
            97 => self.resizes(),
            98 => self.keeps(),
            _ => self.many(),
        }
    }

    fn count(&self) -> Outcome {
        Ok(self.world.lanes.set(self.number as usize, &self.step)?)
    }

    fn transfer(&mut self) -> Outcome {
        let (from, to, most) = (self.below(ACCOUNTS), self.below(ACCOUNTS), self.below(50));
        let accounts = &self.world.accounts;
        group!(retry accounts: Ends => {
            let old = accounts.find(&from)?.unwrap_or(0);
            let amount = old.min(most);
            accounts.replace(&from, &(old - amount))?;
            let old = accounts.find(&to)?.unwrap_or(0);
            accounts.replace(&to, &(old + amount))?;
            self.count()?;
        })
    }

    fn moves_to_cell(&mut self) -> Outcome {
        let (from, to, most) = (self.below(ACCOUNTS), self.below(CELLS) as usize, self.below(50));
        let World { accounts, cells, .. } = &self.world;
        let (back, vanishes) = (self.random.once_in(2), self.random.once_in(9));
        group!(retry cells: Ends => {
            let mut moved = 0;
            if back {
                cells.update(to, |old| { moved = old.min(most); old - moved })?;
                if vanishes {
                    // The account goes away, and comes again.
                    let all = accounts.pop(&from)?.unwrap_or(0);
                    accounts.add(&from, &(all + moved))?;
                } else {
                    accounts.update(&from, |old| Some(old.unwrap_or(0) + moved))?;
                }
            } else {
                accounts.update(&from, |old| { moved = old.unwrap_or(0).min(most); old.map(|old| old - moved) })?;
                cells.fetch_add(to, moved)?;
            }
            self.count()?;
        })
    }

    fn stack(&mut self) -> Outcome {
        let (account, key, amount) = (self.below(ACCOUNTS), self.below(20), self.below(30));
        let kind = self.below(8);
        let World { accounts, stacks, .. } = &self.world;
        group!(retry stacks: Ends => {
            match kind {
                0..4 => {
                    let old = accounts.find(&account)?.unwrap_or(0);
                    let amount = amount.min(old);
                    accounts.replace(&account, &(old - amount))?;
                    stacks.add(&key, &amount)?;
                }
                4..7 => {
                    let amount = stacks.pop(&key)?.unwrap_or(0);
                    accounts.update(&account, |old| Some(old.unwrap_or(0) + amount))?;
                }
                _ => {
                    let amount: u64 = stacks.find_all(&key)?.iter().sum();
                    stacks.remove_all(&key)?;
                    accounts.fetch_add(&account, amount)?;
                }
            }
            self.count()?;
        })
    }

    /// Changes to texts that leave their number as it is.
    fn plain_texts(&mut self) -> Outcome {
        let (key, version, kind) = (self.below(KEYS), self.random.number() >> 32, self.below(6));
        let (name, new) = (key.to_string(), text(key, version));
        let texts = &self.world.texts;
        match kind {
            0 => {
                texts.update(&name, |old| {
                    old.map(|old| {
                        assert_text(&old);
                        new
                    })
                })?;
            }
            1 => {
                if let Some(old) = texts.find(&name)? {
                    assert_text(&old);
                    texts
                        .compare_exchange(&name, &old, &new)?
                        .unwrap_or_else(|found| found.iter().for_each(assert_text));
                }
            }
            2 => {
                texts.find(&name)?.iter().for_each(assert_text);
            }
            3 => texts.find_all(&name)?.iter().for_each(assert_text),
            4 => {
                texts.contains(&name)?;
            }
            _ => {
                texts.update(&name, |old| old.is_some().then_some(new))?;
            }
        }
        Ok(())
    }

    fn counted_texts(&mut self) -> Outcome {
        let (key, version, kind) = (self.below(KEYS), self.random.number() >> 32, self.below(5));
        let (name, new) = (key.to_string(), text(key, version));
        let World { texts, counts, .. } = &self.world;
        group!(retry texts: Ends => {
            let (more, less) = match kind {
                0 | 1 => { texts.add(&name, &new)?; (1, 0) }
                2 => (0, u64::from(texts.remove(&name)?)),
                3 => (0, if key % 5 == 0 { texts.remove_all(&name)? as u64 } else { 0 }),
                _ => (u64::from(texts.swap(&name, &new)?.is_none()), 0),
            };
            counts.update(0, |old| old + more - less)?;
            self.count()?;
        })
    }

    fn counted_rows(&mut self) -> Outcome {
        let (key, version, kind) = (self.below(KEYS), self.random.number() >> 32, self.below(4));
        let (name, new) = (row_key(key), row(key, version));
        let World { rows, counts, .. } = &self.world;
        group!(retry counts: Ends => {
            let (more, less) = match kind {
                0 => (u64::from(rows.add_if_absent(&name, &new)?), 0),
                1 => { rows.add(&name, &new)?; (1, 0) }
                2 => (0, u64::from(rows.pop(&name)?.inspect(|old| assert_row(old)).is_some())),
                _ => {
                    let is_there = rows.contains(&name)?;
                    rows.replace(&name, &new)?;
                    (u64::from(!is_there), 0)
                }
            };
            counts.fetch_add(1, more)?;
            counts.fetch_sub(1, less)?;
            self.count()?;
        })
    }

    /// Small changes, outside groups.
    fn plain_rest(&mut self) -> Outcome {
        let (index, number) = (self.below(30) as usize, self.random.number() >> 40);
        let (account, kind) = (self.below(ACCOUNTS), self.below(6));
        let World { accounts, words, cells, rows, .. } = &self.world;
        match kind {
            0 => words.set(index, &word(number))?,
            1 => drop(words.update(index, |old| {
                assert_word(&old);
                word(number)
            })?),
            2 => words.swap(index, 29 - index)?,
            3 => drop(accounts.update(&account, |old| old)?),
            4 => drop(cells.fetch_add(index, 0)?),
            _ => rows.find(&row_key(number % KEYS))?.iter().for_each(|row| assert_row(row)),
        }
        Ok(())
    }

    /// A group, parts of which come to nothing.
    fn half_undone(&mut self) -> Outcome {
        let (account, key, version) = (self.below(ACCOUNTS), self.below(KEYS), self.random.number() >> 32);
        let (kind, by_panic) = (self.below(6), self.random.once_in(4));
        let World { accounts, stacks, texts, rows, cells, words, counts, .. } = &self.world;
        group!(retry accounts: Ends => {
            let before = accounts.find(&account)?.unwrap_or(0);
            let inner = || group!(texts: Ends => {
                match kind {
                    0 => { texts.clear()?; rows.clear()?; }
                    1 => { accounts.clear()?; accounts.add(&account, &1)?; }
                    2 => {
                        for key in 0..40 { texts.remove_all(&key.to_string())?; }
                        texts.add_many((0..9).map(|key| (key.to_string(), text(key, version))))?;
                    }
                    3 => { cells.fill(.., &7)?; words.resize(400)?; words.set(399, "9:wwwwwwwww")?; }
                    4 => { for round in 0..30 { stacks.add(&(key + round % 3), &round)?; } stacks.remove_all(&key)?; }
                    _ => { rows.replace(&row_key(key), &row(key, version))?; counts.set(0, &99_999)?; }
                }
                accounts.replace(&account, &1_000_000)?;
                if by_panic {
                    resume_unwind(Box::new("on purpose"));
                }
                return Err(Ends::OnPurpose);
            });
            match catch_unwind(AssertUnwindSafe(inner)) {
                Ok(Ok(())) => unreachable!("it ends in an error"),
                Ok(Err(Ends::OnPurpose)) => assert!(!by_panic),
                Ok(Err(error)) => return Err(error),
                Err(panic) => {
                    if panic.downcast_ref() != Some(&"on purpose") {
                        resume_unwind(panic);
                    }
                }
            }
            let after = accounts.find(&account)?.unwrap_or(0);
            assert_eq!(before, after, "an inner group is not undone");
            accounts.replace(&account, &before)?;
            self.count()?;
        })
    }

    /// A group that a panic undoes as a whole.
    fn panics(&mut self) -> Outcome {
        let (account, version) = (self.below(ACCOUNTS), self.random.number() >> 32);
        let World { accounts, texts, cells, .. } = &self.world;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            group!(retry accounts: Ends => {
                accounts.fetch_add(&account, 5)?;
                texts.replace("1", &text(1, version))?;
                texts.add("2", &text(2, version))?;
                cells.set(0, &0)?;
                resume_unwind(Box::new("on purpose"));
            })
        }));
        match outcome {
            Err(panic) if panic.downcast_ref() == Some(&"on purpose") => Ok(()),
            Err(panic) => resume_unwind(panic),
            Ok(outcome) => outcome,
        }
    }

    fn clears(&mut self) -> Outcome {
        let which = self.below(3);
        let World { texts, rows, counts, stacks, accounts, .. } = &self.world;
        group!(retry counts: Ends => {
            match which {
                0 => { texts.clear()?; counts.set(0, &0)?; }
                1 => { rows.clear()?; counts.set(1, &0)?; }
                _ => {
                    let all = stacks.fold(0, |sum, _, value| sum + value)?;
                    stacks.clear()?;
                    accounts.fetch_add(&0, all)?;
                }
            }
            self.count()?;
        })
    }

    fn bulk(&mut self) -> Outcome {
        let (first, version, which) = (self.below(KEYS - 10), self.random.number() >> 32, self.below(4));
        let World { texts, rows, counts, words, .. } = &self.world;
        match which {
            0 => group!(retry texts: Ends => {
                texts.add_many((first..first + 10).map(|key| (key.to_string(), text(key, version))))?;
                counts.fetch_add(0, 10)?;
                self.count()?;
            }),
            1 => group!(retry rows: Ends => {
                rows.add_many((first..first + 10).map(|key| (row_key(key), row(key, version))))?;
                counts.fetch_add(1, 10)?;
                self.count()?;
            }),
            2 => Ok(words.fill(10..30, &word(version))?),
            _ => Ok(words.set_range(5..9, &[0, 1, 2, 3].map(|number| word(version + number)))?),
        }
    }

    fn shuffles_cells(&mut self) -> Outcome {
        let (start, length) = (self.below(CELLS - 200) as usize, self.below(200) as usize);
        let cells = &self.world.cells;
        group!(retry cells: Ends => {
            let mut money = vec![0; length];
            cells.read_range(start..start + length, &mut money)?;
            money.reverse();
            cells.set_range(start..start + length, &money)?;
            self.count()?;
        })
    }

    fn resizes(&mut self) -> Outcome {
        let length = 50 + self.below(800) as usize;
        Ok(self.world.words.resize(length)?)
    }

    /// Looks, without changing anything.
    fn looks(&mut self) -> Outcome {
        match self.below(8) {
            0 => self.world.assert_sound()?,
            1 => self.world.texts.for_each(|_, value| assert_text(&value))?,
            2 => self.world.rows.for_each(|_, value| assert_row(&value))?,
            3 => self.world.words.for_each(|_, value| assert_word(&value))?,
            4 => {
                for item in self.world.texts.scan() {
                    assert_text(&item?.1);
                }
            }
            5 => drop((self.world.texts.len()?, self.world.rows.len()?, self.world.accounts.len()?)),
            6 => self.world.texts.find_many(["1", "2", "77"])?.iter().flatten().for_each(assert_text),
            _ => self.world.assert_clean("beside others"),
        }
        Ok(())
    }

    /// A group that only operations through its argument join.
    fn apart(&mut self) -> Outcome {
        let (from, to, amount) = (self.below(ACCOUNTS), self.below(CELLS) as usize, self.below(9));
        let World { accounts, cells, lanes, .. } = &self.world;
        group!(retry only accounts: Ends => {
            let cells = accounts.with(cells)?;
            let lanes = accounts.with(lanes)?;
            let mut moved = 0;
            accounts.update(&from, |old| { moved = old.unwrap_or(0).min(amount); old.map(|old| old - moved) })?;
            cells.update(to, |old| old + moved)?;
            lanes.set(self.number as usize, &self.step)?;
        })
    }

    /// Gives memory back, makes a copy.
    fn keeps(&mut self) -> Outcome {
        if self.random.once_in(2) {
            return match self.world.accounts.shm().trim() {
                Ok(_) | Err(Error::InUse { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        if !self.random.once_in(4) {
            return Ok(());
        }
        // Removed in the end, whoever is killed.
        let copy = ShmName::file(self.directory.join(format!("copy-{}-{}", self.number, self.step)))?;
        self.world.accounts.shm().copy_to(&copy)?;
        let copied = World::open(&Shm::open(&copy)?, self.form)?;
        copied.assert_sound()?;
        copied.assert_clean("a copy");
        copy.unlink()?;
        Ok(())
    }

    /// One long group over everything.
    fn many(&mut self) -> Outcome {
        let version = self.random.number() >> 32;
        let World { accounts, texts, rows, counts, cells, .. } = &self.world;
        group!(retry accounts: Ends => {
            for key in 0..KEYS {
                let is_new = texts.swap(&key.to_string(), &text(key, version))?.is_none();
                counts.fetch_add(0, u64::from(is_new))?;
                let gone = rows.remove_all(&row_key(key))? as u64;
                counts.fetch_sub(1, gone)?;
                let moved = accounts.pop(&key)?;
                cells.fetch_add(key as usize, moved.unwrap_or(0))?;
                accounts.add(&key, &0)?;
            }
            self.count()?;
        })
    }
}

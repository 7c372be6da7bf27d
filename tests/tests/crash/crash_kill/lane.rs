//! What a lane does: an endless sequence of steps on keys of its own, the same in every run of a seed, so that the
//! supervisor knows what has to be there after any number of them.

use netshm_tests::Random;

/// Keys of a lane.
pub(crate) const KEYS: u32 = 48;

/// Accounts that all lanes share.
pub(crate) const ACCOUNTS: u32 = 8;

/// The sum of all accounts, always.
pub(crate) const TOTAL: i64 = 1_000_000;

/// Bindings of one key, at most.
const DEPTH: usize = 4;

/// A change of a lane's own keys; values are named by a number, which determines their bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Add(u32, u64),
    Replace(u32, u64),
    AddIfAbsent(u32, u64),
    Update(u32, Option<u64>),
    Remove(u32),
    Pop(u32),
    RemoveAll(u32),
    Swap(u32, u32),
}

/// An amount on its way from one account to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) amount: i64,
    /// Tells how long the accounts' values become.
    pub(crate) padding: u64,
}

/// A step of a lane; it is acknowledged as a whole.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A single verb.
    One(Verb),
    /// A group: some verbs, and a transfer in their midst.
    Group(Vec<Verb>, Transfer),
    /// A group that ends in an error, and so changes nothing.
    Undone(Vec<Verb>, Transfer),
    /// The total is looked at within a group.
    Total,
    /// The object as a whole is taken apart and put together again.
    Whole(u64),
}

/// Bindings of a lane's keys after a number of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) number: u32,
    /// Steps made.
    pub(crate) steps: u64,
    /// Of each key the bindings, the newest last; in an array one element at most.
    pub(crate) stacks: Vec<Vec<u64>>,
    seed: u64,
    /// True if a key can have more than one binding.
    deep: bool,
}

impl Lane {
    pub(crate) fn new(number: u32, seed: u64, deep: bool) -> Lane {
        Lane { number, steps: 0, stacks: vec![Vec::new(); KEYS as usize], seed, deep }
    }

    /// Returns the next step.
    pub(crate) fn plan(&self) -> Step {
        let lane = self.seed.wrapping_add(u64::from(self.number) << 48);
        let mut random = Random::new(lane.wrapping_add(self.steps.wrapping_mul(0xD6E8_FEB8_6659_FD93)));
        let times = if random.once_in(12) { 30 } else { 1 + random.below(5) };
        match random.below(100) {
            0..65 => Step::One(self.verb(&mut random)),
            65..87 => Step::Group((0..times).map(|_| self.verb(&mut random)).collect(), transfer(&mut random)),
            87..94 => Step::Undone((0..times).map(|_| self.verb(&mut random)).collect(), transfer(&mut random)),
            94..99 => Step::Total,
            _ => Step::Whole(random.number()),
        }
    }

    /// Returns a verb that is unlikely to let a stack grow beyond the limit. (In a group it may: the plan is made before.)
    fn verb(&self, random: &mut Random) -> Verb {
        let key = random.below(u64::from(KEYS)) as u32;
        let value = if self.deep && random.once_in(12) { 0 } else { random.number() >> 2 | 1 };
        if self.stacks[key as usize].len() >= DEPTH {
            return if random.once_in(2) { Verb::RemoveAll(key) } else { Verb::Pop(key) };
        }
        match random.below(16) {
            0..4 => Verb::Add(key, value),
            4..8 => Verb::Replace(key, value),
            8 => Verb::AddIfAbsent(key, value),
            9 => Verb::Update(key, Some(value)),
            10 => Verb::Update(key, None),
            11 | 12 => Verb::Remove(key),
            13 => Verb::Pop(key),
            14 => Verb::RemoveAll(key),
            _ => Verb::Swap(key, random.below(u64::from(KEYS)) as u32),
        }
    }

    /// Makes the next step in the model.
    pub(crate) fn advance(&mut self) {
        match self.plan() {
            Step::One(verb) => self.apply(verb),
            Step::Group(verbs, _) => verbs.into_iter().for_each(|verb| self.apply(verb)),
            Step::Undone(..) | Step::Total | Step::Whole(_) => (),
        }
        self.steps += 1;
    }

    /// Makes a verb in the model.
    pub(crate) fn apply(&mut self, verb: Verb) {
        let deep = self.deep;
        let stacks = &mut self.stacks;
        match verb {
            Verb::Add(key, value) if deep => stacks[key as usize].push(value),
            Verb::Add(key, value) | Verb::Replace(key, value) | Verb::Update(key, Some(value)) => {
                stacks[key as usize].pop();
                stacks[key as usize].push(value);
            }
            Verb::AddIfAbsent(key, value) => {
                if stacks[key as usize].is_empty() {
                    stacks[key as usize].push(value);
                }
            }
            Verb::Update(key, None) | Verb::Remove(key) | Verb::Pop(key) => drop(stacks[key as usize].pop()),
            Verb::RemoveAll(key) => stacks[key as usize].clear(),
            Verb::Swap(one, other) => stacks.swap(one as usize, other as usize),
        }
    }
}

fn transfer(random: &mut Random) -> Transfer {
    let from = random.below(u64::from(ACCOUNTS)) as u32;
    let to = (from + 1 + random.below(u64::from(ACCOUNTS) - 1) as u32) % ACCOUNTS;
    Transfer { from, to, amount: random.below(1000) as i64, padding: random.number() }
}

/// Returns the number of bytes the value of that number has: none, few, or several pages.
pub(crate) fn length(number: u64) -> usize {
    if number == 0 {
        return 0;
    }
    let length = number >> 8 & 0xFFFF;
    8 + match number >> 40 & 15 {
        0..8 => length % 40,
        8..13 => length % 600,
        13 | 14 => length % 3000,
        _ => length % 30_000,
    } as usize
}

/// Returns the bytes of the value of that number.
pub(crate) fn bytes(number: u64) -> Vec<u8> {
    number.to_ne_bytes().into_iter().cycle().zip(0..length(number)).map(|(byte, at)| byte ^ (at / 8) as u8).collect()
}

/// Returns the number of a value whose bytes must be those of [`bytes`].
pub(crate) fn number(found: &[u8]) -> u64 {
    let Some(start) = found.first_chunk() else { return 0 };
    let number = u64::from_ne_bytes(*start);
    assert!(found == bytes(number), "a value of {} bytes is torn", found.len());
    number
}

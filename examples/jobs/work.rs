//! The work: which number has the longest way to 1 by Collatz's rule (halve what is even, triple what is odd and add 1)?

use netshm::ShmData;

/// Numbers to look at.
#[derive(ShmData, Debug, Clone, Copy, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) from: u64,
    pub(crate) count: u64,
}

/// A number, and how many steps it takes from there. The one with more steps is greater.
#[derive(ShmData, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    pub(crate) steps: u32,
    pub(crate) number: u64,
}

impl Numbers {
    pub(crate) fn longest(self) -> Start {
        let numbers = self.from..self.from.saturating_add(self.count);
        let starts = numbers.map(|number| Start { steps: steps(number), number });
        starts.max().unwrap_or(Start { steps: 0, number: self.from })
    }
}

fn steps(mut number: u64) -> u32 {
    let mut steps = 0;
    while number > 1 {
        number = if number.is_multiple_of(2) { number / 2 } else { number.saturating_mul(3).saturating_add(1) };
        steps += 1;
    }
    steps
}

//! Detects cycles in chains of pointers, whatever the counts in the object say.

/// Detects circles in a chain: a step of it, moved on each time as many more have been made as before (R. P. Brent, "An
/// improved Monte Carlo factorization algorithm", 1980). A circle comes back to it before three times its length has been gone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ring {
    steps: u64,
    remembered: u64,
}

impl Ring {
    /// Returns whether going on to `next`, which is not 0, closes a cycle.
    #[inline]
    pub(crate) fn closes(&mut self, next: u64) -> bool {
        if next == self.remembered {
            return true;
        }
        self.steps += 1;
        if self.steps.is_power_of_two() {
            self.remembered = next;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    #[test]
    fn circles_are_noticed_and_lines_are_not() {
        let mut line = Ring::default();
        assert!(!(1..10_000).any(|next| line.closes(next)));
        for (before, around) in [(0, 1), (0, 7), (5, 1), (100, 3), (3, 100), (64, 64)] {
            let mut ring = Ring::default();
            let chain = (1..=before).chain((0..around).cycle().map(|at| 1000 + at));
            let steps = chain.take_while(|next| !ring.closes(*next)).count();
            assert!(steps <= 3 * (before + around) as usize + 2, "{before}, {around}: {steps}");
        }
    }
}

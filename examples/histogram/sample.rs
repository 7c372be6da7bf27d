//! The computation: random points, drawn in batches that are the same whichever process draws them.

use fastrand::Rng;
use netshm::ShmData;

/// Points in a batch.
pub(crate) const BATCH: u64 = 20_000;

/// The bins of the histogram, and the range of values that they divide evenly. What lies outside is in the outermost.
pub(crate) const BINS: usize = 25;
const RANGE: f64 = 4.0;

/// The number of points drawn, and of those in the unit circle.
#[derive(ShmData, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) points: u64,
    pub(crate) inside: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.points += other.points;
        self.inside += other.inside;
    }

    /// Estimates pi: the circle covers pi/4 of the square in which the points lie.
    pub(crate) fn pi(&self) -> f64 {
        4.0 * self.inside as f64 / self.points as f64
    }
}

/// Returns the bounds of a bin.
pub(crate) fn bounds(bin: usize) -> (f64, f64) {
    let width = 2.0 * RANGE / BINS as f64;
    let low = -RANGE + bin as f64 * width;
    (low, low + width)
}

/// Draws the points of a batch from the square around the unit circle. Marsaglia's polar method makes two normally
/// distributed numbers of each point in the circle; they are counted in `bins`.
pub(crate) fn draw(batch: u64, bins: &mut [u64; BINS]) -> Tally {
    let mut random = Rng::with_seed(batch);
    let mut tally = Tally { points: BATCH, inside: 0 };
    for _ in 0..BATCH {
        let (x, y) = (2.0 * random.f64() - 1.0, 2.0 * random.f64() - 1.0);
        let square = x * x + y * y;
        if square < 1.0 {
            tally.inside += 1;
            // The very middle of the circle, nearly impossible to hit, would give no number.
            let factor = (-2.0 * square.ln() / square).sqrt();
            bins[bin(x * factor)] += 1;
            bins[bin(y * factor)] += 1;
        }
    }
    tally
}

/// Returns the bin of a value. (The conversion to an integer saturates, and turns NaN into 0.)
fn bin(value: f64) -> usize {
    let bin = ((value + RANGE) / (2.0 * RANGE) * BINS as f64) as usize;
    bin.min(BINS - 1)
}

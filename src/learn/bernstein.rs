//! Anytime-valid bounds of a mean from three sums: the empirical Bernstein confidence sequence of Howard, Ramdas, McAuliffe
//! and Sekhon ("Time-uniform, nonparametric, nonasymptotic confidence sequences", 2021, theorem 4).
//!
//! For y_i in [-1/2, 1/2] with conditional means at most m, and any predictions p_i made beforehand (here the mean of the
//! earlier ones), the mixture over rates l of exp(l sum (y_i - m) - psi(l) sum (y_i - p_i)^2), psi(l) = -ln(1 - l) - l, is
//! a capital as in [`sequence`](super::sequence): it ever reaches 1 / alpha with probability at most alpha. It needs longer than
//! betting, but the sums are all that it has to remember, so there can be many of them: one for every slice of every
//! threshold. Returns are cut at [`REACH`] scales on both sides: what is bounded is the mean of the returns so cut.

/// Returns beyond this many scales count as this many.
pub const REACH: f64 = 4.0;

/// The rates of the mixture, equally weighted.
const RATES: [f64; 5] = [0.05, 0.1, 0.2, 0.4, 0.7];

/// Halvings of the interval in which a bound is sought: to 2^-40 of the reach.
const HALVINGS: u32 = 40;

/// The sums of one sequence.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EmpiricalBernstein {
    n: f64,
    wins: f64,
    /// Of y.
    sum: f64,
    /// Of (y - p)^2.
    variation: f64,
}

impl EmpiricalBernstein {
    /// One outcome more, of a window that overlaps with none of the others.
    pub fn add(&mut self, x: f64, scale: f64) {
        let y = (x / scale).clamp(-REACH, REACH) / (2.0 * REACH);
        let predicted = if self.n == 0.0 { 0.0 } else { self.sum / self.n };
        self.variation += (y - predicted) * (y - predicted);
        self.n += 1.0;
        self.wins += f64::from(u8::from(x > 0.0));
        self.sum += y;
    }

    /// Outcomes that count.
    pub fn n(&self) -> f64 {
        self.n
    }

    /// The share of them above 0; NaN of none.
    pub fn win_rate(&self) -> f64 {
        self.wins / self.n
    }

    /// The capital against "the mean is at most `mean`" (`side` 1) or "at least" (-1), in units of y.
    fn capital(&self, mean: f64, side: f64) -> f64 {
        let sum = side * (self.sum - self.n * mean);
        let of = |rate: f64| libm::exp(rate * sum + (libm::log1p(-rate) + rate) * self.variation);
        RATES.into_iter().map(of).sum::<f64>() / RATES.len() as f64
    }

    /// Whether the lower bound at `alpha` is above 0.
    pub fn is_above_zero(&self, alpha: f64) -> bool {
        self.capital(0.0, 1.0) >= 1.0 / alpha
    }

    /// Whether the upper bound at `alpha` is below 0.
    pub fn is_below_zero(&self, alpha: f64) -> bool {
        self.capital(0.0, -1.0) >= 1.0 / alpha
    }

    /// Whether the mean, less one standard error, is above 0: an estimate, not a bound.
    pub fn seems_above_zero(&self) -> bool {
        self.sum > self.variation.sqrt()
    }

    /// Both bounds, each at `alpha`, in units of the returns; at most [`REACH`] scales away from 0.
    pub fn bounds(&self, alpha: f64, scale: f64) -> (f64, f64) {
        let end = |side: f64| {
            // In the direction of the side: all below `ruled_out` is ruled out.
            let (mut ruled_out, mut open) = (-0.5, 0.5);
            for _ in 0..HALVINGS {
                let middle = (ruled_out + open) / 2.0;
                if self.capital(side * middle, side) >= 1.0 / alpha {
                    ruled_out = middle
                } else {
                    open = middle
                }
            }
            side * ruled_out * 2.0 * REACH * scale
        };
        (end(1.0), end(-1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(outcomes: impl IntoIterator<Item = f64>) -> EmpiricalBernstein {
        let mut sequence = EmpiricalBernstein::default();
        outcomes.into_iter().for_each(|x| sequence.add(x, 0.01));
        sequence
    }

    /// Two outcomes by hand: y = 0.125, then 0.25; p = 0, then 0.125; the sums are 0.375 and 1/32.
    #[test]
    fn sums_and_capital_are_those_computed_by_hand() {
        let two = fed([0.01, 0.02]);
        assert_eq!((two.n, two.wins, two.sum, two.variation), (2.0, 2.0, 0.375, 0.03125));
        let by_hand = [0.05_f64, 0.1, 0.2, 0.4, 0.7]
            .map(|rate| (rate * 0.375 - (-(1.0 - rate).ln() - rate) * 0.03125).exp())
            .iter()
            .sum::<f64>()
            / 5.0;
        assert!((two.capital(0.0, 1.0) - by_hand).abs() < 1e-14);
    }

    #[test]
    fn bounds_nest_enclose_the_mean_and_agree_with_the_tests() {
        for edge in [4, 5, 6] {
            let sequence = fed((0..3000).map(|k| if k * 7 % 10 < edge { 0.01 } else { -0.01 }));
            let mean = (f64::from(edge) * 2.0 - 10.0) * 0.001;
            let mut wider = (f64::INFINITY, f64::NEG_INFINITY);
            for alpha in [0.5, 0.1, 0.01, 1e-4] {
                let (lower, upper) = sequence.bounds(alpha, 0.01);
                assert!(lower < mean && mean < upper, "{lower} {mean} {upper}");
                assert!(lower <= wider.0 && upper >= wider.1);
                assert_eq!(sequence.is_above_zero(alpha), lower > 0.0);
                assert_eq!(sequence.is_below_zero(alpha), upper < 0.0);
                wider = (lower, upper);
            }
        }
    }

    /// All paths of a fair coin: the expected capital is at most 1.
    #[test]
    fn nobody_expects_to_win_against_a_fair_game() {
        let steps = 12;
        let total: f64 = (0..1_u32 << steps)
            .map(|path| {
                fed((0..steps).map(|k| if path >> k & 1 == 1 { 0.04 } else { -0.04 })).capital(0.0, 1.0)
            })
            .sum();
        let mean = total / f64::from(1_u32 << steps);
        assert!(mean <= 1.0 && mean > 0.5, "{mean}");
    }

    #[test]
    fn nothing_is_known_of_nothing() {
        assert_eq!(EmpiricalBernstein::default().bounds(0.05, 0.01), (-0.04, 0.04));
    }
}

//! How a family has done: the usual figures of its net returns, each with one definition.
//!
//! The returns r_1 .. r_n are the net returns of all outcomes in order, taken or skipped, each as if the whole equity had
//! been put into it, one after the other. "Sample deviation" divides by n - 1. A year has `periods_per_year` outcomes; that
//! is the caller's to know, and without it nothing is annualised (it is 1 in the formulas below).
//!
//! | field | definition |
//! | --- | --- |
//! | `win_rate` | share of r > 0; `win_rate_interval`: Wilson, 95 % |
//! | `mean_return` | arithmetic mean |
//! | `sharpe` | mean / sample deviation x sqrt(periods), no riskless rate |
//! | `sortino` | mean / sqrt(mean of min(r, 0)^2, over all n) x sqrt(periods) |
//! | `max_drawdown` | largest fall of the compounded equity (1 + r_1) (1 + r_2) ... from its highest so far, which is at least the 1 it starts with, as a share of that; 0 to 1 |
//! | `calmar` | annualised growth of the equity, equity^(periods / n) - 1 (without periods: equity - 1), / `max_drawdown` |
//! | `profit_factor` | sum of gains / sum of losses, losses positive |
//! | `value_at_risk` | minus the 5 % quantile of r, linear between order statistics (type 7, NumPy's default): a loss is positive |
//! | `expected_shortfall` | minus the mean of the returns at or below that quantile |
//! | `best`, `worst` | largest and smallest r |
//!
//! A loss of everything or more ends the equity at 0. What is undefined is NaN (no outcome; deviations of fewer than two);
//! a ratio with denominator 0 is infinite with the sign of the numerator, and NaN for 0 / 0. Shares and means are over
//! outcomes that may overlap; the interval of the win rate takes them as independent and is for display.

use super::stats::wilson;

/// The level of `value_at_risk` and `expected_shortfall`.
pub const TAIL: f64 = 0.05;

/// Two-sided 95 % of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// The figures of one family. Returns are fractions, after costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trajectory {
    /// Outcomes that count.
    pub samples: u64,
    /// Experiences whose horizon and grace are over without one.
    pub expired: u64,
    /// 0 to 1.
    pub win_rate: f64,
    /// Lower and upper end.
    pub win_rate_interval: (f64, f64),
    /// A fraction.
    pub mean_return: f64,
    /// A ratio.
    pub sharpe: f64,
    /// A ratio.
    pub sortino: f64,
    /// 0 to 1.
    pub max_drawdown: f64,
    /// A ratio.
    pub calmar: f64,
    /// A ratio.
    pub profit_factor: f64,
    /// A fraction; a loss is positive.
    pub value_at_risk: f64,
    /// A fraction; a loss is positive.
    pub expected_shortfall: f64,
    /// A fraction.
    pub best: f64,
    /// A fraction.
    pub worst: f64,
    /// The prediction intervals: the share of outcomes that they covered, and the share that they are to cover.
    pub calibration: Calibration,
}

/// Of prediction intervals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Realised, 0 to 1; NaN before the first.
    pub coverage: f64,
    /// 0 to 1.
    pub target: f64,
}

impl Trajectory {
    /// The figures of finite `returns` in the order of their instants.
    pub fn new(
        returns: &[f64],
        expired: u64,
        periods_per_year: Option<f64>,
        calibration: Calibration,
    ) -> Self {
        let n = returns.len() as f64;
        let mean = returns.iter().sum::<f64>() / n;
        let deviation = (returns.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / (n - 1.0)).sqrt();
        let downside = (returns.iter().map(|r| r.min(0.0) * r.min(0.0)).sum::<f64>() / n).sqrt();
        let annual = periods_per_year.unwrap_or(1.0).sqrt();
        let (equity, max_drawdown) = equity(returns);
        let growth = if returns.is_empty() {
            f64::NAN
        } else {
            libm::pow(equity, periods_per_year.map_or(1.0, |periods| periods / n)) - 1.0
        };
        let wins = returns.iter().filter(|&&r| r > 0.0).count() as f64;
        let gains: f64 = returns.iter().map(|r| r.max(0.0)).sum();
        let losses: f64 = returns.iter().map(|r| (-r).max(0.0)).sum();
        let mut sorted = returns.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let quantile = quantile(&sorted, TAIL);
        let tail: Vec<f64> = sorted.iter().copied().filter(|&r| r <= quantile).collect();
        Self {
            samples: returns.len() as u64,
            expired,
            win_rate: wins / n,
            win_rate_interval: wilson(wins, n, Z95),
            mean_return: mean,
            sharpe: if returns.len() < 2 { f64::NAN } else { mean / deviation * annual },
            sortino: mean / downside * annual,
            max_drawdown,
            calmar: growth / max_drawdown,
            profit_factor: gains / losses,
            value_at_risk: -quantile,
            expected_shortfall: -tail.iter().sum::<f64>() / tail.len() as f64,
            best: sorted.last().copied().unwrap_or(f64::NAN),
            worst: sorted.first().copied().unwrap_or(f64::NAN),
            calibration,
        }
    }
}

/// Where the compounded equity ends that starts with 1, and its largest fall.
fn equity(returns: &[f64]) -> (f64, f64) {
    let (mut equity, mut highest, mut fall) = (1.0_f64, 1.0_f64, 0.0_f64);
    for r in returns {
        equity = (equity * (1.0 + r)).clamp(0.0, f64::MAX);
        highest = highest.max(equity);
        fall = fall.max(1.0 - equity / highest);
    }
    (equity, if returns.is_empty() { f64::NAN } else { fall })
}

/// The quantile `p` of sorted values, linear between order statistics; NaN of none.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = p * last as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(last);
    sorted[low] + (place - low as f64) * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Calibration = Calibration { coverage: f64::NAN, target: 0.9 };

    fn check(found: &[(&str, f64, f64)]) {
        for &(name, found, expected) in found {
            let same = found == expected || (found - expected).abs() <= 1e-12 * expected.abs();
            assert!(same || found.is_nan() && expected.is_nan(), "{name}: {found} is not {expected}");
        }
    }

    /// Four returns by hand: equity 1.1, 0.88, 0.968, 1.0648; the fall from 1.1 to 0.88 is a fifth.
    #[test]
    fn figures_are_those_computed_by_hand() {
        let found = Trajectory::new(&[0.1, -0.2, 0.1, 0.1], 3, Some(16.0), NOTHING);
        // Mean 0.025; squares of differences 3 x 0.005625 + 0.050625 = 0.0675, by 3: 0.0225.
        check(&[
            ("win rate", found.win_rate, 0.75),
            ("mean", found.mean_return, 0.025),
            ("sharpe", found.sharpe, 0.025 / 0.15 * 4.0),
            // Downside: sqrt(0.04 / 4) = 0.1.
            ("sortino", found.sortino, 0.025 / 0.1 * 4.0),
            ("drawdown", found.max_drawdown, 0.2),
            // Four years' worth in four outcomes of sixteen a year: to the fourth power.
            ("calmar", found.calmar, (1.0648_f64.powi(4) - 1.0) / 0.2),
            ("profit factor", found.profit_factor, 0.3 / 0.2),
            // Place 0.05 x 3 = 0.15 between -0.2 and 0.1.
            ("value at risk", found.value_at_risk, 0.155),
            ("expected shortfall", found.expected_shortfall, 0.2),
            ("best", found.best, 0.1),
            ("worst", found.worst, -0.2),
        ]);
        assert_eq!((found.samples, found.expired), (4, 3));
    }

    /// NumPy 2.4 and SciPy 1.17 of r = \[((37 k + 11) % 101 - 48) / 1000 for k in range(60)\], 252 a year:
    /// `r.mean()`, `r.mean() / r.std(ddof=1) * sqrt(252)`,
    /// `r.mean() / sqrt((minimum(r, 0) ** 2).mean()) * sqrt(252)`, with e = `cumprod(1 + r)` and h =
    /// `maximum.accumulate(concatenate([[1], e]))[1:]` the fall d = `(1 - e / h).max()` and `(e[-1] ** (252 / 60) - 1) / d`,
    /// `r[r > 0].sum() / -r[r < 0].sum()`, q = `quantile(r, 0.05)`, `-q`, `-r[r <= q].mean()`, and
    /// `stats.binomtest(31, 60).proportion_ci(method='wilson')`.
    #[test]
    fn figures_are_those_of_numpy() {
        let returns: Vec<f64> = (0..60).map(|k| f64::from((37 * k + 11) % 101 - 48) / 1000.0).collect();
        let found = Trajectory::new(&returns, 0, Some(252.0), NOTHING);
        check(&[
            ("win rate", found.win_rate, 0.516_666_666_666_666_7),
            ("lower end", found.win_rate_interval.0, 0.393_078_100_325_924_94),
            ("upper end", found.win_rate_interval.1, 0.638_249_504_602_671_8),
            ("mean", found.mean_return, 0.002_416_666_666_666_665),
            ("sharpe", found.sharpe, 1.305_628_425_641_992_8),
            ("sortino", found.sortino, 2.004_283_012_894_725_8),
            ("drawdown", found.max_drawdown, 0.076_583_648_138_171_64),
            ("calmar", found.calmar, 8.508_019_069_792_791),
            ("profit factor", found.profit_factor, 1.211_370_262_390_670_8),
            ("value at risk", found.value_at_risk, 0.0421),
            ("expected shortfall", found.expected_shortfall, 0.045_666_666_666_666_67),
            ("best", found.best, 0.052),
            ("worst", found.worst, -0.048),
        ]);
    }

    #[test]
    fn nothing_is_annualised_unless_told() {
        let returns = [0.03, -0.01, 0.02, -0.02, 0.01];
        let plain = Trajectory::new(&returns, 0, None, NOTHING);
        let daily = Trajectory::new(&returns, 0, Some(252.0), NOTHING);
        check(&[
            ("sharpe", daily.sharpe, plain.sharpe * 252.0_f64.sqrt()),
            ("sortino", daily.sortino, plain.sortino * 252.0_f64.sqrt()),
            ("calmar", plain.calmar, (1.03 * 0.99 * 1.02 * 0.98 * 1.01 - 1.0) / (1.0 - 0.98)),
        ]);
    }

    #[test]
    fn what_is_undefined_is_nan_and_ruin_is_the_end() {
        let none = Trajectory::new(&[], 1, None, NOTHING);
        for figure in [none.win_rate, none.mean_return, none.sharpe, none.sortino, none.max_drawdown] {
            assert!(figure.is_nan());
        }
        for figure in
            [none.calmar, none.profit_factor, none.value_at_risk, none.expected_shortfall, none.best]
        {
            assert!(figure.is_nan());
        }
        assert_eq!(none.win_rate_interval, (0.0, 1.0));
        let one = Trajectory::new(&[0.02], 0, None, NOTHING);
        assert!(one.sharpe.is_nan());
        check(&[
            ("sortino", one.sortino, f64::INFINITY),
            ("profit factor", one.profit_factor, f64::INFINITY),
            ("value at risk", one.value_at_risk, -0.02),
        ]);
        let ruin = Trajectory::new(&[0.5, -1.5, 3.0], 0, None, NOTHING);
        check(&[("drawdown", ruin.max_drawdown, 1.0), ("calmar", ruin.calmar, -1.0)]);
    }
}

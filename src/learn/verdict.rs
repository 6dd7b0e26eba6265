//! One prediction against one outcome.
//!
//! With prediction p and outcome a, both returns over the horizon as fractions:
//!
//! - `magnitude_error` = min(1, |p - a| / max(|a|, 0.001));
//! - the direction is right when p and a have the same sign and neither is zero;
//! - `quality` = 0.5 + 0.5 (1 - magnitude_error) when it is right, 0.25 (1 - min(1, |p - a| / (2 s))) when it is wrong,
//!   with s the volatility of the horizon where it is known, else max(|p|, |a|, 0.001);
//! - `net_return` = sign(p) a - costs.
//!
//! The second branch is not 0.5 (1 - magnitude_error), because of opposite signs |p - a| = |p| + |a|, and that would
//! always be 0: a near miss and a disaster would be the same.

/// Above this quality a match is learned from as an example.
pub const LEARNED_ABOVE: f64 = 0.7;

/// Above this quality a match may go into long-term memory.
pub const DISTILLED_ABOVE: f64 = 0.8;

/// Below this quality a change of thresholds is considered. It is made by evidence, never by one verdict.
pub const ADAPTATION_BELOW: f64 = 0.3;

/// The smallest outcome that errors are measured against: 0.1 %.
const SMALLEST: f64 = 0.001;

/// What one outcome says of one prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// 0 (worst) to 1.
    pub quality: f64,
    /// Whether the outcome went where the prediction pointed; zero is nowhere.
    pub direction_correct: bool,
    /// 0 to 1.
    pub magnitude_error: f64,
    /// Of a trade in the direction of the prediction, after costs; a fraction. Without a direction there is no trade, and
    /// this is minus the costs.
    pub net_return: f64,
}

impl Judgement {
    /// Judges. All arguments are finite; `volatility` is positive; `cost` is what a round trip costs, a fraction.
    pub fn new(predicted: f64, actual: f64, volatility: Option<f64>, cost: f64) -> Self {
        let error = (predicted - actual).abs();
        let magnitude_error = (error / actual.abs().max(SMALLEST)).min(1.0);
        let direction_correct = predicted != 0.0 && actual != 0.0 && (predicted > 0.0) == (actual > 0.0);
        let quality = if direction_correct {
            0.5 + 0.5 * (1.0 - magnitude_error)
        } else {
            let scale = volatility.unwrap_or_else(|| predicted.abs().max(actual.abs()).max(SMALLEST));
            0.25 * (1.0 - (error / (2.0 * scale)).min(1.0))
        };
        // Adding zero makes one zero of the two.
        let net_return = direction(predicted) * actual - cost + 0.0;
        Self { quality, direction_correct, magnitude_error, net_return }
    }

    /// Whether it is learned from as an example.
    pub fn learned(&self) -> bool {
        self.quality > LEARNED_ABOVE
    }

    /// Whether it may go into long-term memory.
    pub fn distilled(&self) -> bool {
        self.quality > DISTILLED_ABOVE
    }

    /// Whether it is a reason to look at the thresholds.
    pub fn considers_adaptation(&self) -> bool {
        self.quality < ADAPTATION_BELOW
    }
}

/// 1, -1 or 0.
pub(super) fn direction(predicted: f64) -> f64 {
    if predicted == 0.0 { 0.0 } else { predicted.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by hand: p, a, volatility, cost; quality, direction, magnitude error, net return.
    #[test]
    fn verdicts_are_those_computed_by_hand() {
        type Case = ((f64, f64, Option<f64>, f64), (f64, bool, f64, f64));
        let cases: &[Case] = &[
            // Exactly right.
            ((0.02, 0.02, None, 0.0), (1.0, true, 0.0, 0.02)),
            // Half of what was predicted: |0.02 - 0.04| / 0.04 = 0.5.
            ((0.02, 0.04, None, 0.001), (0.75, true, 0.5, 0.039)),
            // Far too much: the error is cut at 1.
            ((0.10, 0.01, None, 0.0), (0.5, true, 1.0, 0.01)),
            // Short and right.
            ((-0.03, -0.04, None, 0.002), (0.875, true, 0.25, 0.038)),
            // Wrong: |p - a| = 0.03, s = 0.02, 1 - 0.03 / 0.04 = 0.25, a quarter of it.
            ((0.02, -0.01, None, 0.0), (0.0625, false, 1.0, -0.01)),
            // The same with the horizon's volatility: 1 - 0.03 / 0.10 = 0.7.
            ((0.02, -0.01, Some(0.05), 0.0), (0.175, false, 1.0, -0.01)),
            // Mirror images: |p - a| = 2 s, nothing is left.
            ((-0.02, 0.02, None, 0.001), (0.0, false, 1.0, -0.021)),
            // No movement is wrong: |p - a| / max(0, 0.001) is cut; s = 0.004, 1 - 0.004 / 0.008 = 0.5.
            ((0.004, 0.0, None, 0.0), (0.125, false, 1.0, 0.0)),
            // No prediction: s = 0.01, 1 - 0.01 / 0.02 = 0.5; no trade.
            ((0.0, 0.01, None, 0.003), (0.125, false, 1.0, -0.003)),
            // Neither: error 0 over 0.001.
            ((0.0, 0.0, None, 0.0), (0.25, false, 0.0, 0.0)),
            // Small outcomes are measured against 0.1 %: 0.0002 / 0.001.
            ((0.0007, 0.0005, None, 0.0), (0.9, true, 0.2, 0.0005)),
        ];
        for &((p, a, volatility, cost), (quality, direction_correct, magnitude_error, net_return)) in cases {
            let found = Judgement::new(p, a, volatility, cost);
            assert_eq!(found.direction_correct, direction_correct, "{p} {a}");
            for (found, expected) in [
                (found.quality, quality),
                (found.magnitude_error, magnitude_error),
                (found.net_return, net_return),
            ] {
                assert!((found - expected).abs() < 1e-12, "{p} {a}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn thresholds_are_strict() {
        let of = |quality| Judgement { quality, ..Judgement::new(0.1, 0.1, None, 0.0) };
        assert_eq!([0.7, 0.71].map(|q| of(q).learned()), [false, true]);
        assert_eq!([0.8, 0.81].map(|q| of(q).distilled()), [false, true]);
        assert_eq!([0.3, 0.29].map(|q| of(q).considers_adaptation()), [false, true]);
    }
}

//! Prediction intervals that keep their coverage when the market changes: adaptive conformal inference (Gibbs and Candes,
//! "Adaptive conformal inference under distribution shift", 2021).
//!
//! The score of an outcome is |actual - center| / spread, where center and spread were fixed at the match. The radius of the
//! next interval, in spreads, is the quantile 1 - a of the last [`WINDOW`] scores, and a moves by [`RATE`] (miss - target)
//! with every outcome, where miss is 1 if the interval did not cover and 0 if it did, and target is the share that may
//! be missed.
//!
//! What is guaranteed, for any sequence of outcomes whatever: over T outcomes, each told before the next match, the share
//! of misses differs from the target by at most (max(a_1, 1 - a_1) + RATE) / (RATE T): for 90 % intervals 0.0046 after
//! 10,000. With h outcomes pending at a time a moves h steps late, and the bound has h RATE in place of the second RATE.
//! For this the interval is sometimes everything (a at or below 0, or too few scores) and sometimes empty (a at or above
//! 1).

use std::collections::VecDeque;

/// Scores that are kept.
pub const WINDOW: usize = 250;

/// How far a moves.
pub const RATE: f64 = 0.02;

/// The intervals of one family.
#[derive(Debug, Clone, PartialEq)]
pub struct Conformal {
    miss_target: f64,
    miss: f64,
    scores: VecDeque<f64>,
    sorted: Vec<f64>,
    outcomes: u64,
    covered: u64,
}

impl Conformal {
    /// Intervals that are to cover the share `coverage`, between 0 and 1, of the outcomes.
    pub fn new(coverage: f64) -> Self {
        let miss = 1.0 - coverage;
        let (scores, sorted) = (VecDeque::new(), Vec::new());
        Self { miss_target: miss, miss, scores, sorted, outcomes: 0, covered: 0 }
    }

    /// Of an interval that is made now, in spreads; infinite: everything; negative: nothing.
    pub fn radius(&self) -> f64 {
        if self.miss >= 1.0 {
            return -1.0;
        }
        let rank = ((self.sorted.len() + 1) as f64 * (1.0 - self.miss)).ceil();
        if self.miss <= 0.0 || rank > self.sorted.len() as f64 {
            return f64::INFINITY;
        }
        self.sorted[(rank as usize).max(1) - 1]
    }

    /// An outcome with `score`, for which the radius was `radius`. NaN is no score.
    pub fn add(&mut self, score: f64, radius: f64) {
        let missed = score > radius;
        self.outcomes += 1;
        self.covered += u64::from(!missed);
        self.miss += RATE * (self.miss_target - f64::from(u8::from(missed)));
        if self.scores.len() == WINDOW
            && let Some(oldest) = self.scores.pop_front()
        {
            let place = self.sorted.partition_point(|&other| other < oldest);
            self.sorted.remove(place);
        }
        self.scores.push_back(score);
        let place = self.sorted.partition_point(|&other| other < score);
        self.sorted.insert(place, score);
    }

    /// The share of outcomes that were covered; NaN before the first.
    pub fn coverage(&self) -> f64 {
        self.covered as f64 / self.outcomes as f64
    }

    /// The share that is to be.
    pub fn target(&self) -> f64 {
        1.0 - self.miss_target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_radius_is_the_conformal_quantile() {
        let mut conformal = Conformal::new(0.9);
        for k in 1..=8 {
            assert_eq!(conformal.radius(), f64::INFINITY);
            conformal.add(f64::from(k), f64::INFINITY);
        }
        // Covered eight times: misses of 0.1 + 8 x 0.002 are allowed, the rank is the ceiling of 10 x 0.884 = 8.84.
        conformal.miss = 0.1;
        conformal.add(0.5, f64::INFINITY);
        conformal.miss = 0.116;
        assert_eq!(conformal.radius(), 8.0);
        conformal.miss = 0.25;
        assert_eq!(conformal.radius(), 7.0);
        conformal.miss = 1.0;
        assert!(conformal.radius() < 0.0);
    }

    #[test]
    fn the_oldest_score_leaves() {
        let mut conformal = Conformal::new(0.5);
        conformal.add(1e9, 0.0);
        for k in 0..WINDOW {
            conformal.add(k as f64 % 7.0, 1.0);
        }
        assert_eq!(conformal.sorted.len(), WINDOW);
        assert!(conformal.sorted.is_sorted() && conformal.sorted.iter().all(|&score| score < 7.0));
    }

    /// An adversary doubles its scores every hundred outcomes, and back: the bound of the paper holds.
    #[test]
    fn coverage_holds_against_drift() {
        let mut conformal = Conformal::new(0.9);
        let (outcomes, mut state) = (10_000, 1_u64);
        for k in 0..outcomes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (state >> 11) as f64 / (1_u64 << 53) as f64;
            let level = libm::exp2(f64::from(k / 100 % 12 - 6).abs());
            let radius = conformal.radius();
            conformal.add(noise * level, radius);
        }
        let bound = (0.9 + RATE) / (RATE * f64::from(outcomes));
        assert!((conformal.coverage() - 0.9).abs() <= bound + 1e-12, "{}", conformal.coverage());
    }
}

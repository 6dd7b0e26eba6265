//! When a match is a signal.
//!
//! **`utility`** trades where the smoothed mean net return at this similarity, less a quarter of its standard error, is
//! above 0, and the thresholds of the family admit the match. It earns most, and it is not error-controlled: in a world
//! without any edge it trades about a third of all matches.
//!
//! **`evidence`** (the default) lets that rule trade on paper first. Every match that `utility` would have traded is
//! a paper trade of its family, chosen before its outcome is known; their net returns feed an anytime-valid
//! [confidence sequence](super::sequence). There is a signal where `utility` says so *and* the lower bound of the
//! family's paper trades clears zero.
//!
//! What is guaranteed, under the assumptions that [`sequence`](super::sequence) states:
//!
//! - of a family in which no match has a positive mean net return, given what was known when it matched, the probability
//!   that there is *ever* a signal is at most alpha, however often anybody looks. So in a world without any edge the
//!   expected share of matches with a signal is at most alpha (in fact far less: most of the time a capital that is
//!   to touch 1 / alpha once is elsewhere);
//! - where several families are looked at, at every moment that is fixed beforehand the expected share of families
//!   without an edge among those whose gate is open is at most alpha, whatever the families have to do with each other;
//!   if none has an edge, the probability that any gate is open then is at most alpha. This is the procedure e-BH (Wang and
//!   Ramdas, "False discovery rate control with e-values", 2022): of K families ordered by their evidence, the k-th is
//!   admitted with all before it if it has reached K / (alpha k). It needs the instants of outcomes to be known at the
//!   match, as horizons of a fixed length are. That *none of all* families is admitted *ever* has probability
//!   1 - alpha where windows of different families do not overlap either.
//!
//! What is not: that each match in a family with an edge has one, and that an edge will last. The capital behind the
//! evidence is capped, so that an edge that is gone closes the gate again after some tens of losing trades.

use super::conformal::Conformal;
use super::stats::Estimate;
use std::fmt;

/// How sure is sure enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Only where an anytime-valid lower bound clears zero.
    #[default]
    Evidence,
    /// On the estimate alone, less a quarter of its standard error.
    Utility,
}

/// Standard errors that `utility` takes off the mean.
const CAUTION: f64 = 0.25;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Buy.
    Long,
    /// Sell.
    Short,
}

/// A trade worth making.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// That of the prediction.
    pub direction: Direction,
    /// Of the market, before costs; a fraction, negative for a short.
    pub expected_return: f64,
    /// The interval in which the market's return is expected with the configured coverage; infinite where too little is
    /// known.
    pub interval: (f64, f64),
    /// The estimated probability of a positive net return.
    pub confidence: f64,
}

/// What is known of the paper trades of a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proof {
    /// Windows of paper trades that do not overlap.
    pub windows: u64,
    /// What a capital of 1 has become that bet on them.
    pub evidence: f64,
    /// What it has to be, with all families that are looked at.
    pub required: f64,
    /// Bounds of the mean net return at the error rate 1 / `required`, in today's scale; a fraction.
    pub lower: f64,
    /// The same on the other side.
    pub upper: f64,
}

/// Why there is a signal or none.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// All that the policy asks for is there.
    Signal,
    /// The prediction is 0.
    NoPrediction,
    /// The family has too few outcomes.
    FewSamples {
        /// Discounted outcomes.
        n: f64,
        /// How many there have to be.
        needed: f64,
    },
    /// The match is not similar enough.
    BelowSimilarity {
        /// Of the match.
        similarity: f64,
        /// Of the family.
        threshold: f64,
    },
    /// The prediction is not sure enough.
    BelowConfidence {
        /// Of the match.
        confidence: f64,
        /// Of the family.
        threshold: f64,
    },
    /// Too few outcomes at this similarity.
    FewNearby {
        /// Of the match.
        similarity: f64,
    },
    /// The estimate at this similarity, less a quarter of its error, is not above 0.
    NoEdge {
        /// What is expected.
        estimate: Estimate,
    },
    /// The family's paper trades have not cleared zero.
    NoProof {
        /// What is known of them; none while the scale of returns is not known.
        proof: Option<Proof>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal => write!(f, "the evidence clears the thresholds"),
            Self::NoPrediction => write!(f, "the prediction is zero"),
            Self::FewSamples { n, needed } => {
                write!(f, "the family has {n:.1} outcomes of the {needed} that it needs")
            }
            Self::BelowSimilarity { similarity, threshold } => {
                write!(f, "similarity {similarity:.3} is below the threshold {threshold:.3}")
            }
            Self::BelowConfidence { confidence, threshold } => {
                write!(f, "confidence {confidence:.3} is below the threshold {threshold:.3}")
            }
            Self::FewNearby { similarity } => write!(f, "too few outcomes near similarity {similarity:.3}"),
            Self::NoEdge { estimate } => write!(
                f,
                "no edge near this similarity: mean net return {:.4} % with standard error {:.4} % (n = {:.0})",
                estimate.mean * 100.0,
                estimate.standard_error * 100.0,
                estimate.n
            ),
            Self::NoProof { proof: None } => write!(f, "no evidence yet: the scale of returns is not known"),
            Self::NoProof { proof: Some(proof) } => write!(
                f,
                "no evidence yet: {} paper trades have multiplied a stake by {:.2}, {:.0} is needed",
                proof.windows, proof.evidence, proof.required
            ),
        }
    }
}

/// What a learner says of a match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// The trade; none: nothing.
    pub signal: Option<Signal>,
    /// Why.
    pub reason: Reason,
    /// What is expected of the match after costs, where enough is known.
    pub estimate: Option<Estimate>,
    /// What is known of the family's paper trades, where the scale of returns is known.
    pub proof: Option<Proof>,
}

/// Whether `utility` trades on an estimate.
pub(super) fn has_edge(estimate: &Estimate) -> bool {
    estimate.mean - CAUTION * estimate.standard_error > 0.0
}

/// The interval of a conformal radius; of an empty one its center.
pub(super) fn interval(conformal: &Conformal, center: f64, spread: Option<f64>) -> (f64, f64) {
    let half = spread.map_or(f64::INFINITY, |spread| conformal.radius().max(0.0) * spread);
    (center - half, center + half)
}

/// e-BH: the evidence that admits a family among all `evidence`, at `alpha`: the smallest K / (alpha k) that k families
/// have reached, K / alpha if there is none.
pub(super) fn required(mut evidence: Vec<f64>, alpha: f64) -> f64 {
    evidence.sort_unstable_by(|a, b| b.total_cmp(a));
    let families = evidence.len().max(1) as f64;
    let at = |k: usize| families / (alpha * (k + 1) as f64);
    let admitted = (0..evidence.len()).rev().find(|&k| evidence[k] >= at(k));
    at(admitted.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five families at alpha = 0.1: 50, 25, 16.7, 12.5, 10.
    #[test]
    fn e_bh_is_that_computed_by_hand() {
        for (evidence, expected) in [
            (vec![20.0, 1.0, 1.0, 1.0, 1.0], 50.0),
            (vec![60.0, 1.0, 1.0, 1.0, 1.0], 50.0),
            (vec![1.0, 24.0, 1.0, 30.0, 1.0], 50.0),
            (vec![1.0, 26.0, 1.0, 30.0, 1.0], 25.0),
            (vec![17.0, 17.0, 17.0, 1.0, 1.0], 50.0 / 3.0),
            (vec![10.0; 5], 10.0),
        ] {
            assert!((required(evidence.clone(), 0.1) - expected).abs() < 1e-9, "{evidence:?}");
        }
        assert_eq!(required(vec![0.0], 0.05), 20.0);
        assert_eq!(required(vec![], 0.05), 20.0);
    }
}

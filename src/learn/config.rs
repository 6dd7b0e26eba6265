//! How a learner learns, and what makes no sense.

use super::policy::Policy;

/// How a learner learns. Nodes that are to agree have the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// What a round trip costs, a fraction.
    pub cost: f64,
    /// When there is a signal.
    pub policy: Policy,
    /// The error rate of [`Policy::Evidence`] and of the thresholds, between 0 and 1.
    pub alpha: f64,
    /// Outcomes of a family after which an outcome weighs half.
    pub half_life_events: f64,
    /// The same in milliseconds; none: only outcomes age.
    pub half_life_ms: Option<f64>,
    /// Discounted outcomes that a family needs before there is a signal.
    pub min_samples: f64,
    /// Where the threshold of similarity starts, 0 to 1.
    pub similarity_threshold: f64,
    /// Where the threshold of confidence starts, 0 to 1.
    pub confidence_threshold: f64,
    /// How far in similarity outcomes count.
    pub bandwidth: f64,
    /// Outcomes of the whole family that are added to those nearby.
    pub prior_weight: f64,
    /// Outcomes a year, to annualise; none: nothing is annualised.
    pub periods_per_year: Option<f64>,
    /// Milliseconds after its horizon after which an experience without outcome is expired.
    pub grace_ms: f64,
    /// Milliseconds after an outcome within which the next match is taken as still overlapping it (an embargo).
    pub embargo_ms: f64,
    /// The share of outcomes that intervals are to cover, between 0 and 1.
    pub coverage: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cost: 0.0,
            policy: Policy::Evidence,
            alpha: 0.05,
            half_life_events: 800.0,
            half_life_ms: None,
            min_samples: 20.0,
            similarity_threshold: 0.0,
            confidence_threshold: 0.0,
            bandwidth: 0.08,
            prior_weight: 5.0,
            periods_per_year: None,
            grace_ms: 24.0 * 3_600_000.0,
            embargo_ms: 0.0,
            coverage: 0.9,
        }
    }
}

/// An option that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{option} is {value}; it has to be {expected}")]
pub struct ConfigError {
    /// The option.
    pub option: &'static str,
    /// What it is.
    pub value: f64,
    /// What it may be.
    pub expected: &'static str,
}

impl Config {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |option, value, expected| Err(ConfigError { option, value, expected });
        let share = |value: f64| value > 0.0 && value < 1.0;
        let positive = |value: f64| value > 0.0 && value.is_finite();
        for (option, value) in [("alpha", self.alpha), ("coverage", self.coverage)] {
            if !share(value) {
                return refuse(option, value, "between 0 and 1");
            }
        }
        // A bound that no capital can reach would be silence for ever.
        if self.alpha < MIN_ALPHA {
            return refuse("alpha", self.alpha, "0.001 or more");
        }
        for (option, value) in [
            ("similarityThreshold", self.similarity_threshold),
            ("confidenceThreshold", self.confidence_threshold),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return refuse(option, value, "within 0 to 1");
            }
        }
        let half_life_ms = self.half_life_ms.unwrap_or(1.0);
        for (option, value) in [
            ("halfLife", self.half_life_events),
            ("halfLifeMs", half_life_ms),
            ("bandwidth", self.bandwidth),
            ("periodsPerYear", self.periods_per_year.unwrap_or(1.0)),
        ] {
            if !positive(value) {
                return refuse(option, value, "positive");
            }
        }
        for (option, value) in [
            ("minSamples", self.min_samples),
            ("prior weight", self.prior_weight),
            ("grace", self.grace_ms),
            ("embargo", self.embargo_ms),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(option, value, "0 or more");
            }
        }
        if !(0.0..1.0).contains(&self.cost) {
            return refuse("cost", self.cost, "at least 0 and below 1");
        }
        Ok(())
    }
}

/// The smallest alpha.
pub const MIN_ALPHA: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let good = Config::default();
        assert_eq!(good.check(), Ok(()));
        for (option, wrong) in [
            ("alpha", Config { alpha: 0.0, ..good }),
            ("alpha", Config { alpha: 1e-9, ..good }),
            ("alpha", Config { alpha: f64::NAN, ..good }),
            ("coverage", Config { coverage: 1.0, ..good }),
            ("similarityThreshold", Config { similarity_threshold: 1.1, ..good }),
            ("halfLifeMs", Config { half_life_ms: Some(0.0), ..good }),
            ("bandwidth", Config { bandwidth: f64::INFINITY, ..good }),
            ("periodsPerYear", Config { periods_per_year: Some(-1.0), ..good }),
            ("minSamples", Config { min_samples: f64::NAN, ..good }),
            ("cost", Config { cost: -0.1, ..good }),
        ] {
            assert_eq!(wrong.check().unwrap_err().option, option);
        }
    }
}

//! Which outcomes a sequence counts, and in which scale.

use super::event::Instant;

/// Outcomes before there is a scale. They are not bet on.
pub const WARM_UP: u32 = 20;

/// Outcomes after which the square of a return weighs half in the scale.
const SCALE_HALF_LIFE: f64 = 200.0;

/// The root mean square of net returns, discounted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Scale {
    outcomes: u32,
    squares: f64,
    weight: f64,
}

impl Scale {
    /// One net return more.
    pub fn add(&mut self, net_return: f64) {
        let keep = libm::exp2(-1.0 / SCALE_HALF_LIFE);
        self.outcomes = self.outcomes.saturating_add(1);
        self.squares = self.squares * keep + net_return * net_return;
        self.weight = self.weight * keep + 1.0;
    }

    /// In units of the returns; none before [`WARM_UP`] outcomes, or when all were 0.
    pub fn value(&self) -> Option<f64> {
        let value = (self.squares / self.weight).sqrt();
        (self.outcomes >= WARM_UP && value > 0.0).then_some(value)
    }
}

/// Which matches count, of those whose windows overlap: the first to *begin*.
///
/// That is decided at the match, before anything of its window is known, and a match that counts keeps the lane until its
/// outcome is told, however long that takes. Were the first to *end* to count, fast winners would beat slow losers wherever
/// an exit depends on the price, and a fair game would have an edge.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Lane {
    /// Matches that count and have no outcome yet; all of one instant.
    held: u32,
    began: Option<Instant>,
    /// When the last window and its embargo were over.
    busy: Option<Instant>,
}

impl Lane {
    /// Whether a match at `at` counts, for sequences that count one match an instant.
    pub fn opens(&mut self, at: Instant) -> bool {
        let opens = self.held == 0 && self.busy.is_none_or(|busy| at >= busy);
        if opens {
            (self.held, self.began) = (1, Some(at));
        }
        opens
    }

    /// Whether a match at `at` counts, also as a further one of the instant of the last.
    pub fn joins(&mut self, at: Instant) -> bool {
        let joins = self.held > 0 && self.began == Some(at);
        self.held += u32::from(joins);
        joins || self.opens(at)
    }

    /// A match that counts is over; others may begin at `busy`. Whether it was the last of its instant.
    pub fn leaves(&mut self, busy: Instant) -> bool {
        self.held = self.held.saturating_sub(1);
        self.busy = self.busy.max(Some(busy));
        self.held == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_the_discounted_root_mean_square() {
        let mut scale = Scale::default();
        for k in 0..WARM_UP {
            assert_eq!(scale.value(), None);
            scale.add(if k % 2 == 0 { 0.01 } else { -0.01 });
        }
        assert!((scale.value().unwrap() - 0.01).abs() < 1e-15);
        // A wild time is forgotten.
        (0..20).for_each(|_| scale.add(1.0));
        assert!(scale.value().unwrap() > 0.5);
        (0..3000).for_each(|_| scale.add(0.01));
        assert!((scale.value().unwrap() - 0.01).abs() < 0.001);
        let mut zero = Scale::default();
        (0..100).for_each(|_| zero.add(0.0));
        assert_eq!(zero.value(), None);
    }
}

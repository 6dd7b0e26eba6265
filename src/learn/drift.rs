//! Whether the world has changed: the test of Page ("Continuous inspection schemes", 1954) in the two-sided form of
//! Hinkley.
//!
//! Residuals are in standard deviations, (net return - estimate) / deviation. Each side adds up what exceeds
//! [`TOLERANCE`], never below 0, and raises the alarm above [`ALARM`]: for independent normal residuals of a world that
//! does not change about once in 12,500 outcomes (Siegmund, "Sequential analysis", 1985: on each side
//! (exp(2 t b) - 1 - 2 t b) / (2 t^2) with b = alarm + 1.166), for a shift of half a deviation after about 75. Residuals are cut at
//! [`SHOCK`], so that no single day is a change of regime. Smaller shifts are what the discount is for.

/// Deviations a residual may have without counting.
pub const TOLERANCE: f64 = 0.1;

/// Deviations that have to add up.
pub const ALARM: f64 = 30.0;

/// The most that one residual counts, in deviations.
pub const SHOCK: f64 = 4.0;

/// The two sums.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PageHinkley {
    above: f64,
    below: f64,
}

impl PageHinkley {
    /// One residual more; whether the alarm is raised. Then the sums begin anew.
    pub fn add(&mut self, residual: f64) -> bool {
        let residual = residual.clamp(-SHOCK, SHOCK);
        self.above = (self.above + residual - TOLERANCE).max(0.0);
        self.below = (self.below - residual - TOLERANCE).max(0.0);
        let alarm = self.above > ALARM || self.below > ALARM;
        if alarm {
            *self = Self::default();
        }
        alarm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of twelve uniforms: nearly normal.
    fn normals(count: usize, seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..count).map(move |_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0)
    }

    #[test]
    fn sums_are_those_computed_by_hand() {
        let mut test = PageHinkley::default();
        for residual in [1.1, -0.4, 10.0] {
            assert!(!test.add(residual));
        }
        // 1.0, then 0.5, then 0.5 + 4 - 0.1; below: 0, 0.3, 0.
        assert!((test.above - 4.4).abs() < 1e-12 && test.below == 0.0);
    }

    #[test]
    fn a_shift_is_found_and_no_shift_seldom() {
        for side in [-1.0, 1.0] {
            let mut test = PageHinkley::default();
            let found = normals(1000, 3).position(|noise| test.add(noise + side * 0.5));
            assert!(found.is_some_and(|steps| (20..200).contains(&steps)), "{found:?}");
        }
        let mut test = PageHinkley::default();
        assert!(normals(20_000, 4).filter(|&noise| test.add(noise)).count() <= 8);
    }

    #[test]
    fn one_shock_is_no_regime() {
        let mut test = PageHinkley::default();
        assert!(!test.add(-1e9));
        assert!((0..5).all(|_| !test.add(-SHOCK)));
    }
}

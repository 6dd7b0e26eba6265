//! What the outcomes of a family say at a similarity: discounted sums, smoothed over neighbours, pooled with the family.
//!
//! Similarity 0..=1 is cut into [`BINS`] bins. Each holds discounted sums of the net returns r of its outcomes:
//! n = sum of w, wins = sum of w \[r > 0\], sum of w r, sum of w r^2, where w halves every `half_life_events` outcomes of the
//! family and every `half_life_ms`. The estimate at a similarity weighs the bins around it with the kernel of Epanechnikov,
//! 1 - (distance / bandwidth)^2, and adds `prior_weight` outcomes with the moments of the whole family (partial pooling: a
//! bin that has seen little says what the family says).
//!
//! The standard error counts only what is independent: an outcome whose window overlaps m others that were open when it
//! matched counts 1 / (1 + m) (Lopez de Prado, "Advances in financial machine learning", 2018, chapter 4, calls this
//! uniqueness), and the weights of the kernel count by Kish's effective size (sum k)^2 / sum k^2.

/// Bins of similarity, each 0.01 wide.
pub const BINS: usize = 100;

/// Smoothed outcomes below which there is no estimate.
pub const LEAST: f64 = 8.0;

/// Discounted sums of net returns.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// Outcomes.
    pub n: f64,
    /// Those with a positive net return.
    pub wins: f64,
    /// Of net returns, fractions.
    pub sum: f64,
    /// Of their squares.
    pub squares: f64,
    /// Outcomes with overlapping ones counted in part.
    pub effective: f64,
}

impl Moments {
    /// One outcome more, of which `uniqueness` (0 to 1) is its own.
    pub fn add(&mut self, net_return: f64, uniqueness: f64) {
        self.n += 1.0;
        self.wins += f64::from(u8::from(net_return > 0.0));
        self.sum += net_return;
        self.squares += net_return * net_return;
        self.effective += uniqueness;
    }

    /// These weigh `factor` of what they weighed.
    pub fn discount(&mut self, factor: f64) {
        *self = self.times(factor);
    }

    fn times(self, factor: f64) -> Self {
        Self {
            n: self.n * factor,
            wins: self.wins * factor,
            sum: self.sum * factor,
            squares: self.squares * factor,
            effective: self.effective * factor,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            wins: self.wins + other.wins,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            effective: self.effective + other.effective,
        }
    }
}

/// What is expected of a match.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Discounted outcomes nearby, without those of the family.
    pub n: f64,
    /// The same with overlapping ones counted in part, and the pooled ones of the family.
    pub effective: f64,
    /// The share of positive net returns, 0 to 1.
    pub win_rate: f64,
    /// Of the net return, a fraction.
    pub mean: f64,
    /// The standard deviation of one net return.
    pub deviation: f64,
    /// The standard deviation of `mean`.
    pub standard_error: f64,
}

/// The sums of a family by similarity.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    bins: Vec<Moments>,
    total: Moments,
}

impl Default for Bins {
    fn default() -> Self {
        Self { bins: vec![Moments::default(); BINS], total: Moments::default() }
    }
}

/// The bin of a similarity.
fn bin_of(similarity: f64) -> usize {
    ((similarity * BINS as f64) as usize).min(BINS - 1)
}

impl Bins {
    /// The whole family.
    pub fn total(&self) -> &Moments {
        &self.total
    }

    /// Everything that is known weighs `factor` of what it weighed.
    pub fn discount(&mut self, factor: f64) {
        self.bins.iter_mut().for_each(|bin| bin.discount(factor));
        self.total.discount(factor);
    }

    /// One outcome of a match with `similarity` in 0..=1.
    pub fn add(&mut self, similarity: f64, net_return: f64, uniqueness: f64) {
        self.bins[bin_of(similarity)].add(net_return, uniqueness);
        self.total.add(net_return, uniqueness);
    }

    /// The estimate at `similarity`, where everything weighs `factor` of what it weighed at the last change; none below
    /// [`LEAST`] outcomes nearby.
    pub fn estimate(
        &self,
        similarity: f64,
        bandwidth: f64,
        prior_weight: f64,
        factor: f64,
    ) -> Option<Estimate> {
        let center = bin_of(similarity);
        let reach = (bandwidth * BINS as f64).max(1.0);
        let whole = reach as usize;
        let (mut near, mut kish) = (Moments::default(), 0.0);
        for index in center.saturating_sub(whole)..=(center + whole).min(BINS - 1) {
            let distance = index.abs_diff(center) as f64 / reach;
            let weight = (1.0 - distance * distance).max(0.0);
            near = near.plus(self.bins[index].times(weight));
            kish += weight * weight * self.bins[index].n;
        }
        let (near, kish) = (near.times(factor), kish * factor);
        if near.n < LEAST {
            return None;
        }
        let family = self.total.times(prior_weight / self.total.n);
        let pooled = near.plus(family);
        let mean = pooled.sum / pooled.n;
        // Of the mean of as many as there are; rounding may leave a negative variance of equal returns.
        let variance = (pooled.squares / pooled.n - mean * mean).max(0.0);
        let effective = near.n * near.n / kish * (near.effective / near.n) + prior_weight;
        Some(Estimate {
            n: near.n,
            effective,
            win_rate: pooled.wins / pooled.n,
            mean,
            deviation: variance.sqrt(),
            standard_error: (variance / effective).sqrt(),
        })
    }
}

/// By which factor everything is discounted after `events` more outcomes and `millis` more time.
pub fn discount(events: f64, half_life_events: f64, millis: f64, half_life_ms: Option<f64>) -> f64 {
    let halvings =
        events / half_life_events + half_life_ms.map_or(0.0, |half_life| millis.max(0.0) / half_life);
    libm::exp2(-halvings)
}

/// The interval of Wilson ("Probable inference", 1927) for a share of `wins` among `n`, at `z` standard deviations. For
/// display: looked at again and again, it does not keep its error rate. With `n` = 0 it is everything.
pub fn wilson(wins: f64, n: f64, z: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let (share, z2) = (wins / n, z * z);
    let center = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((center - half).max(0.0), (center + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn one_bin_alone_is_its_mean_and_deviation() {
        let mut bins = Bins::default();
        for k in 0..10 {
            bins.add(0.505, if k % 2 == 0 { 0.03 } else { -0.01 }, 1.0);
        }
        let found = bins.estimate(0.505, 0.08, 0.0, 1.0).unwrap();
        near(found.n, 10.0);
        near(found.mean, 0.01);
        near(found.win_rate, 0.5);
        near(found.deviation, 0.02);
        near(found.standard_error, 0.02 / 10.0_f64.sqrt());
        assert_eq!(bins.estimate(0.9, 0.08, 0.0, 1.0), None);
        // A tenth of it is too little.
        assert_eq!(bins.estimate(0.505, 0.08, 0.0, 0.1), None);
    }

    #[test]
    fn neighbours_weigh_by_the_kernel_and_the_family_pulls() {
        let mut bins = Bins::default();
        for _ in 0..10 {
            bins.add(0.505, 0.02, 1.0);
            bins.add(0.545, -0.01, 1.0);
        }
        // Four bins away at a reach of 8: 1 - 0.25.
        let found = bins.estimate(0.505, 0.08, 0.0, 1.0).unwrap();
        near(found.n, 17.5);
        near(found.mean, (10.0 * 0.02 - 7.5 * 0.01) / 17.5);
        near(found.effective, 17.5 * 17.5 / (10.0 + 0.75 * 0.75 * 10.0));
        // The family's mean is 0.005.
        let pulled = bins.estimate(0.505, 0.08, 20.0, 1.0).unwrap();
        near(pulled.mean, (10.0 * 0.02 - 7.5 * 0.01 + 20.0 * 0.005) / 37.5);
    }

    #[test]
    fn overlapping_outcomes_count_in_part() {
        let (mut apart, mut overlapping) = (Bins::default(), Bins::default());
        for k in 0..40 {
            let r = f64::from(k % 3) * 0.01;
            apart.add(0.5, r, 1.0);
            overlapping.add(0.5, r, 0.25);
        }
        let [apart, overlapping] =
            [apart, overlapping].map(|bins| bins.estimate(0.5, 0.01, 0.0, 1.0).unwrap());
        near(apart.mean, overlapping.mean);
        near(overlapping.standard_error, 2.0 * apart.standard_error);
    }

    #[test]
    fn half_lives_multiply() {
        near(discount(800.0, 800.0, 0.0, None), 0.5);
        near(discount(800.0, 800.0, 2000.0, Some(1000.0)), 0.125);
        near(discount(0.0, 800.0, -5.0, Some(1000.0)), 1.0);
    }

    /// SciPy 1.17, `scipy.stats.binomtest(wins, n).proportion_ci(method='wilson')`.
    #[test]
    fn wilson_is_that_of_scipy() {
        let z = 1.959_963_984_540_054;
        for (wins, n, low, high) in [
            (5.0, 10.0, 0.236_593_090_512_564, 0.763_406_909_487_436),
            (0.0, 10.0, 0.0, 0.277_532_799_862_889_26),
            (90.0, 100.0, 0.825_634_338_495_086_5, 0.944_770_862_939_324_9),
        ] {
            let found = wilson(wins, n, z);
            near(found.0, low);
            near(found.1, high);
        }
        assert_eq!(wilson(0.0, 0.0, z), (0.0, 1.0));
    }
}

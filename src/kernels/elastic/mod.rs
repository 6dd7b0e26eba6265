//! The elastic distances beyond DTW: derivative, weighted, amerced and soft DTW, ERP, EDR, MSM and TWE.
//!
//! Each is a dynamic program in which a cell is the least (or soft least) of three predecessors, each plus a cost.
//! A file per measure gives its paper, recurrence, borders, units and parameter domain. What they share is
//! written once: `pair.rs` for two series, `lanes.rs` for one against many. Derivative DTW is [`dtw`] after a
//! transformation and uses neither. All are univariate, and none takes a root.
//!
//! `window` is the Sakoe-Chiba radius of [`Band`]: `D(i, j)` is infinite where `j - i` is outside, and that holds
//! for the borders (`i` or `j` = 0) of ERP and EDR too. With a window of `max(n, m)` or more it has no effect.
//!
//! Two series are not compared in the order of their lengths, yet `D(a, b)` and `D(b, a)` have the same bits: every
//! recurrence is symmetric operation by operation.

mod adtw;
mod ddtw;
mod edr;
mod erp;
mod lanes;
mod msm;
mod pair;
mod recurrence;
mod soft_dtw;
mod twe;
mod wdtw;

use super::band::Band;
use super::simd::Level;
use super::{Interrupt, KernelError, dtw};
use crate::series::Series;
use recurrence::Recurrence;

/// An elastic distance with its parameters. Univariate; none of them takes a root.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// DTW with squared cost on derivatives (Keogh and Pazzani 2001). Needs three steps.
    Ddtw,
    /// DTW with squared cost weighted by a logistic of `|i-j|` (Jeong et al. 2011).
    Wdtw {
        /// Steepness of the logistic, at least 0.
        g: f64,
    },
    /// DTW with squared cost and a penalty on every step that is not diagonal (Herrmann and Webb 2023).
    Adtw {
        /// Added per step, at least 0.
        penalty: f64,
    },
    /// Edit distance with real penalty (Chen and Ng 2004).
    Erp {
        /// The value that a gap is compared with, finite.
        gap: f64,
    },
    /// Edit distance on real sequences, a raw count (Chen, Ozsu and Oria 2005).
    Edr {
        /// Values match when `|x-y| <= epsilon`; at least 0.
        epsilon: f64,
    },
    /// Move-split-merge (Stefan, Athitsos and Das 2013).
    Msm {
        /// Of one split or merge, at least 0.
        cost: f64,
    },
    /// Time warp edit distance (Marteau 2009) with timestamps 1, 2, ...
    Twe {
        /// Stiffness per unit of time, at least 0.
        nu: f64,
        /// Of one deletion, at least 0.
        lambda: f64,
    },
    /// Soft-DTW with squared cost (Cuturi and Blondel 2017). May be negative.
    SoftDtw {
        /// Smoothing, from 1e-150 to 1e150.
        gamma: f64,
    },
}

impl Measure {
    /// The shortest series that it is defined for.
    pub fn min_steps(self) -> usize {
        if self == Measure::Ddtw { 3 } else { 1 }
    }

    /// Whether every parameter is finite and in the domain of its variant.
    pub fn in_domain(self) -> bool {
        let non_negative = |parameter: f64| parameter.is_finite() && parameter >= 0.0;
        match self {
            Measure::Ddtw => true,
            Measure::Wdtw { g } => non_negative(g),
            Measure::Adtw { penalty } => non_negative(penalty),
            Measure::Erp { gap } => gap.is_finite(),
            Measure::Edr { epsilon } => non_negative(epsilon),
            Measure::Msm { cost } => non_negative(cost),
            Measure::Twe { nu, lambda } => non_negative(nu) && non_negative(lambda),
            Measure::SoftDtw { gamma } => soft_dtw::GAMMA.contains(&gamma),
        }
    }
}

/// Work that is done for one measure, whichever it is.
trait Task {
    type Output;
    fn by_recurrence<R: Recurrence>(self, recurrence: R) -> Self::Output;
    fn by_dtw_of_derivatives(self) -> Self::Output;
}

impl Measure {
    fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Measure::Ddtw => task.by_dtw_of_derivatives(),
            Measure::Wdtw { g } => task.by_recurrence(wdtw::Wdtw { g }),
            Measure::Adtw { penalty } => task.by_recurrence(adtw::Adtw { penalty }),
            Measure::Erp { gap } => task.by_recurrence(erp::Erp { gap }),
            Measure::Edr { epsilon } => task.by_recurrence(edr::Edr { epsilon }),
            Measure::Msm { cost } => task.by_recurrence(msm::Msm { cost }),
            Measure::Twe { nu, lambda } => task.by_recurrence(twe::Twe { nu, lambda }),
            Measure::SoftDtw { gamma } => task.by_recurrence(soft_dtw::SoftDtw::new(gamma)),
        }
    }

    fn assert_defined_for(self, series: Series<'_>) {
        assert_eq!(series.channels(), 1, "the elastic distances are of one channel");
        let least = self.min_steps();
        assert!(series.steps() >= least, "{self:?} is defined for {least} steps or more");
    }
}

/// The distance of two series.
///
/// # Panics
/// When a series has more than one channel or fewer than [`Measure::min_steps`] steps, or `measure` is not
/// [`in_domain`](Measure::in_domain).
pub fn distance(
    level: Level,
    measure: Measure,
    a: Series<'_>,
    b: Series<'_>,
    window: Option<usize>,
    interrupt: Interrupt<'_>,
) -> Result<f64, KernelError> {
    assert!(measure.in_domain(), "{measure:?} is in its domain");
    measure.assert_defined_for(a);
    measure.assert_defined_for(b);
    measure.run(PairTask { level, a, b, window, interrupt })
}

struct PairTask<'a> {
    level: Level,
    a: Series<'a>,
    b: Series<'a>,
    window: Option<usize>,
    interrupt: Interrupt<'a>,
}

impl Task for PairTask<'_> {
    type Output = Result<f64, KernelError>;

    fn by_recurrence<R: Recurrence>(self, recurrence: R) -> Self::Output {
        let Self { level, a, b, window, interrupt } = self;
        let band = Band::new(window, a.steps(), b.steps());
        level.run(pair::Pair { recurrence, a: a.values(), b: b.values(), band, interrupt })
    }

    fn by_dtw_of_derivatives(self) -> Self::Output {
        let Self { level, a, b, window, interrupt } = self;
        let (a, b) = (ddtw::derivative(a.values()), ddtw::derivative(b.values()));
        let (a, b) = (Series::trusted(&a, 1), Series::trusted(&b, 1));
        dtw::distance(level, a, b, &ddtw::options(window), interrupt)
    }
}

/// The distances of `query` to `candidates` of any lengths, in order. The bits are those of [`distance`].
///
/// # Panics
/// As [`distance`] does, or when `distances` is not as long as `candidates`.
pub fn batch(
    level: Level,
    measure: Measure,
    query: Series<'_>,
    candidates: &[Series<'_>],
    window: Option<usize>,
    distances: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<(), KernelError> {
    assert!(measure.in_domain(), "{measure:?} is in its domain");
    assert_eq!(candidates.len(), distances.len(), "one distance a candidate");
    measure.assert_defined_for(query);
    candidates.iter().for_each(|candidate| measure.assert_defined_for(*candidate));
    measure.run(BatchTask { level, query, candidates, window, distances, interrupt })
}

struct BatchTask<'a> {
    level: Level,
    query: Series<'a>,
    candidates: &'a [Series<'a>],
    window: Option<usize>,
    distances: &'a mut [f64],
    interrupt: Interrupt<'a>,
}

impl Task for BatchTask<'_> {
    type Output = Result<(), KernelError>;

    fn by_recurrence<R: Recurrence>(self, recurrence: R) -> Self::Output {
        let Self { level, query, candidates, window, distances, interrupt } = self;
        let query = query.values();
        level.run(lanes::Batch { recurrence, query, candidates, window, distances, interrupt })
    }

    fn by_dtw_of_derivatives(self) -> Self::Output {
        let Self { level, query, candidates, window, distances, interrupt } = self;
        let query = ddtw::derivative(query.values());
        let candidates: Vec<Vec<f64>> = candidates.iter().map(|x| ddtw::derivative(x.values())).collect();
        let candidates: Vec<Series<'_>> = candidates.iter().map(|x| Series::trusted(x, 1)).collect();
        let query = Series::trusted(&query, 1);
        dtw::batch(level, query, &candidates, &ddtw::options(window), distances, interrupt)
    }
}

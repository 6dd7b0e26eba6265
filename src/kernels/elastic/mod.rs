//! The elastic distances beyond DTW: derivative, weighted, amerced and soft DTW, ERP, EDR, MSM and TWE.
//!
//! Each is a dynamic program in which a cell is the least (or soft least) of three predecessors, each plus a cost.
//! A file per measure gives its paper, recurrence, borders, units and parameter domain. What they share is
//! written once: [`pair`] for two series, [`lanes`] for one against many. All are univariate, and none takes a root.
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
use super::{Interrupt, KernelError};
use crate::series::Series;
use recurrence::Recurrence;
use std::borrow::Cow;

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
        /// Smoothing, above 0.
        gamma: f64,
    },
}

impl Measure {
    /// The shortest series that it is defined for.
    pub fn min_steps(self) -> usize {
        if self == Measure::Ddtw { 3 } else { 1 }
    }
}

/// Work that is done for one recurrence, whichever it is.
trait Task {
    type Output;
    fn run<R: Recurrence>(self, recurrence: R) -> Self::Output;
}

impl Measure {
    fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Measure::Ddtw => task.run(ddtw::Ddtw),
            Measure::Wdtw { g } => task.run(wdtw::Wdtw { g }),
            Measure::Adtw { penalty } => task.run(adtw::Adtw { penalty }),
            Measure::Erp { gap } => task.run(erp::Erp { gap }),
            Measure::Edr { epsilon } => task.run(edr::Edr { epsilon }),
            Measure::Msm { cost } => task.run(msm::Msm { cost }),
            Measure::Twe { nu, lambda } => task.run(twe::Twe { nu, lambda }),
            Measure::SoftDtw { gamma } => task.run(soft_dtw::SoftDtw::new(gamma)),
        }
    }

    /// What the recurrence runs over.
    fn values(self, series: Series<'_>) -> Cow<'_, [f64]> {
        debug_assert!(series.channels() == 1 && series.steps() >= self.min_steps());
        if self == Measure::Ddtw {
            Cow::Owned(ddtw::derivative(series.values()))
        } else {
            Cow::Borrowed(series.values())
        }
    }
}

/// The distance of two series of one channel and at least [`Measure::min_steps`] steps.
pub fn distance(
    level: Level,
    measure: Measure,
    a: Series<'_>,
    b: Series<'_>,
    window: Option<usize>,
    interrupt: Interrupt<'_>,
) -> Result<f64, KernelError> {
    struct One<'a>(Level, &'a [f64], &'a [f64], Option<usize>, Interrupt<'a>);
    impl Task for One<'_> {
        type Output = Result<f64, KernelError>;
        fn run<R: Recurrence>(self, recurrence: R) -> Self::Output {
            let Self(level, a, b, window, interrupt) = self;
            let band = Band::new(window, a.len(), b.len());
            level.run(pair::Pair { recurrence, a, b, band, interrupt })
        }
    }
    let (a, b) = (measure.values(a), measure.values(b));
    measure.run(One(level, &a, &b, window, interrupt))
}

/// The distances of `query` to `candidates` of any lengths, in order, into `distances` of the same length. One
/// channel and at least [`Measure::min_steps`] steps each. The bits are those of [`distance`].
pub fn batch(
    level: Level,
    measure: Measure,
    query: Series<'_>,
    candidates: &[Series<'_>],
    window: Option<usize>,
    distances: &mut [f64],
    interrupt: Interrupt<'_>,
) -> Result<(), KernelError> {
    struct Many<'a>(Level, &'a [f64], &'a [&'a [f64]], Option<usize>, &'a mut [f64], Interrupt<'a>);
    impl Task for Many<'_> {
        type Output = Result<(), KernelError>;
        fn run<R: Recurrence>(self, recurrence: R) -> Self::Output {
            let Self(level, query, candidates, window, distances, interrupt) = self;
            level.run(lanes::Batch { recurrence, query, candidates, window, distances, interrupt })
        }
    }
    debug_assert_eq!(candidates.len(), distances.len());
    let query = measure.values(query);
    let candidates: Vec<Cow<'_, [f64]>> = candidates.iter().map(|series| measure.values(*series)).collect();
    let candidates: Vec<&[f64]> = candidates.iter().map(AsRef::as_ref).collect();
    measure.run(Many(level, &query, &candidates, window, distances, interrupt))
}

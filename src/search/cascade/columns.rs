//! What a search wants to know of its candidates beforehand, in columns of single precision.

use super::Mask;
use crate::kernels::dtw::DtwOptions;
use crate::kernels::normalize::Normalize;
use crate::kernels::screen::{MIN_STEPS, Scale, Screened, Summary, Target};
use crate::kernels::simd::WIDTH;
use crate::series::Series;
use std::collections::TryReserveError;

/// Candidates whose columns are kept together, at most.
pub(in crate::search) const CHUNK: usize = 256;

/// How the candidates of one search, all of one length, are prepared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::search) struct Plan {
    steps: usize,
    scale: Scale,
}

impl Plan {
    /// For candidates of `steps` steps that look like `sample`, normalised by `normalize` already. None for what cannot be
    /// screened, or not with profit: several channels, a few steps.
    pub(in crate::search) fn new(normalize: Normalize, sample: Series<'_>, steps: usize) -> Option<Self> {
        if sample.channels() > 1 || steps < MIN_STEPS {
            return None;
        }
        let scale = match normalize {
            Normalize::None => Scale::of(sample.values()),
            Normalize::Zscore => Scale::new(0.0, 1.0),
            Normalize::Minmax => Scale::new(0.5, 0.5),
        };
        Some(Self { steps, scale })
    }

    /// The query as the screen wants it; none when it cannot be screened.
    pub(super) fn target(&self, query: Series<'_>, options: &DtwOptions) -> Option<Target> {
        Target::new(query.values(), self.steps, options.window, options.metric, self.scale)
    }

    /// Bytes of a candidate's columns, about.
    pub(in crate::search) fn bytes(&self) -> usize {
        (self.steps + 1 + Summary::new(self.steps).vectors()) * size_of::<f32>()
    }
}

/// The columns of up to [`CHUNK`] candidates.
#[derive(Debug, Clone, Default)]
pub(in crate::search) struct Columns {
    /// Row-major.
    singles: Vec<f32>,
    /// The largest magnitude of each row.
    largest: Vec<f32>,
    /// [`Summary::vectors`] for each group of [`WIDTH`] rows.
    summaries: Vec<[f32; WIDTH]>,
    /// Rows of which the other columns say something.
    screened: Mask,
}

impl Columns {
    /// Makes room for exactly so many more candidates.
    pub(in crate::search) fn try_reserve_exact(
        &mut self,
        plan: &Plan,
        candidates: usize,
    ) -> Result<(), TryReserveError> {
        self.singles.try_reserve_exact(candidates * plan.steps)?;
        self.largest.try_reserve_exact(candidates)?;
        let groups = (self.largest.len() + candidates).div_ceil(WIDTH);
        self.summaries.try_reserve_exact(groups * Summary::new(plan.steps).vectors() - self.summaries.len())
    }

    /// Appends a candidate, normalised already.
    pub(in crate::search) fn push(&mut self, plan: &Plan, values: &[f64]) {
        let row = self.rows();
        let start = self.singles.len();
        let fits = plan.scale.extend(&mut self.singles, values);
        if fits {
            self.screened[row / 64] |= 1 << (row % 64);
        } else {
            // Numbers that no stage can stumble over; nothing is concluded from them.
            self.singles[start..].fill(0.0);
        }
        let largest = self.singles[start..].iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        self.largest.push(largest);
        let vectors = Summary::new(plan.steps).vectors();
        if row.is_multiple_of(WIDTH) {
            self.summaries.resize(self.summaries.len() + vectors, [0.0; WIDTH]);
        }
        if fits {
            let group = self.summaries.len() - vectors;
            Summary::new(plan.steps).write(values, plan.scale, row % WIDTH, &mut self.summaries[group..]);
        }
    }

    /// Candidates.
    pub(super) fn rows(&self) -> usize {
        self.largest.len()
    }

    /// The rows of which [`Self::summaries`] and [`Self::screened`] say something.
    pub(super) fn screened_rows(&self) -> Mask {
        self.screened
    }

    /// [`Summary::vectors`] for each group of rows.
    pub(super) fn summaries(&self) -> &[[f32; WIDTH]] {
        &self.summaries
    }

    /// The values of a row, prepared by `plan`.
    #[inline]
    pub(super) fn screened(&self, plan: &Plan, row: usize) -> Screened<'_> {
        let start = row * plan.steps;
        Screened { values: &self.singles[start..start + plan.steps], largest: self.largest[row] }
    }
}

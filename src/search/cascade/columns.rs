//! What a search wants to know of its candidates beforehand, in columns of single precision.

use crate::kernels::screen::{MIN_STEPS, Scale, Screened, Summary};
use crate::kernels::simd::WIDTH;

/// Candidates whose columns are kept together, at most.
pub(in crate::search) const CHUNK: usize = 256;

/// How the candidates of one search, all of one length, are prepared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::search) struct Plan {
    pub(super) steps: usize,
    pub(super) scale: Scale,
}

impl Plan {
    /// For univariate candidates of `steps` steps; none when they are too short for bounds to pay.
    pub(in crate::search) fn new(steps: usize, scale: Scale) -> Option<Self> {
        (steps >= MIN_STEPS).then_some(Self { steps, scale })
    }
}

/// The columns of up to [`CHUNK`] candidates.
#[derive(Debug, Clone, Default)]
pub(in crate::search) struct Columns {
    /// Row-major.
    singles: Vec<f32>,
    /// The largest magnitude of each row; infinite for a row that cannot be screened.
    largest: Vec<f32>,
    /// [`Summary::vectors`] for each group of [`WIDTH`] rows.
    summaries: Vec<[f32; WIDTH]>,
}

impl Columns {
    /// Makes room for exactly so many more candidates.
    pub(in crate::search) fn reserve_exact(&mut self, plan: &Plan, candidates: usize) {
        self.singles.reserve_exact(candidates * plan.steps);
        self.largest.reserve_exact(candidates);
        let groups = (self.largest.len() + candidates).div_ceil(WIDTH);
        let vectors = groups * Summary::new(plan.steps).vectors();
        self.summaries.reserve_exact(vectors - self.summaries.len());
    }

    /// Appends a candidate, normalised already.
    pub(in crate::search) fn push(&mut self, plan: &Plan, values: &[f64]) {
        let row = self.largest.len();
        let start = self.singles.len();
        let fits = plan.scale.extend(&mut self.singles, values);
        if !fits {
            // Numbers that no stage can stumble over; nothing is concluded from them.
            self.singles[start..].fill(0.0);
        }
        let singles = &self.singles[start..];
        let largest = singles.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        self.largest.push(if fits { largest } else { f32::INFINITY });
        let summary = Summary::new(plan.steps);
        if row.is_multiple_of(WIDTH) {
            self.summaries.resize(self.summaries.len() + summary.vectors(), [0.0; WIDTH]);
        }
        if fits {
            let group = self.summaries.len() - summary.vectors();
            summary.write(values, plan.scale, row % WIDTH, &mut self.summaries[group..]);
        }
    }

    /// Candidates.
    pub(super) fn rows(&self) -> usize {
        self.largest.len()
    }

    pub(super) fn summaries(&self) -> &[[f32; WIDTH]] {
        &self.summaries
    }

    /// Whether bounds say anything about a row.
    pub(super) fn can_screen(&self, row: usize) -> bool {
        self.largest[row] < f32::INFINITY
    }

    #[inline]
    pub(super) fn screened(&self, plan: &Plan, row: usize) -> Screened<'_> {
        Screened {
            values: &self.singles[row * plan.steps..(row + 1) * plan.steps],
            largest: self.largest[row],
        }
    }
}

//! The nearest patterns of every window of a series, as a stream sees them one after the other.

use super::{Found, SearchStats, Snapshot};
use crate::kernels::KernelError;
use crate::search::Job;
use crate::series::Series;
use rayon::prelude::*;
use std::time::Duration;
use web_time::Instant;

/// Windows that one thread takes at once: what is near to one is likely to be near to the next.
const WINDOWS_PER_TASK: usize = 32;

/// What one window's search gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Nearest first.
    pub found: Vec<Found>,
    /// What was skipped.
    pub stats: SearchStats,
    /// How long the search took.
    pub elapsed: Duration,
}

impl Snapshot {
    /// [`Snapshot::nearest`] for every window of `series`: window `i` begins at step `i`. `as_of` holds an instant for
    /// each window (epoch milliseconds), or nothing. `hints` are for the first window; then each one's answer is the
    /// hint for the next. Progress counts patterns.
    ///
    /// # Panics
    /// When the channels differ, or `as_of` holds another number of instants than there are windows.
    pub fn nearest_windows(
        &self,
        series: Series<'_>,
        k: usize,
        max_distance: f64,
        as_of: &[f64],
        hints: &[u64],
        job: &Job,
    ) -> Result<Vec<Answer>, KernelError> {
        let (row, channels) = (self.form.shape.row(), self.form.shape.channels);
        assert_eq!(series.channels(), channels, "channels of the series and of the patterns");
        let windows: Vec<(usize, &[f64])> =
            series.values().windows(row).step_by(channels).enumerate().collect();
        assert!(as_of.is_empty() || as_of.len() == windows.len(), "an instant for each window");
        let task = |(at, windows): (usize, &[(usize, &[f64])])| {
            let mut hints = if at == 0 { hints.to_vec() } else { Vec::new() };
            let mut answers = Vec::with_capacity(windows.len());
            for &(index, values) in windows {
                let start = Instant::now();
                let query = Series::trusted(values, channels);
                let as_of = as_of.get(index).copied();
                let (found, stats) = self.nearest(query, k, max_distance, as_of, &hints, job)?;
                hints = found.iter().map(|found| found.ordinal).collect();
                answers.push(Answer { found, stats, elapsed: start.elapsed() });
            }
            Ok(answers)
        };
        let answers: Vec<Vec<Answer>> =
            windows.par_chunks(WINDOWS_PER_TASK).enumerate().map(task).collect::<Result<_, KernelError>>()?;
        Ok(answers.into_iter().flatten().collect())
    }
}

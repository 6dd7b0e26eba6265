//! The k nearest patterns of a query, exactly: equal to sorting all distances by (distance, order of adding).
//!
//! Patterns are compared in groups that share vectors; the k-th best distance so far ends a group as soon as all its
//! lanes are beyond it. It only ever drops what is strictly farther than k others, so ties do not change the answer.

use super::segment::rows_of;
use super::{Segment, Snapshot};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions};
use crate::kernels::normalize::Normalize;
use crate::kernels::simd::Level;
use crate::search::Job;
use crate::series::Series;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A pattern near the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// What [`super::Library::add`] named the pattern by.
    pub ordinal: u64,
    /// Its distance.
    pub distance: f64,
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Nearest first, ties by order of adding.
impl Ord for Found {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.ordinal.cmp(&other.ordinal))
    }
}

/// What became of the patterns that a search could have returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchStats {
    /// Eligible patterns: the sum of the other three.
    pub candidates: usize,
    /// Never compared: a lower bound was beyond what was found already.
    pub pruned_by_bound: usize,
    /// Compared in part: the distance turned out to be beyond what was found already.
    pub abandoned: usize,
    /// Compared to the end.
    pub computed: usize,
}

impl Snapshot {
    /// The `k` nearest patterns, nearest first, ties by order of adding; those beyond `max_distance` are left out and,
    /// with `as_of` (epoch milliseconds), those not known to end by then. `hints` are ordinals of patterns that are
    /// likely to be near; they change the speed, never the answer. Progress counts patterns.
    ///
    /// # Panics
    /// When the query does not have the shape of the patterns ([`super::Shape::series`] checks that).
    pub fn nearest(
        &self,
        query: Series<'_>,
        k: usize,
        max_distance: f64,
        as_of: Option<f64>,
        hints: &[u64],
        job: &Job,
    ) -> Result<(Vec<Found>, SearchStats), KernelError> {
        let shape = &self.shape;
        assert_eq!((query.steps(), query.channels()), (shape.steps, shape.channels), "the query's shape");
        let normalized = shape.normalize.apply(query);
        let query = Series::trusted(&normalized, shape.channels);

        let mut search =
            Nearest { k, best: BinaryHeap::new(), bound: max_distance, stats: SearchStats::default() };
        let mut hinted: Vec<(usize, usize)> = hints.iter().filter_map(|&hint| self.find(hint)).collect();
        hinted.retain(|&(at, row)| self.segments[at].eligible(as_of)[row / 64] >> (row % 64) & 1 == 1);
        hinted.sort_unstable();
        hinted.dedup();
        let first: Vec<(&Segment, usize)> =
            hinted.iter().map(|&(at, row)| (&*self.segments[at], row)).collect();
        for group in first.chunks(Level::best().lanes()) {
            search.compare(self, query, group, job)?;
        }
        for (at, segment) in self.segments.iter().enumerate() {
            let rows =
                rows_of(segment.eligible(as_of)).filter(|&row| hinted.binary_search(&(at, row)).is_err());
            let rows: Vec<(&Segment, usize)> = rows.map(|row| (&**segment, row)).collect();
            for group in rows.chunks(Level::best().lanes()) {
                search.compare(self, query, group, job)?;
            }
        }
        Ok((search.best.into_sorted_vec(), search.stats))
    }
}

/// A search under way.
struct Nearest {
    k: usize,
    best: BinaryHeap<Found>,
    /// The distance that a pattern must not exceed to be among the k nearest.
    bound: f64,
    stats: SearchStats,
}

impl Nearest {
    fn compare(
        &mut self,
        library: &Snapshot,
        query: Series<'_>,
        group: &[(&Segment, usize)],
        job: &Job,
    ) -> Result<(), KernelError> {
        let shape = &library.shape;
        let options = DtwOptions {
            metric: shape.metric,
            window: shape.window,
            normalize: Normalize::None,
            max_distance: self.bound,
        };
        let rows: Vec<Series<'_>> = (group.iter())
            .map(|&(segment, row)| Series::trusted(segment.normalized_row(shape, row), shape.channels))
            .collect();
        let mut distances = vec![0.0; group.len()];
        dtw::batch(Level::best(), query, &rows, &options, &mut distances, job.interrupt())?;
        self.stats.candidates += group.len();
        for (&(segment, row), distance) in group.iter().zip(distances) {
            if distance.is_infinite() && options.max_distance.is_finite() {
                self.stats.abandoned += 1;
                continue;
            }
            self.stats.computed += 1;
            self.best.push(Found { ordinal: segment.ordinals[row], distance });
            if self.best.len() > self.k {
                self.best.pop();
            }
            if self.best.len() == self.k
                && let Some(worst) = self.best.peek()
            {
                self.bound = self.bound.min(worst.distance);
            }
        }
        job.advance(group.len());
        Ok(())
    }
}

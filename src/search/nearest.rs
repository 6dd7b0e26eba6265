//! The k nearest candidates of a query, exactly.
//!
//! Candidates are taken in the order of a lower bound, the costs of the two ends of any warping path (Kim, Park and
//! Chu, "An index-based approach for similarity search supporting time warping", 2001, in the form of the UCR suite),
//! in groups as wide as a vector. The k-th best distance so far, shared by all threads, ends a group as soon as all
//! its lanes are beyond it, and the whole search as soon as the bound is. It only ever drops what is strictly
//! farther than k others, so neither ties nor the number of threads change the answer.

use super::{Candidates, Job};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions};
use crate::kernels::normalize::Normalize;
use crate::kernels::simd::Level;
use crate::series::Series;
use rayon::prelude::*;
use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// One of the k nearest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Position among the candidates.
    pub index: usize,
    /// Its distance.
    pub distance: f64,
}

impl Eq for Neighbor {}

impl PartialOrd for Neighbor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Nearest first, ties by index.
impl Ord for Neighbor {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.index.cmp(&other.index))
    }
}

/// The `k` nearest candidates, nearest first, ties by index; those beyond `options.max_distance` are left out.
/// Equal to sorting what [`super::dtw_batch`] gives. Progress counts candidates.
///
/// # Panics
/// When the channels differ.
pub fn dtw_nearest(
    query: Series<'_>,
    candidates: &Candidates,
    options: &DtwOptions,
    k: usize,
    job: &Job,
) -> Result<Vec<Neighbor>, KernelError> {
    let normalized = options.normalize.apply(query);
    let query = Series::trusted(&normalized, query.channels());
    let candidates = &*candidates.normalized(options.normalize);
    let options = DtwOptions { normalize: Normalize::None, ..*options };

    let mut order: Vec<(f64, usize)> = (0..candidates.len())
        .map(|index| (options.metric.end_costs(query, candidates.get(index)), index))
        .collect();
    order.par_sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));

    let best = Best::new(k, options.max_distance);
    let level = Level::best();
    order.par_chunks(level.lanes()).try_for_each(|group| {
        let max_distance = best.bound();
        if group[0].0 > options.metric.bound(max_distance) {
            job.advance(group.len());
            return Ok(());
        }
        let series: Vec<Series<'_>> = group.iter().map(|&(_, index)| candidates.get(index)).collect();
        let mut distances = vec![0.0; group.len()];
        let bounded = DtwOptions { max_distance, ..options };
        dtw::batch(level, query, &series, &bounded, &mut distances, job.interrupt())?;
        for (&(_, index), distance) in group.iter().zip(distances) {
            if distance <= max_distance {
                best.offer(Neighbor { index, distance });
            }
        }
        job.advance(group.len());
        Ok(())
    })?;
    Ok(best.into_sorted())
}

/// The k best so far, and the distance that a candidate must not exceed to be among them.
struct Best {
    k: usize,
    heap: Mutex<BinaryHeap<Neighbor>>,
    /// Bits of the bound: non-negative f64 keep their order as integers. Only ever falls.
    bound: AtomicU64,
}

impl Best {
    fn new(k: usize, max_distance: f64) -> Self {
        Self { k, heap: Mutex::new(BinaryHeap::new()), bound: AtomicU64::new(max_distance.to_bits()) }
    }

    fn bound(&self) -> f64 {
        f64::from_bits(self.bound.load(Ordering::Relaxed))
    }

    fn offer(&self, neighbor: Neighbor) {
        let mut heap = self.heap.lock().expect("no thread panics while it holds the heap");
        heap.push(neighbor);
        if heap.len() > self.k {
            heap.pop();
        }
        if heap.len() == self.k
            && let Some(worst) = heap.peek()
        {
            self.bound.fetch_min(worst.distance.to_bits(), Ordering::Relaxed);
        }
    }

    fn into_sorted(self) -> Vec<Neighbor> {
        self.heap.into_inner().expect("no thread panics while it holds the heap").into_sorted_vec()
    }
}

//! The k nearest candidates of a query, exactly, by the [`cascade`](super::cascade).

use super::best::Ranked;
use super::cascade::{self, CHUNK, Columns, Mask, Plan, Pool};
use super::{Candidates, Job};
use crate::kernels::KernelError;
use crate::kernels::dtw::DtwOptions;
use crate::series::Series;
use rayon::prelude::*;
use std::collections::TryReserveError;

/// One of the k nearest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Position among the candidates.
    pub index: usize,
    /// Its distance.
    pub distance: f64,
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
    let candidates = &*candidates.normalized(options.normalize)?;
    let pool = Listed::new(candidates, options);
    let (nearest, _) = cascade::nearest(&pool, query, options, k, &[], true, job)?;
    Ok(nearest.into_iter().map(|Ranked { key, index }| Neighbor { index, distance: key }).collect())
}

/// Candidates that are searched once.
struct Listed<'a> {
    candidates: &'a Candidates,
    plan: Option<Plan>,
    columns: Vec<Columns>,
}

impl<'a> Listed<'a> {
    fn new(candidates: &'a Candidates, options: &DtwOptions) -> Self {
        let plan = candidates.equal_steps().and_then(|steps| {
            let sample = candidates.get(0);
            Plan::new(options.normalize, sample, steps)
        });
        let chunks = candidates.len().div_ceil(CHUNK);
        let columns = |chunk: usize| {
            let mut columns = Columns::default();
            if let Some(plan) = &plan {
                let rows = chunk * CHUNK..candidates.len().min((chunk + 1) * CHUNK);
                columns.try_reserve_exact(plan, rows.len())?;
                rows.for_each(|index| columns.push(plan, candidates.get(index).values()));
            }
            Ok(columns)
        };
        let columns: Result<Vec<Columns>, TryReserveError> =
            (0..chunks).into_par_iter().map(columns).collect();
        // Without memory for the columns the search goes without them.
        match columns {
            Ok(columns) => Self { candidates, plan, columns },
            Err(_) => Self { candidates, plan: None, columns: Vec::new() },
        }
    }
}

impl Pool for Listed<'_> {
    fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    fn chunks(&self) -> usize {
        self.candidates.len().div_ceil(CHUNK)
    }

    fn columns(&self, chunk: usize) -> &Columns {
        &self.columns[chunk]
    }

    fn eligible(&self, chunk: usize) -> Mask {
        let rows = (self.candidates.len() - chunk * CHUNK).min(CHUNK);
        std::array::from_fn(|word| match rows.saturating_sub(64 * word) {
            64.. => u64::MAX,
            rest => (1 << rest) - 1,
        })
    }

    fn series(&self, index: usize) -> Series<'_> {
        self.candidates.get(index)
    }
}

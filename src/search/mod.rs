//! Many pairs at once: one query against candidates, matrices of all pairs. The only module with threads.
//!
//! The functions here block the calling thread and use the pool it belongs to; [`spawn`] and [`spawn_pair`] are how a
//! caller that must not block gets onto one, [`blocking`] is for one that must. Every result is independent of the number of threads: each distance is computed by one thread, and
//! what is shared between threads (the best distance so far) only decides what need not be computed.

mod barycenter;
mod batch;
mod best;
mod candidates;
mod cascade;
mod elastic;
mod job;
pub mod library;
mod matrix;
mod medoids;
mod nearest;
mod subsequence;
mod symbols;
mod tiles;
mod timeframes;

pub use barycenter::{Barycenter, BarycenterOptions, barycenter};
pub use batch::dtw_batch;
pub use candidates::Candidates;
pub use elastic::elastic_batch;
pub use job::{Job, blocking, spawn, spawn_pair, spawn_waiting, threads};
pub use matrix::{CorrelationMethod, correlation_matrix, dtw_matrix, lag_matrix};
pub use medoids::{Medoids, medoids};
pub use nearest::{Neighbor, dtw_nearest};
pub use subsequence::{SubsequenceMatch, subsequence_search};
pub use symbols::{LcsRatio, lcs_matrix};
pub use tiles::{dtw_tile, lcs_tile};
pub use timeframes::align_neighbors;
#[cfg(any(feature = "node", target_family = "wasm"))]
pub(crate) use {barycenter::check_longest, matrix::check_longest_pair, timeframes::check_neighbors};

use crate::kernels::KernelError;

/// The most values that a matrix may have: 1 GiB of f64.
pub const MAX_MATRIX_VALUES: u64 = 1 << 27;

/// Refuses a matrix of `rows` by `columns` beyond [`MAX_MATRIX_VALUES`].
fn check_tile_size(rows: usize, columns: usize) -> Result<(), KernelError> {
    let cells = rows as u128 * columns as u128;
    if cells > u128::from(MAX_MATRIX_VALUES) {
        return Err(KernelError::TooLarge { cells, limit: MAX_MATRIX_VALUES });
    }
    Ok(())
}

/// `length` values, all of them `value`; an error where the memory for them cannot be had.
fn filled(length: usize, value: f64) -> Result<Vec<f64>, KernelError> {
    let (mut values, bytes) = (Vec::new(), length * size_of::<f64>());
    values.try_reserve_exact(length).map_err(|_| KernelError::OutOfMemory { bytes })?;
    values.resize(length, value);
    Ok(values)
}

/// A square matrix filled with `value`; an error where the memory for it cannot be had.
fn square(size: usize, value: f64) -> Result<Vec<f64>, KernelError> {
    check_tile_size(size, size)?;
    filled(size * size, value)
}

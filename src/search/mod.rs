//! Many pairs at once: one query against candidates, matrices of all pairs. The only module with threads.

mod candidates;
mod elastic;
mod job;
mod pairs;
mod symbols;

pub use candidates::Candidates;
pub use elastic::elastic_batch;
pub use job::{Job, spawn, threads};
pub use pairs::{
    CorrelationMethod, Neighbor, correlation_matrix, dtw_batch, dtw_matrix, dtw_nearest, lag_matrix,
};
pub use symbols::{LcsRatio, lcs_matrix};

/// The most values of a matrix of all pairs.
pub const MAX_MATRIX_VALUES: u64 = 1 << 27;

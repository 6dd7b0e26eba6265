//! Many pairs at once: one query against candidates, matrices of all pairs. The only module with threads.

mod candidates;
mod job;
mod pairs;

pub use candidates::Candidates;
pub use job::{Job, spawn, threads};
pub use pairs::{
    CorrelationMethod, Neighbor, correlation_matrix, dtw_batch, dtw_matrix, dtw_nearest, lag_matrix,
};

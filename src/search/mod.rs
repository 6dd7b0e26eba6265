//! Many pairs at once: one query against candidates, matrices of all pairs. The only module with threads.

mod candidates;
mod elastic;
mod job;
mod pairs;

pub use candidates::Candidates;
pub use elastic::elastic_batch;
pub use job::{Job, spawn};
pub use pairs::{
    CorrelationMethod, Neighbor, correlation_matrix, dtw_batch, dtw_matrix, dtw_nearest, lag_matrix,
};

//! Many pairs at once: one query against candidates, matrices of all pairs. The only module with threads.

mod job;

pub use job::{Job, spawn};

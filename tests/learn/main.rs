//! Self-learning: worlds of which the truth is known, and laws that hold for every set of events.

#![allow(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, with its place")]

mod laws;
mod memory;
mod policies;
mod worlds;

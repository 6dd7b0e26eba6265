//! What the coordinator knows of tasks.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`record`] | a task and what can become of it, as the store keeps it |

mod record;

pub use record::{Change, Failure, FailureCode, Outcome, Phase, Recovered, TaskRecord, TaskSpec};

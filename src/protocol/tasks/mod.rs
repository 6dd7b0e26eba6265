//! What the coordinator knows of tasks.
//!
//! | module | what it is |
//! | --- | --- |
//! | `record` | a task and what can become of it, as the store keeps it |
//! | `ledger` | the coordinator's tasks and who has them |

mod ledger;
mod record;

pub use ledger::{
    AGEING_MS, AgentView, CancelReason, Counts, Departure, Effect, Enqueued, Held, Joined, Ledger,
    LedgerConfig, Offer, RECORD_BYTES, Refusal, TaskStatus, TaskView,
};
pub use record::{Change, Failure, FailureCode, Outcome, Phase, Recovered, TaskRecord, TaskSpec};

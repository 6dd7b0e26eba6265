//! What becomes of a record by a change. A store that keeps records applies changes by this; the ledger has its own view
//! and agrees.

use crate::protocol::tasks::{Change, Outcome, Phase, TaskRecord};
use bytes::Bytes;
use std::sync::Arc;

/// Applies `change` to the record of the task that it is about; `None` is no record. Returns false for a change of a
/// task that there is no record of, which only an acceptance and a repeated forgetting may be.
pub fn apply(record: &mut Option<TaskRecord>, change: &Change) -> bool {
    match (record.as_mut(), change) {
        (_, Change::Accept(accepted)) => *record = Some(TaskRecord::clone(accepted)),
        (_, Change::Forget { .. }) => *record = None,
        (None, _) => return false,
        (Some(record), Change::Lease { agent, fence, at, .. }) => {
            record.dispatches = fence.attempt;
            record.phase = Phase::Leased { agent: agent.clone(), fence: *fence, since: *at };
        }
        (Some(record), Change::Requeue { attempts, not_before, error, .. }) => {
            record.attempts = *attempts;
            record.phase = Phase::Queued { not_before: *not_before, error: error.clone() };
        }
        (Some(record), Change::Finish { outcome, at, .. }) => {
            match &**outcome {
                Outcome::Completed { attempts, .. } | Outcome::Failed { attempts, .. } => {
                    record.attempts = *attempts;
                }
                Outcome::Cancelled => {}
            }
            if drops_payload(change) {
                record.spec.payload = Bytes::new();
            }
            record.phase = Phase::Finished { outcome: Arc::clone(outcome), at: *at };
        }
    }
    true
}

/// Whether nothing is kept of the payload afterwards. A dead letter may be put back and run again; nothing else that is
/// finished is.
pub(super) fn drops_payload(change: &Change) -> bool {
    match change {
        Change::Finish { outcome, .. } => !matches!(**outcome, Outcome::Failed { .. }),
        Change::Forget { .. } => true,
        Change::Accept(_) | Change::Lease { .. } | Change::Requeue { .. } => false,
    }
}

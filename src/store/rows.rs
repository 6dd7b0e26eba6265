//! Records as bytes: Protocol Buffers (<https://protobuf.dev/programming-guides/encoding/>), so that a later version may
//! add fields. The payload has a row of its own, because it never changes and everything else does.
//!
//! Integers are in the units of [`TaskRecord`]. What is missing or out of range is damage: a file is read only after
//! its version was compared, and a version has one form.

use crate::protocol::tasks::{Failure, FailureCode, Outcome, Phase, TaskRecord, TaskSpec};
use crate::protocol::{Fence, TaskId};
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;

#[derive(Clone, PartialEq, Message)]
struct Row {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(uint32, tag = "2")]
    priority: u32,
    #[prost(string, repeated, tag = "3")]
    requires: Vec<String>,
    #[prost(uint64, optional, tag = "4")]
    timeout_ms: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    attempt_timeout_ms: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    progress_timeout_ms: Option<u64>,
    #[prost(string, optional, tag = "7")]
    key: Option<String>,
    #[prost(uint32, tag = "8")]
    max_attempts: u32,
    #[prost(bytes = "bytes", optional, tag = "9")]
    digest: Option<Bytes>,
    #[prost(uint64, tag = "10")]
    accepted_at: u64,
    #[prost(uint32, tag = "11")]
    dispatches: u32,
    #[prost(uint32, tag = "12")]
    attempts: u32,
    /// Bytes of the payload; 0: there is no row of it.
    #[prost(uint64, tag = "13")]
    payload_length: u64,
    #[prost(oneof = "Place", tags = "14, 15, 16")]
    place: Option<Place>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Place {
    #[prost(message, tag = "14")]
    Queued(Queued),
    #[prost(message, tag = "15")]
    Leased(Leased),
    #[prost(message, tag = "16")]
    Finished(Finished),
}

#[derive(Clone, PartialEq, Message)]
struct Queued {
    #[prost(uint64, tag = "1")]
    not_before: u64,
    #[prost(message, optional, tag = "2")]
    error: Option<FailureRow>,
}

#[derive(Clone, PartialEq, Message)]
struct Leased {
    #[prost(string, tag = "1")]
    agent: String,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint32, tag = "3")]
    attempt: u32,
    #[prost(uint64, tag = "4")]
    since: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Finished {
    #[prost(uint64, tag = "1")]
    at: u64,
    #[prost(oneof = "OutcomeRow", tags = "2, 3, 4")]
    outcome: Option<OutcomeRow>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OutcomeRow {
    #[prost(message, tag = "2")]
    Completed(Completed),
    #[prost(message, tag = "3")]
    Failed(Failed),
    #[prost(message, tag = "4")]
    Cancelled(Cancelled),
}

#[derive(Clone, PartialEq, Message)]
struct Completed {
    #[prost(string, tag = "1")]
    agent: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
    #[prost(uint32, tag = "3")]
    attempts: u32,
    #[prost(uint64, tag = "4")]
    queued_ms: u64,
    #[prost(uint64, tag = "5")]
    run_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Failed {
    #[prost(message, optional, tag = "1")]
    failure: Option<FailureRow>,
    #[prost(uint32, tag = "2")]
    attempts: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Cancelled {}

#[derive(Clone, PartialEq, Message)]
struct FailureRow {
    #[prost(uint32, tag = "1")]
    code: u32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(string, optional, tag = "3")]
    remote_code: Option<String>,
    #[prost(string, optional, tag = "4")]
    agent: Option<String>,
}

/// Numbers that are in files: never another meaning for one of them.
const CODES: [(u32, FailureCode); 6] = [
    (1, FailureCode::Handler),
    (2, FailureCode::AgentLost),
    (3, FailureCode::AttemptTimeout),
    (4, FailureCode::Timeout),
    (5, FailureCode::NoAgent),
    (6, FailureCode::TooLarge),
];

fn failure_row(failure: &Failure) -> FailureRow {
    let code = match failure.code {
        FailureCode::Handler => 1,
        FailureCode::AgentLost => 2,
        FailureCode::AttemptTimeout => 3,
        FailureCode::Timeout => 4,
        FailureCode::NoAgent => 5,
        FailureCode::TooLarge => 6,
    };
    FailureRow {
        code,
        message: failure.message.clone(),
        remote_code: failure.remote_code.clone(),
        agent: failure.agent.as_deref().map(str::to_owned),
    }
}

fn failure(row: FailureRow) -> Result<Failure, &'static str> {
    let known = CODES.iter().find(|(number, _)| *number == row.code);
    let (_, code) = known.ok_or("a failure has an unknown code")?;
    Ok(Failure {
        code: *code,
        message: row.message,
        remote_code: row.remote_code,
        agent: row.agent.map(Arc::from),
    })
}

/// A record, and how many bytes its payload has, which is stored beside it.
pub(super) fn encode(record: &TaskRecord, payload_length: u64) -> Vec<u8> {
    let TaskRecord { id: _, spec, digest, accepted_at, dispatches, attempts, phase } = record;
    let place = match phase {
        Phase::Queued { not_before, error } => {
            Place::Queued(Queued { not_before: *not_before, error: error.as_ref().map(failure_row) })
        }
        Phase::Leased { agent, fence, since } => Place::Leased(Leased {
            agent: agent.to_string(),
            epoch: fence.epoch,
            attempt: fence.attempt,
            since: *since,
        }),
        Phase::Finished { outcome, at } => {
            Place::Finished(Finished { at: *at, outcome: Some(outcome_row(outcome)) })
        }
    };
    let row = Row {
        kind: spec.kind.to_string(),
        priority: spec.priority.into(),
        requires: spec.requires.iter().map(|name| name.to_string()).collect(),
        timeout_ms: spec.timeout_ms,
        attempt_timeout_ms: spec.attempt_timeout_ms,
        progress_timeout_ms: spec.progress_timeout_ms,
        key: spec.key.as_deref().map(str::to_owned),
        max_attempts: spec.max_attempts,
        digest: digest.map(|digest| Bytes::copy_from_slice(&digest)),
        accepted_at: *accepted_at,
        dispatches: *dispatches,
        attempts: *attempts,
        payload_length,
        place: Some(place),
    };
    row.encode_to_vec()
}

fn outcome_row(outcome: &Outcome) -> OutcomeRow {
    match outcome {
        Outcome::Completed { agent, value, attempts, queued_ms, run_ms } => {
            OutcomeRow::Completed(Completed {
                agent: agent.to_string(),
                value: value.clone(),
                attempts: *attempts,
                queued_ms: *queued_ms,
                run_ms: *run_ms,
            })
        }
        Outcome::Failed { failure, attempts } => {
            OutcomeRow::Failed(Failed { failure: Some(failure_row(failure)), attempts: *attempts })
        }
        Outcome::Cancelled => OutcomeRow::Cancelled(Cancelled {}),
    }
}

/// A record that was read, and how many bytes its payload has.
pub(super) struct Decoded {
    /// Its payload is empty.
    pub(super) record: TaskRecord,
    pub(super) payload_length: u64,
}

/// What [`encode`] wrote.
pub(super) fn decode(id: TaskId, bytes: &[u8]) -> Result<Decoded, &'static str> {
    let row = Row::decode(bytes).map_err(|_| "a record is not in its encoding")?;
    let spec = TaskSpec {
        kind: row.kind.into(),
        payload: Bytes::new(),
        priority: u8::try_from(row.priority).ok().filter(|p| *p <= 9).ok_or("a priority is out of range")?,
        requires: row.requires.into_iter().map(Arc::from).collect(),
        timeout_ms: row.timeout_ms,
        attempt_timeout_ms: row.attempt_timeout_ms,
        progress_timeout_ms: row.progress_timeout_ms,
        key: row.key.map(Arc::from),
        max_attempts: row.max_attempts,
    };
    let digest = match row.digest {
        None => None,
        Some(bytes) => Some(<[u8; 32]>::try_from(&*bytes).map_err(|_| "a digest has another length")?),
    };
    let phase = match row.place.ok_or("a record says not where the task is")? {
        Place::Queued(Queued { not_before, error }) => {
            Phase::Queued { not_before, error: error.map(failure).transpose()? }
        }
        Place::Leased(Leased { agent, epoch, attempt, since }) => {
            Phase::Leased { agent: agent.into(), fence: Fence { epoch, attempt }, since }
        }
        Place::Finished(Finished { at, outcome }) => {
            let outcome = match outcome.ok_or("a finished task has no outcome")? {
                OutcomeRow::Completed(Completed { agent, value, attempts, queued_ms, run_ms }) => {
                    Outcome::Completed { agent: agent.into(), value, attempts, queued_ms, run_ms }
                }
                OutcomeRow::Failed(Failed { failure: row, attempts }) => Outcome::Failed {
                    failure: failure(row.ok_or("a failed task has no failure")?)?,
                    attempts,
                },
                OutcomeRow::Cancelled(Cancelled {}) => Outcome::Cancelled,
            };
            Phase::Finished { outcome: Arc::new(outcome), at }
        }
    };
    let (accepted_at, dispatches, attempts) = (row.accepted_at, row.dispatches, row.attempts);
    let record = TaskRecord { id, spec, digest, accepted_at, dispatches, attempts, phase };
    Ok(Decoded { record, payload_length: row.payload_length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_number() {
        for (number, code) in CODES {
            let failure = Failure { code, message: String::new(), remote_code: None, agent: None };
            assert_eq!(failure_row(&failure).code, number);
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_damage() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let mut bytes = vec![0; random.usize(0..80)];
            random.fill(&mut bytes);
            if let Ok(decoded) = decode(TaskId(1), &bytes) {
                assert!(decoded.record.spec.priority <= 9);
            }
        }
        assert!(decode(TaskId(1), &[]).is_err());
    }
}

//! What the swarm tells, with the names that JavaScript knows.

use crate::swarm::coordinator::{SwarmStats, TaskNotice, TaskResult, TaskState};
use crate::swarm::logs::LogEntry;
use serde::Serialize;
use serde_json::{Map, Value};

/// `TaskResult` without its value, which is the payload.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultHeader<'a> {
    task_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    agent_id: &'a str,
    attempts: u32,
    queued_ms: u64,
    run_ms: u64,
}

impl<'a> From<&'a TaskResult> for ResultHeader<'a> {
    fn from(result: &'a TaskResult) -> Self {
        Self {
            task_id: &result.task_id,
            idempotency_key: result.key.as_deref(),
            agent_id: &result.agent,
            attempts: result.attempts,
            queued_ms: result.queued_ms,
            run_ms: result.run_ms,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcceptedHeader {
    pub task_id: String,
    pub deduplicated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateHeader<'a> {
    task_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    kind: &'a str,
    state: &'static str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> From<&'a TaskState> for StateHeader<'a> {
    fn from(state: &'a TaskState) -> Self {
        Self {
            task_id: &state.task_id,
            idempotency_key: state.key.as_deref(),
            kind: &state.kind,
            state: state.state.as_str(),
            attempts: state.attempts,
            agent_id: state.agent.as_deref(),
            progress: state.progress,
            error: state.error.as_deref(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NoticeHeader<'a> {
    task_id: &'a str,
    kind: &'a str,
    attempts: u32,
    error: &'a str,
}

impl<'a> From<&'a TaskNotice> for NoticeHeader<'a> {
    fn from(notice: &'a TaskNotice) -> Self {
        Self { task_id: &notice.task_id, kind: &notice.kind, attempts: notice.attempts, error: &notice.error }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatsHeader {
    agents: u64,
    queued: u64,
    running: u64,
    completed: u64,
    failed: u64,
    retried: u64,
    dead_lettered: u64,
    bytes_in: u64,
    bytes_out: u64,
    uptime_ms: u64,
}

impl From<SwarmStats> for StatsHeader {
    fn from(stats: SwarmStats) -> Self {
        Self {
            agents: stats.agents,
            queued: stats.queued,
            running: stats.running,
            completed: stats.completed,
            failed: stats.failed,
            retried: stats.retried,
            dead_lettered: stats.dead_lettered,
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            uptime_ms: stats.uptime_ms,
        }
    }
}

/// A message on a topic; its payload follows.
#[derive(Serialize)]
pub(super) struct MessageHeader<'a> {
    pub topic: &'a str,
    pub from: &'a str,
}

#[derive(Serialize)]
pub(super) struct LogHeader<'a> {
    at: u64,
    level: &'a str,
    target: &'a str,
    message: &'a str,
    fields: &'a Map<String, Value>,
}

impl<'a> From<&'a LogEntry> for LogHeader<'a> {
    fn from(entry: &'a LogEntry) -> Self {
        Self {
            at: entry.at,
            level: entry.level,
            target: entry.target,
            message: &entry.message,
            fields: &entry.fields,
        }
    }
}

/// JSON for a call that answers at once.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("headers are structs of strings and numbers")
}

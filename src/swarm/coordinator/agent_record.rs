//! A connected agent as JSON, with the names that JavaScript knows: for events, `agents()` and the path /agents.

use super::types::AgentInfo;
use serde::Serialize;
use std::collections::BTreeMap;

/// Fields as in `AgentInfo` of index.d.ts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRecord<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    agent_type: &'a str,
    capabilities: Vec<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    software: &'a str,
    connected_at: u64,
    last_seen_at: u64,
    running: u64,
    completed: u64,
    failed: u64,
    load: f64,
    memory_bytes: u64,
    rtt_ms: f64,
    remote_address: &'a str,
    transport: &'static str,
    key_exchange: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> AgentRecord<'a> {
    /// `reason`: why it left.
    pub fn new(agent: &'a AgentInfo, reason: Option<&'a str>) -> Self {
        Self {
            id: &agent.id,
            agent_type: &agent.agent_type,
            capabilities: agent.capabilities.iter().map(AsRef::as_ref).collect(),
            metadata: &agent.metadata,
            software: &agent.software,
            connected_at: agent.connected_at,
            last_seen_at: agent.last_seen_at,
            running: agent.running,
            completed: agent.completed,
            failed: agent.failed,
            load: agent.load,
            memory_bytes: agent.memory_bytes,
            rtt_ms: agent.rtt_ms,
            remote_address: &agent.remote_address,
            transport: "quic",
            key_exchange: &agent.key_exchange,
            reason,
        }
    }
}

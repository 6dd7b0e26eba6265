//! What of a coordinator's life goes into the audit log, and in which words (`docs/audit-log.md`).

use super::Shared;
use super::hub::Session;
use super::shared::fingerprint;
use crate::protocol::messages::Code;
use crate::protocol::tasks::{Change, Outcome, TaskRecord};
use crate::protocol::{AgentId, TaskId};
use crate::security::audit::{Action, Audit, AuditLog, AuditOptions, DIRECTORY, Entry, LONGEST_DETAIL};
use crate::security::{Peer, Refusal, Serial};
use crate::swarm::dial_errors;
use crate::swarm::error::SwarmError;
use quinn::ConnectionError;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// The program that runs the coordinator, and whoever runs the program.
pub(super) const OPERATOR: &str = "operator";

/// Whoever changes the register of the authority.
const AUTHORITY: &str = "authority";

/// What a change keeps in memory until it is written, beside payloads.
const CHANGE_BYTES: usize = 256;

/// Of the detail of an entry, for one of its two lists.
const LIST_BYTES: usize = LONGEST_DETAIL / 2 - 64;

/// The log in a data directory. This blocks.
pub(super) fn open(data_dir: &Path) -> Result<Arc<AuditLog>, SwarmError> {
    Ok(Arc::new(AuditLog::open(&data_dir.join(DIRECTORY), AuditOptions::default())?))
}

fn object(members: Value) -> Map<String, Value> {
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A session has begun.
pub(super) fn connected(peer: &Peer, session: &Session) -> Entry {
    let detail = json!({
        "address": session.out.connection().remote_address().to_string(),
        "keyExchange": &*session.key_exchange,
        "serial": peer.serial.as_str(),
        "software": &*session.software,
        "type": &*session.agent_type,
    });
    Entry {
        actor: peer.name.to_string(),
        action: Action::AgentConnected,
        object: peer.name.id().to_owned(),
        digest: Some(peer.fingerprint),
        detail: object(detail),
    }
}

/// A session has ended.
pub(super) fn disconnected(peer: &Peer, reason: &str) -> Entry {
    Entry {
        actor: peer.name.to_string(),
        action: Action::AgentDisconnected,
        object: peer.name.id().to_owned(),
        digest: Some(peer.fingerprint),
        detail: object(json!({ "reason": reason, "serial": peer.serial.as_str() })),
    }
}

/// Somebody was turned away; `reason` is one word.
pub(super) fn refused(peer: Option<&Peer>, from: SocketAddr, reason: &str, message: &str) -> Entry {
    let mut detail = object(json!({ "address": from.to_string(), "message": message }));
    if let Some(peer) = peer {
        detail.insert("serial".to_owned(), peer.serial.as_str().into());
    }
    Entry {
        actor: match peer {
            Some(peer) => peer.name.to_string(),
            None => format!("unauthenticated {}", from.ip()),
        },
        action: Action::PeerRefused,
        object: reason.to_owned(),
        digest: peer.map(|peer| peer.fingerprint),
        detail,
    }
}

/// What a handshake that failed says, where it was somebody's certificate, or protocol, that was refused. Anything else
/// is no more than packets.
pub(super) fn refused_in_handshake(error: &ConnectionError, from: SocketAddr) -> Option<Entry> {
    let ConnectionError::TransportError(error) = error else { return None };
    let alert = dial_errors::alert(error.code.into())?;
    match Refusal::of_alert(alert) {
        Some(refusal) => Some(refused(None, from, refusal.as_str(), &refusal.to_string())),
        None if alert == dial_errors::NO_APPLICATION_PROTOCOL => {
            Some(refused(None, from, "no_common_version", "it speaks no version that is spoken here"))
        }
        None => None,
    }
}

/// A peer with a good certificate that was turned away. One that left of its own accord was not.
pub(super) fn turned_away(peer: Option<&Peer>, from: SocketAddr, code: Code, message: &str) -> Option<Entry> {
    let reason = match code {
        Code::Unspecified | Code::Closed | Code::Draining => return None,
        Code::Unauthenticated => "unauthenticated",
        Code::Forbidden => "forbidden",
        Code::Protocol => "protocol",
        Code::Timeout => "timeout",
        Code::Overloaded => "overloaded",
        _ => "other",
    };
    Some(refused(peer, from, reason, message))
}

/// An agent was revoked by the program; `failed` is why that will not outlive this process.
pub(super) fn revoked(id: &str, reason: &str, failed: Option<&str>) -> Entry {
    let mut detail = Map::new();
    if !reason.is_empty() {
        detail.insert("reason".to_owned(), reason.into());
    }
    if let Some(failed) = failed {
        detail.insert("notKept".to_owned(), failed.into());
    }
    Entry { actor: OPERATOR.to_owned(), action: Action::Revoked, object: id.to_owned(), digest: None, detail }
}

/// A certificate was found to be taken back in the register: by this program, or by another that uses the authority.
pub(super) fn taken_back(serial: &Serial, id: &str) -> Entry {
    Entry {
        actor: AUTHORITY.to_owned(),
        action: Action::Revoked,
        object: serial.to_string(),
        digest: None,
        detail: object(json!({ "id": id })),
    }
}

/// A step of a key of a keyring of this program.
pub(super) fn key_changed(step: &str, key: &str) -> Entry {
    Entry {
        actor: OPERATOR.to_owned(),
        action: Action::KeyChanged,
        object: key.to_owned(),
        digest: None,
        detail: object(json!({ "step": step })),
    }
}

/// An identity that was issued to the coordinator or by it, or that the program gave it.
pub(super) fn identity(action: Action, actor: String, peer: &Peer) -> Entry {
    Entry {
        actor,
        action,
        object: peer.serial.to_string(),
        digest: Some(peer.fingerprint),
        detail: object(json!({ "name": peer.name.to_string(), "notAfter": peer.not_after })),
    }
}

/// What a commit has made durable, as far as it is for the log: the texts are made by the thread that writes it.
enum Fact {
    Accepted(Arc<TaskRecord>),
    Ended { task: TaskId, outcome: &'static str, agent: Option<AgentId> },
}

impl Fact {
    fn of(change: &Change) -> Option<Self> {
        match change {
            Change::Accept(record) => Some(Self::Accepted(record.clone())),
            Change::Finish { task, outcome, .. } => {
                let (outcome, agent) = match outcome.as_ref() {
                    Outcome::Completed { agent, .. } => ("completed", Some(agent.clone())),
                    Outcome::Failed { failure, .. } => ("failed", failure.agent.clone()),
                    Outcome::Cancelled => ("cancelled", None),
                };
                Some(Self::Ended { task: *task, outcome, agent })
            }
            Change::Lease { .. } | Change::Requeue { .. } | Change::Forget { .. } => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            // A payload that is hashed already is not needed.
            Self::Accepted(record) if record.digest.is_none() => CHANGE_BYTES + record.spec.payload.len(),
            _ => CHANGE_BYTES,
        }
    }
}

impl Shared {
    /// A batch of changes is durable.
    pub(super) fn audit_tasks(&self, changes: &[Change]) {
        let Some(log) = &self.audit_log else { return };
        let facts: Vec<Fact> = changes.iter().filter_map(Fact::of).collect();
        if facts.is_empty() {
            return;
        }
        let bytes = facts.iter().map(Fact::bytes).sum();
        let (actor, prefix) = (self.name.clone(), self.store_prefix.clone());
        log.note_made(bytes, Box::new(move || entries(&facts, &actor, &prefix)));
    }
}

/// One entry, or as many as it takes for each to stay within its bounds.
fn entries(facts: &[Fact], actor: &str, prefix: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let (mut accepted, mut ended, mut bytes) = (Vec::new(), Vec::new(), 0);
    for fact in facts {
        let (list, item) = match fact {
            Fact::Accepted(record) => {
                let digest =
                    record.digest.unwrap_or_else(|| fingerprint(&record.spec.kind, &record.spec.payload));
                let mut item = json!({
                    "task": public_id(prefix, record.id),
                    "kind": &*record.spec.kind,
                    "hash": crate::security::audit::hex_of_head(&digest),
                });
                if let Some(key) = &record.spec.key {
                    item["key"] = Value::from(&**key);
                }
                (&mut accepted, item)
            }
            Fact::Ended { task, outcome, agent } => {
                let mut item = json!({ "task": public_id(prefix, *task), "outcome": outcome });
                if let Some(agent) = agent {
                    item["agent"] = Value::from(&**agent);
                }
                (&mut ended, item)
            }
        };
        bytes += item.to_string().len() + 1;
        list.push(item);
        if bytes >= LIST_BYTES {
            entries.extend(batch(actor, &mut accepted, &mut ended));
            bytes = 0;
        }
    }
    entries.extend(batch(actor, &mut accepted, &mut ended));
    entries
}

fn batch(actor: &str, accepted: &mut Vec<Value>, ended: &mut Vec<Value>) -> Option<Entry> {
    if accepted.is_empty() && ended.is_empty() {
        return None;
    }
    let what = format!("{} accepted, {} ended", accepted.len(), ended.len());
    let mut detail = Map::new();
    for (name, list) in [("accepted", std::mem::take(accepted)), ("ended", std::mem::take(ended))] {
        if !list.is_empty() {
            detail.insert(name.to_owned(), Value::Array(list));
        }
    }
    Some(Entry { actor: actor.to_owned(), action: Action::Tasks, object: what, digest: None, detail })
}

/// As callers know the task.
pub(super) fn public_id(prefix: &str, task: TaskId) -> String {
    format!("{prefix}-{:x}", task.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tasks::{Phase, TaskSpec};
    use bytes::Bytes;

    fn accepted(id: u64, key: Option<&str>) -> Fact {
        let spec = TaskSpec {
            kind: "k\u{1}".repeat(64).into(),
            payload: Bytes::from_static(b"payload"),
            priority: 0,
            requires: Vec::new(),
            timeout_ms: None,
            attempt_timeout_ms: None,
            progress_timeout_ms: None,
            key: key.map(Arc::from),
            max_attempts: 1,
        };
        let digest = key.map(|_| [1; 32]);
        let phase = Phase::Queued { not_before: 0, error: None };
        let id = TaskId(id);
        let record = TaskRecord { id, spec, digest, accepted_at: 0, dispatches: 0, attempts: 0, phase };
        Fact::Accepted(Arc::new(record))
    }

    #[test]
    fn every_task_of_a_batch_is_in_exactly_one_entry_and_every_entry_fits() {
        let mut facts: Vec<Fact> = (0..1000).map(|id| accepted(id, None)).collect();
        facts.push(accepted(1000, Some(&"\u{1}".repeat(256))));
        facts.extend((0..1000).map(|id| Fact::Ended {
            task: TaskId(id),
            outcome: "failed",
            agent: Some(Arc::from("worker")),
        }));
        let entries = entries(&facts, "me", "ab");
        assert!(entries.len() > 5);
        let (mut seen, mut done) = (Vec::new(), 0);
        for entry in &entries {
            assert!(serde_json::to_string(&entry.detail).unwrap().len() <= LONGEST_DETAIL);
            for item in entry.detail.get("accepted").and_then(Value::as_array).into_iter().flatten() {
                seen.push(item["task"].as_str().unwrap().to_owned());
                let own = item.get("key").is_some();
                let hash = if own { [1; 32] } else { fingerprint(&"k\u{1}".repeat(64), b"payload") };
                assert_eq!(item["hash"], crate::security::audit::hex_of_head(&hash));
            }
            done += entry.detail.get("ended").and_then(Value::as_array).map_or(0, Vec::len);
        }
        assert_eq!(seen, (0..=1000u64).map(|id| format!("ab-{id:x}")).collect::<Vec<_>>());
        assert_eq!(done, 1000);
        assert_eq!(super::entries(&[], "me", "ab"), []);
    }

    #[test]
    fn refusals_name_whom_they_know() {
        let from: SocketAddr = "10.0.0.1:99".parse().unwrap();
        let entry = refused(None, from, "expired", "the certificate has expired");
        assert_eq!((&*entry.actor, &*entry.object), ("unauthenticated 10.0.0.1", "expired"));
        assert!(refused_in_handshake(&ConnectionError::TimedOut, from).is_none());
        assert!(turned_away(None, from, Code::Unspecified, "it left").is_none());
        assert_eq!(turned_away(None, from, Code::Forbidden, "no").unwrap().object, "forbidden");
    }
}

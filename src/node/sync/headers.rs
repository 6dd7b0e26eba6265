//! What the facade is told, as JSON.

use super::engine::{Engine, Notice};
use crate::sync::replica::{Event, Reason};
use serde::Serialize;

/// A notice.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
enum NoticeHeader {
    Applied {
        from: String,
        table: String,
        rows: u64,
    },
    Conflict {
        table: String,
        kept: &'static str,
    },
    SchemaMismatch {
        table: String,
        detail: String,
    },
    Forked {
        from: String,
        to: String,
        reason: &'static str,
    },
    Progress {
        peer: String,
        done: u64,
        total: u64,
    },
    /// Of a link, for those who wait.
    LinkRefused {
        code: &'static str,
        message: String,
    },
    /// Of what is sealed.
    Refused {
        code: &'static str,
        from: String,
        table: Option<String>,
        message: String,
    },
}

/// Notices in the order in which they happened.
pub(super) struct Notices;

impl Notices {
    pub(super) fn json(notices: Vec<Notice>) -> String {
        let headers: Vec<NoticeHeader> = notices.into_iter().filter_map(header).collect();
        serde_json::to_string(&headers).expect("strings and numbers are JSON")
    }
}

fn header(notice: Notice) -> Option<NoticeHeader> {
    Some(match notice {
        Notice::Progress(peer, done, total) => NoticeHeader::Progress { peer, done, total },
        Notice::Refused(error) => {
            NoticeHeader::LinkRefused { code: error.code.as_str(), message: error.message }
        }
        Notice::Sealing(from, message) => {
            NoticeHeader::Refused { code: "DECRYPT", from, table: None, message }
        }
        Notice::Replica(from, event) => match event {
            Event::Applied { table, rows } => NoticeHeader::Applied { from, table, rows },
            Event::Conflict { table, kept_local } => {
                NoticeHeader::Conflict { table, kept: if kept_local { "local" } else { "remote" } }
            }
            Event::SchemaMismatch { table, detail } => NoticeHeader::SchemaMismatch { table, detail },
            Event::Forked { from, to, restored } => NoticeHeader::Forked {
                from: from.to_string(),
                to: to.to_string(),
                reason: if restored { "restored" } else { "cloned" },
            },
            Event::Refused { table, gid } => NoticeHeader::Refused {
                code: "DECRYPT",
                from,
                message: format!(
                    "a row of {table} was not taken in: it is not what was sealed for its place (gid {gid})"
                ),
                table: Some(table),
            },
            // Those have a way of their own, since they hold bytes.
            Event::Vectors { .. } => return None,
        },
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PeerHeader {
    id: String,
    connected: bool,
    behind: u64,
    missing: u64,
    last_applied_at: u64,
    lag_ms: u64,
}

#[derive(Serialize)]
struct WaitingHeader {
    table: String,
    reason: &'static str,
    rows: u64,
}

fn waiting((table, reason, rows): &(String, Reason, u64)) -> WaitingHeader {
    WaitingHeader { table: table.clone(), reason: reason.as_str(), rows: *rows }
}

/// `SyncStatus`, less what the facade knows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusHeader {
    node_id: String,
    peers: Vec<PeerHeader>,
    pending: u64,
    sent_rows: u64,
    applied_rows: u64,
    conflicts: u64,
    bytes_in: u64,
    bytes_out: u64,
    parked_tables: Vec<String>,
    waiting: Vec<WaitingHeader>,
    missing_keys: Vec<String>,
    forked_from: Option<String>,
}

impl StatusHeader {
    pub(super) fn json(engine: &Engine) -> String {
        let (sent_rows, applied_rows, conflicts) = engine.totals();
        let (pending, parked, forked_from) = engine.waiting();
        let peers = engine.peers().into_iter().map(|(id, peer)| PeerHeader {
            id,
            connected: peer.connected,
            behind: peer.status.behind,
            missing: peer.status.missing,
            last_applied_at: peer.status.last_applied_ms,
            lag_ms: peer.status.lag_ms,
        });
        let header = Self {
            node_id: engine.own().to_string(),
            peers: peers.collect(),
            pending,
            sent_rows,
            applied_rows,
            conflicts,
            bytes_in: engine.bytes_in,
            bytes_out: engine.bytes_out,
            parked_tables: parked.to_vec(),
            waiting: engine.by_reason().iter().map(waiting).collect(),
            missing_keys: engine.missing_keys(),
            forked_from: forked_from.map(|origin| origin.to_string()),
        };
        serde_json::to_string(&header).expect("strings and numbers are JSON")
    }
}

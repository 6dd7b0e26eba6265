//! Numbers for operators, as Prometheus text.

use super::coordinator::SwarmStats;
use crate::protocol::messages::Code;
use crate::protocol::tasks::Outcome;
use crate::security::Refusal;

/// Everything that a coordinator counts beside its ledger.
pub(super) struct Metrics;

impl Metrics {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn refused(&self, _: Refusal) {}

    pub(super) fn handshake_failed(&self, _: &quinn::ConnectionError) {}

    pub(super) fn handshake_timed_out(&self) {}

    pub(super) fn turned_away(&self, _: Code) {}

    pub(super) fn settled(&self, _: &str, _: &Outcome) {}

    pub(super) fn retried(&self, _: &str) {}

    pub(super) fn text(&self, _: &SwarmStats) -> String {
        String::new()
    }
}

//! Numbers for operators, as Prometheus text (exposition format 0.0.4).
//!
//! Durations are in milliseconds, as the names of this project's first plans have them. A label for the kind of a task
//! has a bounded number of values: kinds are the programs' own words.

mod sync;

use super::coordinator::SwarmStats;
use super::dial_errors;
use crate::protocol::frame::INLINE_PAYLOAD_BYTES;
use crate::protocol::messages::Code;
use crate::protocol::tasks::{FailureCode, Outcome};
use crate::protocol::value::{Node, Value};
use crate::security::Refusal;
use crate::security::audit::AuditCounts;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use sync::SyncMetrics;

/// Kinds with a label of their own; the others share one.
const MAX_KINDS: usize = 256;
/// What those share.
const OTHER_KINDS: &str = "other";

/// From one millisecond, the resolution of run times, to a minute.
const DURATIONS_MS: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4];
/// Where verdicts on matches change their consequences (0.3, 0.7, 0.8), and between.
const QUALITIES: &[f64] = &[0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0];

/// Similarities and scores: 0 to 1.
const SHARES: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];

/// What does not work at the moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Failing {
    /// The task store refuses to commit.
    pub(super) store: bool,
    /// The register of the authority cannot be read.
    pub(super) register: bool,
    /// The audit log cannot be written, or entries were lost.
    pub(super) audit: bool,
    /// The store of the sync relay does not work.
    pub(super) relay: bool,
}

/// What is read when somebody asks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Present {
    pub(super) failing: Failing,
    /// None without an audit log.
    pub(super) audit: Option<AuditCounts>,
    /// End of the coordinator's certificate.
    pub(super) identity_ends_ms: u64,
}

/// Everything that a coordinator counts beside its ledger.
pub(super) struct Metrics {
    registry: Registry,
    matches: IntCounter,
    match_duration: Histogram,
    dtw_duration: Histogram,
    lcs_duration: Histogram,
    similarity: Histogram,
    quality: Histogram,
    agents: IntGauge,
    queued: IntGauge,
    running: IntGauge,
    dead_letters: IntGauge,
    completed: IntCounterVec,
    failed: IntCounterVec,
    cancelled: IntCounter,
    retried: IntCounterVec,
    queue_time: HistogramVec,
    run_time: HistogramVec,
    handshakes: IntCounterVec,
    knocks: IntCounterVec,
    turned_away: IntCounterVec,
    enrolments: IntCounterVec,
    received: IntCounter,
    sent: IntCounter,
    uptime: IntGauge,
    store_failing: IntGauge,
    register_failing: IntGauge,
    identity_ends: IntGauge,
    audit_failing: IntGauge,
    audit_entries: IntCounter,
    audit_lost: IntCounter,
    pub(super) sync: SyncMetrics,
    relay_failing: IntGauge,
    kinds: Mutex<HashSet<String>>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self::register(Registry::new())
            .expect("the names and labels below are valid, and each stands there once")
    }

    fn register(registry: Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let histograms = |name: &str, help: &str| {
            let opts = HistogramOpts::new(name, help).buckets(DURATIONS_MS.to_vec());
            let histograms = HistogramVec::new(opts, &["kind"])?;
            registry.register(Box::new(histograms.clone()))?;
            Ok::<_, prometheus::Error>(histograms)
        };
        Ok(Self {
            matches: counter(
                "midstreamer_pattern_matches_total",
                "Patterns found by library.search and dtw.nearest, in results of at most 64 KiB",
            )?,
            match_duration: histogram(
                "midstreamer_pattern_match_duration_ms",
                "Run time of library.search and dtw.nearest at the agent",
                DURATIONS_MS,
            )?,
            dtw_duration: histogram(
                "midstreamer_dtw_duration_ms",
                "Run time of dtw and dtw.matrix at the agent",
                DURATIONS_MS,
            )?,
            lcs_duration: histogram(
                "midstreamer_lcs_duration_ms",
                "Run time of lcs and lcs.matrix at the agent",
                DURATIONS_MS,
            )?,
            similarity: histogram(
                "midstreamer_pattern_similarity",
                "Similarity of the best match of each library.search",
                SHARES,
            )?,
            quality: histogram(
                "reasoningbank_quality_score",
                "Quality of the verdicts of a learner that is attached to the coordinator",
                QUALITIES,
            )?,
            agents: gauge("quic_active_agents", "Agents connected")?,
            queued: gauge("midstreamer_tasks_queued", "Tasks that wait for an agent")?,
            running: gauge("midstreamer_tasks_running", "Tasks that an agent has")?,
            dead_letters: gauge("midstreamer_dead_letters", "Failed tasks that are kept")?,
            completed: counters("midstreamer_tasks_completed_total", "Tasks with a result, by kind", "kind")?,
            failed: counters(
                "midstreamer_tasks_failed_total",
                "Tasks that failed for good, by reason",
                "reason",
            )?,
            cancelled: counter("midstreamer_tasks_cancelled_total", "Tasks that somebody cancelled")?,
            retried: counters(
                "midstreamer_task_retries_total",
                "Attempts that failed and were followed by another, by kind",
                "kind",
            )?,
            queue_time: histograms(
                "midstreamer_task_queue_duration_ms",
                "From acceptance to the last dispatch, by kind",
            )?,
            run_time: histograms(
                "midstreamer_task_run_duration_ms",
                "Run time of the successful attempt, by kind",
            )?,
            handshakes: counters(
                "midstreamer_handshake_failures_total",
                "Connections that did not come about, by reason",
                "reason",
            )?,
            knocks: counters(
                "midstreamer_connection_attempts_total",
                "Attempts to connect, by what was decided before a handshake was computed",
                "decision",
            )?,
            turned_away: counters(
                "midstreamer_sessions_refused_total",
                "Connected peers that were turned away, by code",
                "code",
            )?,
            enrolments: counters(
                "midstreamer_enrolments_total",
                "Machines that came with a join token, or without one, by outcome",
                "outcome",
            )?,
            received: counter("midstreamer_received_bytes_total", "Bytes of frames from agents")?,
            sent: counter("midstreamer_sent_bytes_total", "Bytes of frames to agents")?,
            uptime: gauge("midstreamer_uptime_ms", "Since the start")?,
            store_failing: gauge("midstreamer_store_failing", "1 while the task store refuses to commit")?,
            register_failing: gauge(
                "midstreamer_register_failing",
                "1 while the register of the authority cannot be read",
            )?,
            identity_ends: gauge(
                "midstreamer_identity_not_after_seconds",
                "End of the certificate of the coordinator, in seconds since the Unix epoch",
            )?,
            audit_failing: gauge(
                "midstreamer_audit_failing",
                "1 while the audit log cannot be written, or does not tell yet of entries that were lost",
            )?,
            audit_entries: counter("midstreamer_audit_entries_total", "Entries written to the audit log")?,
            audit_lost: counter(
                "midstreamer_audit_entries_lost_total",
                "Entries that the audit log could not take; those that somebody waited for were refused",
            )?,
            sync: SyncMetrics::register(&registry)?,
            relay_failing: gauge(
                "midstreamer_sync_relay_failing",
                "1 while the store of the sync relay does not work",
            )?,
            kinds: Mutex::default(),
            registry,
        })
    }

    /// A certificate that this side refused.
    pub(super) fn refused(&self, refusal: Refusal) {
        self.handshakes.with_label_values(&[refusal.as_str()]).inc();
    }

    /// What was decided about an attempt to connect.
    pub(super) fn knocked(&self, decision: &str) {
        self.knocks.with_label_values(&[decision]).inc();
    }

    /// A handshake that failed. One that we ended over a certificate was counted by [`refused`](Self::refused).
    pub(super) fn handshake_failed(&self, error: &quinn::ConnectionError) {
        let reason = match error {
            quinn::ConnectionError::TransportError(error) => match dial_errors::alert(error.code.into()) {
                Some(alert) => match Refusal::of_alert(alert) {
                    // The verifier is not asked about a certificate that is not there.
                    Some(Refusal::NoCertificate) => Refusal::NoCertificate.as_str(),
                    Some(_) => return,
                    None if alert == dial_errors::NO_APPLICATION_PROTOCOL => "no_common_version",
                    None => "tls",
                },
                None => "transport",
            },
            quinn::ConnectionError::ConnectionClosed(_) => "refused_by_peer",
            quinn::ConnectionError::TimedOut => "timeout",
            _ => "other",
        };
        self.handshakes.with_label_values(&[reason]).inc();
    }

    pub(super) fn handshake_timed_out(&self) {
        self.handshakes.with_label_values(&["timeout"]).inc();
    }

    pub(super) fn turned_away(&self, code: Code) {
        let code = match code {
            Code::Unspecified => "left",
            Code::Protocol => "protocol",
            Code::Unauthenticated => "unauthenticated",
            Code::Forbidden => "forbidden",
            Code::SessionReplaced => "session_replaced",
            Code::Overloaded => "overloaded",
            Code::Draining => "draining",
            Code::Closed => "closed",
            Code::Timeout => "timeout",
            Code::Store => "store",
            Code::Internal => "internal",
            Code::NotFound => "not_found",
        };
        self.turned_away.with_label_values(&[code]).inc();
    }

    /// Somebody wanted to enrol.
    pub(super) fn enrolled(&self, outcome: &str) {
        self.enrolments.with_label_values(&[outcome]).inc();
    }

    /// A task has its outcome.
    pub(super) fn settled(&self, kind: &str, outcome: &Outcome) {
        match outcome {
            Outcome::Completed { value, queued_ms, run_ms, .. } => {
                let (queued_ms, run_ms) = (*queued_ms as f64, *run_ms as f64);
                let label = self.label(kind);
                self.completed.with_label_values(&[label]).inc();
                self.queue_time.with_label_values(&[label]).observe(queued_ms);
                self.run_time.with_label_values(&[label]).observe(run_ms);
                match kind {
                    "dtw" | "dtw.matrix" | "midstreamer.dtw.tile" => self.dtw_duration.observe(run_ms),
                    "lcs" | "lcs.matrix" | "midstreamer.lcs.tile" => self.lcs_duration.observe(run_ms),
                    "library.search" | "dtw.nearest" => {
                        self.match_duration.observe(run_ms);
                        self.found(value);
                    }
                    _ => {}
                }
            }
            Outcome::Failed { failure, .. } => {
                let reason = match failure.code {
                    FailureCode::Handler => "handler",
                    FailureCode::AgentLost => "agent_lost",
                    FailureCode::AttemptTimeout => "attempt_timeout",
                    FailureCode::Timeout => "timeout",
                    FailureCode::NoAgent => "no_agent",
                    FailureCode::TooLarge => "too_large",
                };
                self.failed.with_label_values(&[reason]).inc();
            }
            Outcome::Cancelled => self.cancelled.inc(),
        }
    }

    /// What a search has found: a list of matches, the best one first.
    fn found(&self, value: &bytes::Bytes) {
        // Under the lock of the whole coordinator: a long list is not looked at.
        if value.len() > INLINE_PAYLOAD_BYTES {
            return;
        }
        let Ok(value) = Value::decode(value) else { return };
        let Some(Node::List(list)) = value.root() else { return };
        self.matches.inc_by(list.len() as u64);
        if let Some(best) = list.get(0).and_then(|best| best.get("similarity")?.number()) {
            self.similarity.observe(best);
        }
    }

    pub(super) fn quality(&self, quality: f64) {
        self.quality.observe(quality);
    }

    pub(super) fn retried(&self, kind: &str) {
        self.retried.with_label_values(&[self.label(kind)]).inc();
    }

    fn label<'a>(&self, kind: &'a str) -> &'a str {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.contains(kind) {
            return kind;
        }
        if kinds.len() >= MAX_KINDS {
            return OTHER_KINDS;
        }
        kinds.insert(kind.to_owned());
        kind
    }

    /// All of it, with the numbers of this moment.
    pub(super) fn text(&self, stats: &SwarmStats, present: &Present) -> String {
        let Present { failing, audit, identity_ends_ms } = *present;
        let set = |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.agents, stats.agents);
        set(&self.queued, stats.queued);
        set(&self.running, stats.running);
        set(&self.dead_letters, stats.dead_lettered);
        let count = |counter: &IntCounter, total: u64| counter.inc_by(total.saturating_sub(counter.get()));
        count(&self.received, stats.bytes_in);
        count(&self.sent, stats.bytes_out);
        set(&self.uptime, stats.uptime_ms);
        set(&self.store_failing, u64::from(failing.store));
        set(&self.relay_failing, u64::from(failing.relay));
        set(&self.register_failing, u64::from(failing.register));
        set(&self.identity_ends, identity_ends_ms / 1000);
        set(&self.audit_failing, u64::from(failing.audit));
        if let Some(audit) = audit {
            count(&self.audit_entries, audit.entries);
            count(&self.audit_lost, audit.lost);
        }
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                String::new()
            }
        }
    }
}

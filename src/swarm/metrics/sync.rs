//! Numbers about AgentDB sync: what the relay of a coordinator carries.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Databases with a label of their own; the others share one. Names of databases are the programs' own words.
const MAX_DATABASES: usize = 64;
/// What those share.
const OTHER_DATABASES: &str = "other";

/// From nodes next door to those that were away for a day.
const AGES_MS: &[f64] = &[1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 5e3, 6e4, 3.6e6, 8.64e7];

/// From memory to a disk that is busy.
const COMMITS_MS: &[f64] = &[0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 5e3];

/// See the module.
pub(in crate::swarm) struct SyncMetrics {
    messages_in: IntCounter,
    messages_out: IntCounter,
    bytes_in: IntCounter,
    bytes_out: IntCounter,
    links: IntGaugeVec,
    latency: Histogram,
    commit: Histogram,
    databases: Mutex<HashSet<String>>,
}

impl SyncMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let directions = |name: &str, help: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &["direction"])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(
                ["in", "out"].map(|direction| counters.with_label_values(&[direction])),
            )
        };
        let [messages_in, messages_out] = directions(
            "midstreamer_sync_messages_total",
            "Messages of AgentDB sync, from nodes and to them",
        )?;
        let [bytes_in, bytes_out] =
            directions("midstreamer_sync_bytes_total", "Bytes of these messages, from nodes and to them")?;
        let opts = Opts::new("midstreamer_sync_links", "Nodes that replicate through the relay, by database");
        let links = IntGaugeVec::new(opts, &["database"])?;
        registry.register(Box::new(links.clone()))?;
        let opts = HistogramOpts::new(
            "agentdb_sync_latency_ms",
            "How old what came was when the relay merged it, by the clocks of node and relay",
        );
        let latency = Histogram::with_opts(opts.buckets(AGES_MS.to_vec()))?;
        registry.register(Box::new(latency.clone()))?;
        let opts = HistogramOpts::new(
            "midstreamer_sync_commit_duration_ms",
            "From the arrival of a message to the commit after which the relay passes on what it brought",
        );
        let commit = Histogram::with_opts(opts.buckets(COMMITS_MS.to_vec()))?;
        registry.register(Box::new(commit.clone()))?;
        let databases = Mutex::default();
        Ok(Self { messages_in, messages_out, bytes_in, bytes_out, links, latency, commit, databases })
    }

    /// A message has come.
    pub(in crate::swarm) fn received(&self, bytes: usize) {
        self.messages_in.inc();
        self.bytes_in.inc_by(bytes as u64);
    }

    /// One is on its way to a node.
    pub(in crate::swarm) fn sent(&self, bytes: usize) {
        self.messages_out.inc();
        self.bytes_out.inc_by(bytes as u64);
    }

    /// A node has opened a link for a database (1), or it is gone (-1).
    pub(in crate::swarm) fn link(&self, database: &str, change: i64) {
        self.links.with_label_values(&[self.label(database)]).add(change);
    }

    /// What came was so old when it was merged.
    pub(in crate::swarm) fn merged(&self, ms: u64) {
        self.latency.observe(ms as f64);
    }

    /// What a message brought is durable, so long after it came.
    pub(in crate::swarm) fn committed(&self, ms: f64) {
        self.commit.observe(ms);
    }

    /// The same for one database as long as the process lives: what is new after the last place never gets one.
    fn label<'a>(&self, database: &'a str) -> &'a str {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        if databases.contains(database) {
            return database;
        }
        if databases.len() >= MAX_DATABASES {
            return OTHER_DATABASES;
        }
        databases.insert(database.to_owned());
        database
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Encoder, TextEncoder};

    #[test]
    fn databases_have_so_many_labels_and_no_more() {
        let registry = Registry::new();
        let metrics = SyncMetrics::register(&registry).unwrap();
        for _ in 0..2 {
            (0..1000).for_each(|at| metrics.link(&format!("database-{at}"), 1));
            (0..1000).for_each(|at| metrics.link(&format!("database-{at}"), -1));
        }
        metrics.link("late", 1);
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("midstreamer_sync_links{")).collect();
        assert_eq!(lines.len(), MAX_DATABASES + 1);
        assert!(lines.contains(&"midstreamer_sync_links{database=\"other\"} 1"), "{text}");
        assert_eq!(lines.iter().filter(|line| line.ends_with(" 0")).count(), MAX_DATABASES);
    }
}

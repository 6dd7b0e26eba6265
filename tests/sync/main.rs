//! Replication of AgentDB databases: replicas on real SQLite, sessions and relays, in simulations with a seed.

#![allow(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, with its place")]

mod agentdb;
mod capture;
mod cluster;
mod content;
mod model;
mod schema;
mod sealed;
mod sessions;
mod sqlite;
mod stubborn;
mod wire;

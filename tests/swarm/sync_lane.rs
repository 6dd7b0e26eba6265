//! The sync lane over real QUIC on loopback, with an engine in the coordinator that a test can make fail.

pub(crate) mod engine;
mod hostile;
mod links;
mod stopped;

//! The native core of `@neural-trader/midstreamer`: exact dynamic time warping, longest common subsequence and
//! the family of elastic distances, near the limit of the hardware.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`series`] | what a valid input is: checked once, at the edge |
//! | [`kernels`] | slices in, numbers out; no thread, no clock, no file |
//! | [`search`] | one query against many, matrices; the only place with compute threads |
//! | [`learn`] | which matches pay, and how sure that is: a function of the set of events; no clock, file, thread or dice |
//! | [`protocol`] | the swarm as state machines: frames, sessions, tasks and leases; no socket, clock or thread |
//! | [`security`] | the certificate authority, identities, and who is trusted |
//! | [`store`] | where the swarm keeps its tasks: memory, or a file that survives the process |
//! | [`sync`] | replication of AgentDB databases as state machines, on a database that is a trait |
//! | [`bank`] | a learner with its file, on a thread of its own |
//! | [`swarm`] | coordinator and agent over QUIC; the only place with sockets |
//! | `node` | the JavaScript surface (feature `node`): convert, call, convert |
//!
//! Every result is exact in the sense of `docs/conventions.md`: the same bits for every SIMD level, thread count
//! and batch shape.

pub mod bank;
pub mod kernels;
pub mod learn;
pub mod protocol;
pub mod search;
pub mod security;
pub mod series;
pub mod store;
pub mod swarm;
pub mod sync;

#[cfg(feature = "node")]
mod node;

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
//! | `calls` | what JavaScript calls of kernels and searches: arguments checked and made into work |
//! | `node` | the surface for Node.js (feature `node`): convert, call, convert |
//! | `web` | the surface for WebAssembly: kernels and searches alone |
//!
//! Every result is exact in the sense of `docs/conventions.md`: the same bits for every SIMD level, thread count
//! and batch shape.

pub mod kernels;
pub mod search;
pub mod series;

// What needs sockets, files or threads of its own, and what is of use only beside those.
#[cfg(not(target_family = "wasm"))]
pub mod bank;
#[cfg(not(target_family = "wasm"))]
pub mod learn;
#[cfg(not(target_family = "wasm"))]
pub mod protocol;
#[cfg(not(target_family = "wasm"))]
pub mod security;
#[cfg(not(target_family = "wasm"))]
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub mod swarm;
#[cfg(not(target_family = "wasm"))]
pub mod sync;

#[cfg(any(feature = "node", target_family = "wasm"))]
mod calls;
#[cfg(feature = "node")]
mod node;
#[cfg(target_family = "wasm")]
mod web;

//! Coordinator and agent over QUIC: the state machines of [`crate::protocol`] with sockets, clocks and threads.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`coordinator`] | accepts tasks, gives them to agents, keeps their outcomes |
//! | [`agent`] | dials a coordinator and runs what it is given |
//! | [`enrolment`] | a join token for an identity |
//! | `kinds` | tasks that run without the application: the kernels |
//! | `lanes` | the streams of a connection |
//! | [`logs`] | what is reported, for whoever listens |
//! | `network` | the threads, sockets and settings of QUIC |
//! | `renewal` | when an identity is renewed, and who keeps it |
//! | `metrics`, `http` | numbers for operators, and where they are read |
//! | `pace` | how slowly a frame may arrive |
//! | [`sync`] | links for the messages of AgentDB sync |
//! | `dial_errors` | TLS alerts inside QUIC errors |

pub mod agent;
mod clock;
pub mod coordinator;
mod dial_errors;
pub mod enrolment;
mod error;
mod http;
pub mod kinds;
mod lanes;
pub mod logs;
mod metrics;
mod network;
mod once;
mod pace;
mod renewal;
pub mod sync;

pub use agent::Agent;
pub use coordinator::Coordinator;
pub use error::{SwarmCode, SwarmError, TaskFailure};
pub use renewal::{IdentityListener, Kept};

//! The swarm from outside: its state machines under simulation, its parsers under fire, its parts over real sockets; and
//! what is kept on a disk, by the swarm and by a learner.

#![allow(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, with its place")]

mod attacks;
mod audit;
mod bank;
mod corpus;
mod enrolment;
mod frames;
mod fuzz;
mod hostile;
mod keyring;
mod kinds;
mod live;
mod schema;
mod security;
mod session;
mod simulation;
mod store;
mod sync_direct;
mod sync_lane;
mod trust;
mod value;

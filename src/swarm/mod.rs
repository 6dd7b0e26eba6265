//! Coordinator and agent over QUIC: the state machines of [`crate::protocol`] with sockets, clocks and threads.

pub mod kinds;

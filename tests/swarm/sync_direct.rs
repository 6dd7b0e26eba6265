//! Direct links between two nodes over real QUIC on loopback.

mod framing;
mod hostile;
mod links;

//! Enrolment over QUIC: an endpoint of its own, where machines without an identity exchange a join token for one. The
//! protocol is [`crate::protocol::enrolment`], the trust [`crate::security::Pinned`].
//!
//! | module | what it is |
//! | --- | --- |
//! | [`server`] | the endpoint of a coordinator |
//! | [`limits`] | how often an address may try |
//! | [`client`] | what a new machine does |

mod client;
mod limits;
mod server;

pub use client::{EnrolConfig, Enrolling, enrol};
pub(super) use server::{Answer, Endpoint, Refused, Registrar};

use quinn::{IdleTimeout, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// From the first packet of a connection to the end of the question.
const ASK: Duration = Duration::from_secs(5);

/// From there to the answer: the authority may wait for its turn, and for its disk.
const ANSWER: Duration = Duration::from_secs(15);

/// The machine shows that it is still there, so that nothing is decided for somebody who has gone.
const ALIVE: Duration = Duration::from_secs(1);

/// What a stream may have in flight: a question or an answer.
const WINDOW: u32 = 1 << 17;

/// One stream, and nothing for long: whoever is silent is forgotten soon.
fn transport(streams: u32, idle: Duration, alive: Option<Duration>) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let idle = IdleTimeout::try_from(idle).unwrap_or_else(|_| IdleTimeout::from(VarInt::MAX));
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(alive)
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .datagram_receive_buffer_size(None);
    Arc::new(config)
}

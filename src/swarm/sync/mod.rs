//! Links: how the messages of AgentDB sync get from one node to another. Opaque, at most 256 KiB each, in order, and each
//! at most once; what was on its way when a link went down is lost, and the sessions above send it again.
//!
//! A link is one connection for one database. There are two kinds: through the coordinator of an agent, whose relay stores
//! and forwards (docs/protocol.md, the sync lane), and directly between two nodes (the same document, direct links).
//!
//! | module | what it is |
//! | --- | --- |
//! | `mailbox` | what the links of a database have to tell |
//! | `links` | all links of one database |
//! | `outbox` | what is on its way into one stream, and how much of it there may be |
//! | `databases` | the databases of one agent |
//! | `lane` | the sync lane of an agent's connection |
//! | `direct` | a direct link, once both sides know each other |
//! | `listen`, `connect` | how that comes about |
//! | `seal` | rows that are sealed with a keyring |

mod connect;
pub(in crate::swarm) mod databases;
mod direct;
pub(in crate::swarm) mod lane;
mod links;
mod listen;
mod mailbox;
pub(in crate::swarm) mod outbox;
mod seal;

pub use links::Links;
pub use mailbox::{LinkEvent, Mailbox};
pub use seal::KeyringSeal;

use crate::protocol::frame::SYNC_MESSAGE_BYTES;
use crate::security::peer_of;
use crate::swarm::error::SwarmCode;
use quinn::Connection;
use rustls_pki_types::CertificateDer;

/// The longest message of a link, in bytes.
pub const LONGEST_MESSAGE: usize = SYNC_MESSAGE_BYTES;

/// Whether a link that went down for this reason stays down: the other side would say the same again.
pub fn is_final(code: SwarmCode) -> bool {
    code.is_final() || matches!(code, SwarmCode::NotFound | SwarmCode::Closed)
}

/// Who is at the other end: the id in the certificate that was verified in the handshake.
fn peer_id(connection: &Connection) -> String {
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    // Both sides have certificates, always, and both were read when they were verified.
    chain.and_then(|chain| peer_of(&chain).ok()).map_or_else(String::new, |peer| peer.name.id().to_owned())
}

//! What the relay thread drives: [`crate::sync::relay`], or whatever a test puts in its place.

use crate::protocol::messages::Code;
use crate::store::RedbRelayStore;
use crate::sync::relay::{LinkError, MemoryRelayStore, Relay, RelayStore, RelayStoreError};
use crate::sync::wire;
use std::path::Path;
use std::sync::Arc;

/// What a coordinator does with the messages of AgentDB sync: stores them, and forwards them to those who are there. Called by
/// one thread, which may wait for files. It knows no sockets: a link is a number, which is never used twice.
pub trait RelayEngine: Send {
    /// A node has opened a link for a database. `node` is the id in its certificate; `now_ms` counts from the Unix epoch.
    fn joined(&mut self, link: u64, node: &str, database: &str, now_ms: u64);

    /// A message of a link. An error closes the link; [`left`](Self::left) follows.
    fn message(&mut self, link: u64, bytes: &[u8], now_ms: u64) -> Result<(), LinkFailure>;

    /// A link is gone.
    fn left(&mut self, link: u64);

    /// Called several times a second.
    fn tick(&mut self, now_ms: u64);

    /// Works on what has come, as much as is good for one turn, and makes it durable. After an error the engine is dropped and
    /// opened anew, and every link is closed; the words are for the operator.
    fn commit(&mut self) -> Result<(), String>;

    /// Whether that has left something to do: the next turn need not wait for a message.
    fn is_busy(&self) -> bool;

    /// What is to be sent, in order: links and messages of at most 256 KiB. Asked after [`commit`](Self::commit) alone.
    fn take_outgoing(&mut self) -> Vec<(u64, Vec<u8>)>;

    /// Links that are to be closed for what was found in a commit; [`left`](Self::left) follows for each.
    fn take_failed(&mut self) -> Vec<(u64, LinkFailure)>;

    /// How old what came was when it was merged, in milliseconds: for metrics.
    fn take_latencies_ms(&mut self) -> Vec<u64>;
}

/// Why a link is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFailure {
    /// What the node is told.
    pub code: Code,
    /// In words.
    pub message: String,
}

/// Opens an engine on its store in the data directory; in memory without one. The words of an error are for the operator.
pub type RelayOpener = Arc<dyn Fn(Option<&Path>) -> Result<Box<dyn RelayEngine>, String> + Send + Sync>;

/// Opens relays.
pub(in crate::swarm::coordinator) fn opener() -> RelayOpener {
    Arc::new(|directory| {
        let failed = |error: RelayStoreError| error.to_string();
        let store: Box<dyn RelayStore> = match directory {
            Some(directory) => Box::new(RedbRelayStore::open(directory).map_err(failed)?),
            None => {
                let mut epoch = [0; 16];
                aws_lc_rs::rand::fill(&mut epoch).map_err(|_| "no randomness".to_owned())?;
                // A new number tells the nodes that what they were told was kept is to be sent again.
                Box::new(MemoryRelayStore::new(epoch))
            }
        };
        let relay = Relay::new(store).map_err(failed)?;
        Ok(Box::new(relay))
    })
}

impl From<LinkError> for LinkFailure {
    fn from(LinkError { code, message }: LinkError) -> Self {
        let code = match code {
            wire::Code::Closed => Code::Closed,
            wire::Code::Database | wire::Code::Sealing => Code::NotFound,
            wire::Code::TooLarge => Code::Overloaded,
            wire::Code::Store => Code::Store,
            // Another format, more than the window, and what a later version knows.
            _ => Code::Protocol,
        };
        Self { code, message }
    }
}

impl RelayEngine for Relay {
    fn joined(&mut self, link: u64, node: &str, database: &str, now_ms: u64) {
        Self::joined(self, link, node, database, now_ms);
    }

    fn message(&mut self, link: u64, bytes: &[u8], now_ms: u64) -> Result<(), LinkFailure> {
        Self::message(self, link, bytes, now_ms).map_err(LinkFailure::from)
    }

    fn left(&mut self, link: u64) {
        Self::left(self, link);
    }

    fn tick(&mut self, now_ms: u64) {
        Self::tick(self, now_ms);
    }

    fn commit(&mut self) -> Result<(), String> {
        Self::commit(self).map_err(|error| error.to_string())
    }

    fn is_busy(&self) -> bool {
        Self::is_busy(self)
    }

    fn take_outgoing(&mut self) -> Vec<(u64, Vec<u8>)> {
        Self::take_outgoing(self)
    }

    fn take_failed(&mut self) -> Vec<(u64, LinkFailure)> {
        Self::take_failed(self).into_iter().map(|(link, error)| (link, error.into())).collect()
    }

    fn take_latencies_ms(&mut self) -> Vec<u64> {
        Self::take_latencies_ms(self)
    }
}

//! The store in the middle: nodes write to it and read from it, whether the others are there at the time or not. One relay has
//! any number of databases, and a session for each link of a node. It merges by stamps, and looks into no body.
//!
//! Links bring messages ([`Relay::message`]); [`Relay::commit`] works on all that has come, makes it durable at once (group
//! commit), and only then lets out what follows ([`Relay::take_outgoing`]).
//!
//! | module | what it is |
//! | --- | --- |
//! | `store` | where it is kept: a few ordered tables |
//! | `memory` | in memory, for tests and where a restart may begin anew |
//! | `rows` | keys and values as bytes |
//! | `database` | what a relay has of one database, from one transaction to the next |
//! | `view` | one database as the side of a session |
//! | `floors` | the end of tombstones |

mod database;
mod floors;
mod memory;
mod rows;
mod store;
mod view;

pub use database::DatabaseStats;
pub use floors::{KEPT_MS, MEMBER_MS};
pub use memory::MemoryRelayStore;
pub use store::{RelayStore, RelayStoreError, Table};
pub use view::View;

use self::database::Replicated;
use super::session::{Budget, Config, Role, Session, SessionError};
use super::store::StoreError;
use super::wire::Code;
use std::collections::{BTreeMap, BTreeSet};

/// What one link may do before it is another's turn.
const TURN: Budget = Budget { components: 1024, bytes: 1 << 20 };
/// What is read for all links within one commit, in bytes.
const COMMIT_BYTES: usize = 64 << 20;
/// What is merged within one commit, in components.
const COMMIT_COMPONENTS: usize = 64 << 10;
/// Latencies that wait to be taken.
const LATENCIES: usize = 4096;
/// Between two looks at what members have, and at what tombstones may go.
const LOOK_MS: u64 = 10_000;

/// Why a link is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LinkError {
    /// As the node is told.
    pub code: Code,
    /// In words.
    pub message: String,
}

impl From<SessionError> for LinkError {
    fn from(error: SessionError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

struct Link {
    database: String,
    node: String,
    session: Session,
    /// Up to where it was told that all have committed what it published.
    reach: u64,
    repaired: u64,
}

/// A relay.
pub struct Relay {
    store: Box<dyn RelayStore>,
    databases: BTreeMap<String, Replicated>,
    links: BTreeMap<u64, Link>,
    /// Links with something to do.
    active: BTreeSet<u64>,
    /// Databases in which something was merged or acknowledged since the last commit.
    moved: BTreeSet<String>,
    outgoing: Vec<(u64, Vec<u8>)>,
    failed: Vec<(u64, LinkError)>,
    latencies_ms: Vec<u64>,
    now_ms: u64,
    looked_ms: u64,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Relay").field("links", &self.links.len()).finish_non_exhaustive()
    }
}

/// Numbers of a relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// Of each database that it has.
    pub databases: Vec<DatabaseStats>,
    /// Links that are up.
    pub links: usize,
}

impl Relay {
    /// A relay on its store.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn new(mut store: Box<dyn RelayStore>) -> Result<Self, RelayStoreError> {
        let databases = database::read_all(store.as_mut())?;
        Ok(Self {
            store,
            databases,
            links: BTreeMap::new(),
            active: BTreeSet::new(),
            moved: BTreeSet::new(),
            outgoing: Vec::new(),
            failed: Vec::new(),
            latencies_ms: Vec::new(),
            now_ms: 0,
            looked_ms: 0,
        })
    }

    /// A node has opened a link for a database.
    pub fn joined(&mut self, link: u64, node: &str, database: &str, now_ms: u64) {
        self.now_ms = now_ms;
        let role = Role::Relay { epoch: self.store.epoch() };
        let session = Session::new(Config::new(database, node), role, now_ms);
        self.links.insert(
            link,
            Link { database: database.to_owned(), node: node.to_owned(), session, reach: 0, repaired: 0 },
        );
        self.active.insert(link);
    }

    /// A packet of a link. What follows from it happens in the next commit.
    ///
    /// # Errors
    ///
    /// Why the link is to be closed; [`Relay::left`] follows.
    pub fn message(&mut self, link: u64, bytes: &[u8], now_ms: u64) -> Result<(), LinkError> {
        self.now_ms = now_ms;
        // One that was closed here a moment before.
        let Some(entry) = self.links.get_mut(&link) else { return Ok(()) };
        let outcome = entry.session.receive(bytes, now_ms);
        self.outgoing.extend(entry.session.take_outgoing().into_iter().map(|packet| (link, packet)));
        self.active.insert(link);
        Ok(outcome?)
    }

    /// A link is gone.
    pub fn left(&mut self, link: u64) {
        self.active.remove(&link);
        if let Some(link) = self.links.remove(&link) {
            // Those who stay may be all now.
            self.moved.insert(link.database);
        }
    }

    /// Time passes: several times a second.
    pub fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Works on what has come, and makes it durable. What is left since it was too much for once is begun by the next commit
    /// ([`Relay::is_busy`]).
    ///
    /// # Errors
    ///
    /// What the store says: the relay is of no use afterwards.
    pub fn commit(&mut self) -> Result<(), RelayStoreError> {
        let (mut bytes, mut components) = (0, 0);
        let mut stepped = BTreeSet::new();
        let mut last = None;
        while bytes < COMMIT_BYTES && components < COMMIT_COMPONENTS {
            // In turns, so that a first sync does not keep the others waiting.
            let next =
                last.and_then(|last| self.active.range(last + 1..).next()).or_else(|| self.active.first());
            let Some(&link) = next else { break };
            last = Some(link);
            self.active.remove(&link);
            let did = self.step(link)?;
            bytes += did.0;
            components += did.1;
            stepped.insert(link);
        }
        self.look()?;
        for database in self.databases.values_mut() {
            database.save(self.store.as_mut())?;
        }
        self.store.commit()?;
        for number in &stepped {
            let Some(link) = self.links.get_mut(number) else { continue };
            link.session.committed();
            if link.session.wants_step(self.now_ms) {
                self.active.insert(*number);
            }
        }
        self.announce();
        for (number, link) in &mut self.links {
            self.outgoing.extend(link.session.take_outgoing().into_iter().map(|packet| (*number, packet)));
        }
        Ok(())
    }

    /// Bytes and components that the step of a link dealt with.
    fn step(&mut self, number: u64) -> Result<(usize, usize), RelayStoreError> {
        let Some(link) = self.links.get(&number) else { return Ok((0, 0)) };
        let alone = self.links.values().filter(|other| other.database == link.database).count() == 1;
        let Some(link) = self.links.get_mut(&number) else { return Ok((0, 0)) };
        let database = match self.databases.entry(link.database.clone()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(database::create(self.store.as_mut(), &link.database)?)
            }
        };
        database.heard(&link.node, self.now_ms);
        let mut view = View::new(self.store.as_mut(), database, alone);
        match link.session.step(&mut view, TURN, self.now_ms) {
            Ok(progress) => {
                if progress.more {
                    self.active.insert(number);
                }
                let status = link.session.status();
                if progress.applied.rows > 0 && self.latencies_ms.len() < LATENCIES {
                    self.latencies_ms.push(status.lag_ms);
                }
                database.repaired += status.repaired - std::mem::replace(&mut link.repaired, status.repaired);
                let name = link.database.clone();
                if progress.advanced || progress.applied.rows > 0 {
                    for (other, link) in &mut self.links {
                        if *other != number && link.database == name {
                            link.session.changed();
                            self.active.insert(*other);
                        }
                    }
                }
                self.moved.insert(name);
                Ok((progress.bytes, progress.components))
            }
            Err(SessionError::Store(error)) => Err(match error {
                StoreError::Corrupt(what) => RelayStoreError::Corrupt(what.to_owned()),
                error => RelayStoreError::Failed(error.to_string()),
            }),
            Err(error) => {
                self.failed.push((number, error.into()));
                Ok((0, 0))
            }
        }
    }

    /// Tells nodes how far all that are connected are with what they published.
    fn announce(&mut self) {
        for name in std::mem::take(&mut self.moved) {
            let Some(database) = self.databases.get(&name) else { continue };
            let members: Vec<u64> = self
                .links
                .iter()
                .filter(|(_, link)| link.database == name && link.session.is_ready())
                .map(|(number, _)| *number)
                .collect();
            for number in &members {
                let Some(origin) = self.links[number].session.peer_origin() else { continue };
                let others = members.iter().filter(|other| *other != number);
                let least = others.map(|other| self.links[other].session.peer_head(origin)).min();
                let head = database.head(origin);
                let reach = least.map_or(head, |least| least.min(head));
                if let Some(link) = self.links.get_mut(number)
                    && reach > link.reach
                {
                    link.reach = reach;
                    link.session.reach(origin, reach);
                }
            }
        }
    }

    fn look(&mut self) -> Result<(), RelayStoreError> {
        if self.now_ms < self.looked_ms.saturating_add(LOOK_MS) {
            return Ok(());
        }
        self.looked_ms = self.now_ms;
        for link in self.links.values() {
            if let Some(database) = self.databases.get_mut(&link.database) {
                database.heard(&link.node, self.now_ms);
            }
        }
        for (name, database) in &mut self.databases {
            database.save_members(self.store.as_mut())?;
            if floors::advance(self.store.as_mut(), database, self.now_ms)? {
                for (number, link) in &mut self.links {
                    if link.database == *name {
                        link.session.changed();
                        self.active.insert(*number);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the last commit has left something to do: the next one need not wait for a message.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.active.is_empty()
    }

    /// What is to be sent, in order. After a commit alone.
    pub fn take_outgoing(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.outgoing)
    }

    /// Links to be closed for what was found in a commit.
    pub fn take_failed(&mut self) -> Vec<(u64, LinkError)> {
        std::mem::take(&mut self.failed)
    }

    /// For metrics: how old what came was when it was merged, in ms by the clocks of both, since the last call.
    pub fn take_latencies_ms(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.latencies_ms)
    }

    /// Numbers.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        let databases = self.databases.iter().map(|(name, database)| {
            let links = self.links.values().filter(|link| link.database == *name).count();
            database.stats(name, links)
        });
        RelayStats { databases: databases.collect(), links: self.links.len() }
    }

    /// The digest of one database, if it has it: for tests.
    #[must_use]
    pub fn digest(&self, database: &str) -> Option<Vec<[u8; 16]>> {
        self.databases.get(database).map(Replicated::digest)
    }
}

//! All links of one database.

use super::connect::{self, Dial};
use super::databases::Databases;
use super::mailbox::{LinkEvent, Mailbox, Room};
use super::{LONGEST_MESSAGE, listen};
use crate::protocol::messages::Code;
use crate::protocol::session::check_name;
use crate::security::Identity;
use crate::swarm::Agent;
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::network::Network;
use crate::swarm::once::Once;
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The links of one database, over any number of agents and direct connections; clones are the same ones. What happens to
/// them comes through their [`Mailbox`]. They end by [`close`](Self::close) alone.
#[derive(Clone)]
pub struct Links(Arc<Inner>);

/// What the tasks of the network know of them.
pub(super) struct Inner {
    pub(super) database: Arc<str>,
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
    /// True once they are closed: whatever listens, dials or serves ends.
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    last_link: u64,
    open: HashMap<u64, Arc<dyn Route>>,
    agents: Vec<Weak<Databases>>,
    /// What listens and dials, and the thread that it runs on.
    tasks: Vec<(Network, JoinHandle<()>)>,
}

/// Where the messages of a link go.
pub(super) trait Route: Send + Sync {
    /// Sends one; returns at once. An error ends the link.
    fn send(&self, message: Bytes) -> Result<(), SwarmError>;

    /// Ends the link; the other side is told why.
    fn close(&self, code: Code);
}

impl Links {
    /// For the database that is replicated under this name: 1 to 128 bytes without control characters.
    ///
    /// # Errors
    /// INVALID_ARGUMENT.
    pub fn new(mailbox: Arc<Mailbox>, database: String) -> Result<Self, SwarmError> {
        check_name("database", &database)
            .map_err(|error| SwarmError::new(SwarmCode::InvalidArgument, error.to_string()))?;
        let state = Mutex::default();
        Ok(Self(Arc::new(Inner {
            database: database.into(),
            mailbox,
            state,
            closed: watch::Sender::new(false),
        })))
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        &self.0.database
    }

    /// A link through the coordinator of this agent, whenever that is connected: `Up` with `relay` after each login.
    ///
    /// # Errors
    /// CLOSED when either was closed; INVALID_ARGUMENT when the agent has links for a database of this name already.
    pub fn attach(&self, agent: &Agent) -> Result<(), SwarmError> {
        let databases = agent.databases();
        let mut state = self.0.lock();
        self.0.check_open()?;
        databases.attach(&self.0)?;
        state.agents.retain(|agent| agent.strong_count() > 0);
        state.agents.push(Arc::downgrade(databases));
        Ok(())
    }

    /// Takes direct links at `host:port`, port 0 for a free one, under an identity of the role peer. `done` gets the address,
    /// or why nobody listens there: INVALID_ARGUMENT, FORBIDDEN for an identity of another role, CONNECTION, CLOSED.
    pub fn listen(
        &self,
        address: &str,
        identity: &Identity,
        done: impl FnOnce(Result<String, SwarmError>) + Send + 'static,
    ) {
        let done = Once::new(done);
        let (links, told) = (self.0.clone(), done.clone());
        let (address, identity) = (address.to_owned(), identity.clone());
        let spawned = self.0.spawn(|_| async move {
            let opened = tokio::select! {
                opened = listen::open(&address, &identity) => opened,
                () = links.closed() => Err(SwarmError::closed("database's link")),
            };
            match opened {
                Ok((endpoint, address)) => {
                    done.run(Ok(address));
                    listen::serve(links, endpoint, identity).await;
                }
                Err(error) => done.run(Err(error)),
            }
        });
        if let Err(error) = spawned {
            told.run(Err(error));
        }
    }

    /// A direct link to the node that listens at `host:port`, under an identity of the role peer or agent. `done` runs when it
    /// is up for the first time; from then on it is dialled again whenever it has gone down.
    ///
    /// `done` gets CONNECTION when it is not up within `timeout_ms`; INVALID_ARGUMENT, CLOSED; FORBIDDEN, UNAUTHENTICATED,
    /// PROTOCOL and NOT_FOUND (it replicates another database) as soon as the other side has said so.
    pub fn connect(
        &self,
        address: &str,
        identity: &Identity,
        timeout_ms: u64,
        done: impl FnOnce(Result<(), SwarmError>) + Send + 'static,
    ) {
        let done = Once::new(done);
        let (links, told) = (self.0.clone(), done.clone());
        let timeout = Duration::from_millis(timeout_ms);
        let dial = Dial { address: address.to_owned(), identity: identity.clone(), timeout };
        let spawned = self.0.spawn(|network| connect::run(links, network, dial, done));
        if let Err(error) = spawned {
            told.run(Err(error));
        }
    }

    /// Sends one message, of 1 byte to 256 KiB; returns at once. It arrives before those that are sent after it, or not at
    /// all: what the link has not delivered when it goes down is lost.
    ///
    /// # Errors
    /// CONNECTION: the link is down, or was never up; its `Down` is in the mailbox or was taken. OVERLOADED: the peer does not
    /// read what waits for it; the link goes down. TOO_LARGE and INVALID_ARGUMENT: nothing was sent.
    pub fn send(&self, link: u64, message: Vec<u8>) -> Result<(), SwarmError> {
        if message.len() > LONGEST_MESSAGE {
            let what = format!("a message of {} bytes, at most {LONGEST_MESSAGE}", message.len());
            return Err(SwarmError::new(SwarmCode::TooLarge, what));
        }
        if message.is_empty() {
            return Err(SwarmError::new(SwarmCode::InvalidArgument, "an empty message"));
        }
        let route = self.0.lock().open.get(&link).cloned();
        match route {
            Some(route) => route.send(message.into()),
            None => Err(SwarmError::new(SwarmCode::Connection, format!("link {link} is down"))),
        }
    }

    /// Ends a link; the other side is told `code`. Its `Down` follows, without a reason. Where this side has dialled it comes
    /// back after a pause, unless the code is one after which nobody dials again: PROTOCOL, UNAUTHENTICATED, FORBIDDEN,
    /// SESSION_REPLACED, NOT_FOUND.
    pub fn close_link(&self, link: u64, code: Code) {
        let route = self.0.lock().open.get(&link).cloned();
        if let Some(route) = route {
            route.close(code);
        }
    }

    /// Ends all links; the mailbox stays empty from now on. `done` runs when the sockets are gone.
    pub fn close(&self, done: impl FnOnce() + Send + 'static) {
        self.0.mailbox.close();
        let (open, agents, tasks) = {
            let mut state = self.0.lock();
            self.0.closed.send_replace(true);
            let State { open, agents, tasks, .. } = &mut *state;
            (std::mem::take(open), std::mem::take(agents), std::mem::take(tasks))
        };
        for databases in agents.iter().filter_map(Weak::upgrade) {
            databases.detach(&self.0);
        }
        for route in open.into_values() {
            route.close(Code::Closed);
        }
        let Some((network, _)) = tasks.first() else { return done() };
        network.clone().spawn(async move {
            for (_, task) in tasks {
                // A panic there was reported where it happened.
                drop(task.await);
            }
            done();
        });
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("database", &self.0.database).finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_open(&self) -> Result<(), SwarmError> {
        if *self.closed.borrow() { Err(SwarmError::closed("database's link")) } else { Ok(()) }
    }

    /// Runs something on the network until the links are closed, which it has to notice.
    fn spawn<F>(&self, task: impl FnOnce(Network) -> F) -> Result<(), SwarmError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let network = Network::of_agents()?;
        let mut state = self.lock();
        self.check_open()?;
        state.tasks.retain(|(_, task)| !task.is_finished());
        let running = network.spawn(task(network.clone()));
        state.tasks.push((network, running));
        Ok(())
    }

    /// Waits until they are closed.
    pub(super) async fn closed(&self) {
        // An error is the sender's end, which this side keeps.
        drop(self.closed.subscribe().wait_for(|closed| *closed).await);
    }

    /// A link is up; none when all are closed.
    pub(super) fn up(self: &Arc<Self>, peer: &str, relay: bool, route: Arc<dyn Route>) -> Option<Link> {
        let id = {
            let mut state = self.lock();
            self.check_open().ok()?;
            state.last_link += 1;
            let id = state.last_link;
            state.open.insert(id, route);
            id
        };
        self.mailbox.put(LinkEvent::Up { link: id, peer: peer.to_owned(), relay }, None);
        Some(Link { links: self.clone(), id, room: Arc::default(), reason: None })
    }

    /// A link that could not be opened.
    pub(super) fn refused(&self, reason: SwarmError) {
        let link = {
            let mut state = self.lock();
            state.last_link += 1;
            state.last_link
        };
        self.mailbox.put(LinkEvent::Down { link, reason: Some(reason) }, None);
    }
}

/// One link that is up. Dropped, it is down.
pub(super) struct Link {
    links: Arc<Inner>,
    id: u64,
    room: Arc<Room>,
    reason: Option<SwarmError>,
}

impl Link {
    /// What its peer says. To be called when there is [room](Self::free).
    pub(super) fn deliver(&self, message: &[u8]) {
        // Copied: a frame shares the memory of all that came with it.
        let event = LinkEvent::Message { link: self.id, bytes: message.to_vec() };
        self.links.mailbox.put(event, Some(&self.room));
    }

    /// Waits until the mailbox has room for another message of this link.
    pub(super) async fn free(&self) {
        self.room.free().await;
    }

    /// It is down, for this reason; none where this side wanted it.
    pub(super) fn end(mut self, reason: Option<SwarmError>) {
        self.reason = reason;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.links.lock().open.remove(&self.id);
        let (link, reason) = (self.id, self.reason.take());
        self.links.mailbox.put(LinkEvent::Down { link, reason }, None);
    }
}

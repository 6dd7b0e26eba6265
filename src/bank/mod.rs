//! A learner with its file: what [`crate::learn`] computes, kept.
//!
//! Commands go to one thread (`writer`), which takes all that wait, appends their events to the file in one commit, then
//! tells them to the learner, and then answers. So
//!
//! - nothing is answered before it is durable, and nothing that is not durable has been learned;
//! - calls that run at the same time share a flush of the disk;
//! - a read sees a state between two commits. Reads never wait for the disk.
//!
//! Every opening is a node of its own in the set of events: its name is made of the time and of random bits, and nobody
//! ever gives a number of that node again. A directory that is copied, or restored from a backup, therefore cannot
//! give the id of one experience to another, whatever the two copies go on to see.

mod writer;

use crate::learn::{
    Config, ConfigError, Decision, Event, EventError, Experience, ExperienceId, Learner, Thresholds, Verdict,
};
use crate::store::{DataDirectory, ExperienceFile, Storage, StoreError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};
use writer::{Command, Writer};

/// Commands that may wait. Each holds at most one match.
const QUEUE: usize = 65_536;

/// Why a bank refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BankError {
    /// What was told makes no sense.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The options make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file.
    #[error("{0}")]
    Store(Arc<StoreError>),
    /// Another outcome is known.
    #[error("{id} has the outcome {known} already, {told} is another one")]
    Differs {
        /// Of the experience.
        id: ExperienceId,
        /// The one that counts.
        known: f64,
        /// The other one.
        told: f64,
    },
    /// More commands than may wait.
    #[error("{QUEUE} calls wait already")]
    Overloaded,
    /// It was closed.
    #[error("the learner is closed")]
    Closed,
    /// The system gives no thread or no random bytes.
    #[error("{0}")]
    System(String),
}

impl From<Arc<StoreError>> for BankError {
    fn from(error: Arc<StoreError>) -> Self {
        Self::Store(error)
    }
}

/// Where an answer goes.
pub type Answer<T> = Box<dyn FnOnce(Result<T, BankError>) + Send>;

/// The highest number of each node's log that is known; all below it are known as well.
pub type Heads = BTreeMap<u128, u64>;

/// What others read while the writer writes.
struct Shared {
    learner: RwLock<Learner>,
    /// Those of all families that have matched: a copy, so that nobody waits for a fold to read them.
    thresholds: Mutex<HashMap<Arc<str>, Thresholds>>,
    log: Mutex<BTreeMap<u128, Vec<Event>>>,
}

/// An open learner. The last one that is dropped ends the thread, after what waits.
#[derive(Clone)]
pub struct Bank {
    shared: Arc<Shared>,
    commands: SyncSender<Command>,
    node: u128,
}

/// A lock whose holder panicked still holds what it held: the state is replaced by whole steps only.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bank {
    /// Opens the file of a directory, or none, and learns what is in it. Blocks.
    pub fn open(config: Config, directory: Option<&Path>) -> Result<Self, BankError> {
        Self::on(config, directory.map(DataDirectory::of_experiences))
    }

    /// The same on any storage.
    pub fn on<S: Storage + 'static>(config: Config, storage: Option<S>) -> Result<Self, BankError> {
        let mut learner = Learner::new(config)?;
        let (file, log) = match storage {
            Some(storage) => {
                let (file, log) = ExperienceFile::on(storage).map_err(Arc::new)?;
                (Some(file), log)
            }
            None => (None, Vec::new()),
        };
        learner.tell(log.iter().map(|(_, event)| event.clone()))?;
        let mut logs: BTreeMap<u128, Vec<Event>> = BTreeMap::new();
        for (place, event) in log {
            logs.entry(place.node).or_default().push(event);
        }
        let node = fresh_node()?;
        let thresholds = learner.families().map(|name| (name.clone(), learner.thresholds(name))).collect();
        let shared = Arc::new(Shared {
            learner: RwLock::new(learner),
            thresholds: Mutex::new(thresholds),
            log: Mutex::new(logs),
        });
        let (commands, receiver) = sync_channel(QUEUE);
        let writer = Writer::new(shared.clone(), file, node);
        thread::Builder::new()
            .name("midstreamer-learn".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| BankError::System(format!("no thread for the learner: {error}")))?;
        Ok(Self { shared, commands, node })
    }

    /// Who this is among the nodes whose events are known.
    pub fn node(&self) -> u128 {
        self.node
    }

    fn send(&self, command: Command) {
        match self.commands.try_send(command) {
            Ok(()) => {}
            Err(TrySendError::Full(command)) => command.refuse(BankError::Overloaded),
            Err(TrySendError::Disconnected(command)) => command.refuse(BankError::Closed),
        }
    }

    /// Records a match; its number is given here. The id, once it is durable.
    pub fn record(&self, experience: Experience, answer: Answer<ExperienceId>) {
        self.send(Command::Record { experience, answer });
    }

    /// Decides on a match with what is known of its instant, and records it: taken if there is a signal.
    pub fn assess(&self, experience: Experience, answer: Answer<(ExperienceId, Decision)>) {
        self.send(Command::Assess { experience, answer });
    }

    /// Records an outcome, dated `at` or else the end of its horizon, at the latest `now`; what it says. The same outcome
    /// again changes nothing.
    pub fn resolve(&self, id: ExperienceId, actual: f64, at: Option<f64>, now: f64, answer: Answer<Verdict>) {
        self.send(Command::Resolve { id, actual, at, now, answer });
    }

    /// Takes over events of other nodes, in the order of their logs; how many were news.
    pub fn merge(&self, events: Vec<(ExperienceId, Event)>, answer: Answer<usize>) {
        self.send(Command::Merge { events, answer });
    }

    /// Ends, after all that was called before.
    pub fn close(&self, answer: Answer<()>) {
        self.send(Command::Close { answer });
    }

    /// What is known, between two commits. The writer waits while this is held.
    pub fn learner(&self) -> RwLockReadGuard<'_, Learner> {
        self.shared.learner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thresholds of a family, without waiting for the learner.
    pub fn thresholds(&self, family: &str) -> Option<Thresholds> {
        locked(&self.shared.thresholds).get(family).copied()
    }

    /// What of each node is known.
    pub fn heads(&self) -> Heads {
        locked(&self.shared.log).iter().map(|(node, log)| (*node, log.len() as u64)).collect()
    }

    /// Experiences whose outcome became known between two states of the logs, each once, in the order of the logs.
    pub fn resolved(&self, after: &Heads, until: &Heads) -> Vec<ExperienceId> {
        let logs = locked(&self.shared.log);
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for (node, &until) in until {
            let Some(log) = logs.get(node) else { continue };
            let after = after.get(node).copied().unwrap_or(0);
            let place = |seq: u64| usize::try_from(seq).unwrap_or(usize::MAX).min(log.len());
            for event in log.get(place(after)..place(until)).unwrap_or_default() {
                let id = match event {
                    Event::Experience(experience) => experience.id,
                    Event::Resolution(resolution) => resolution.id,
                };
                if seen.insert(id) {
                    found.push(id);
                }
            }
        }
        drop(logs);
        let learner = self.learner();
        found.retain(|&id| learner.verdict(id).is_some());
        found
    }

    /// The names of all families that have matched.
    pub fn families(&self) -> Vec<Arc<str>> {
        locked(&self.shared.thresholds).keys().cloned().collect()
    }

    /// Events that somebody with these heads lacks, in the order of their logs; not many more than `bytes` of them.
    pub fn since(&self, heads: &Heads, bytes: usize) -> Vec<(ExperienceId, Event)> {
        let logs = locked(&self.shared.log);
        let (mut found, mut size) = (Vec::new(), 0);
        for (&node, log) in logs.iter() {
            let known = heads.get(&node).copied().unwrap_or(0);
            for (seq, event) in (1..).zip(log).skip(usize::try_from(known).unwrap_or(usize::MAX)) {
                if size > bytes {
                    return found;
                }
                size += weight(event);
                found.push((ExperienceId { node, seq }, event.clone()));
            }
        }
        found
    }
}

/// About the bytes of an event.
fn weight(event: &Event) -> usize {
    match event {
        Event::Experience(experience) => {
            100 + experience.values.len() * 8 + experience.context.len() + experience.family.len()
        }
        Event::Resolution(_) => 100,
    }
}

/// 48 bits of time, so that later openings come later where instants are equal, and 80 random bits.
fn fresh_node() -> Result<u128, BankError> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| BankError::System("the system has no random bytes".to_owned()))?;
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis());
    Ok(millis << 80 | u128::from_le_bytes(random) >> 48)
}

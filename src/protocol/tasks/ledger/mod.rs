//! The coordinator's tasks and who has them: at least one execution, exactly one outcome.
//!
//! The ledger is told what callers and agents say and what time it is. It answers with [`Change`]s, which the store
//! has to keep, and [`Effect`]s, which may leave the process once every change drained with them or before them is
//! committed. What a query returns follows from changes that may not be committed yet: an answer that leaves the
//! process queues up behind them like an effect; [`Ledger::watch`] does so.
//!
//! What it promises:
//! - A lease belongs to one session of one agent, under one [`Fence`]. Only that session's result with that fence is
//!   accepted; everything else is acknowledged as refused.
//! - A lease ends, and the task can be given to another agent, only when its holder can no longer start it: it sent a
//!   result, said that it stopped, took its leave, came back without the task, or was silent for `agent_timeout_ms`
//!   while it starts nothing that long after the last heartbeat that was acknowledged ([`crate::protocol::work`]).
//!   A cancelled task and one whose time ran out have their outcome at once; until the agent has heard of it, a start
//!   is possible, and its result is refused.
//! - An agent never has more executions than slots: one that was told to stop counts until it has stopped, or for
//!   some multiple of `agent_timeout_ms`.
//! - Every list is bounded by a limit of [`LedgerConfig`].
//!
//! | module | what it is |
//! | --- | --- |
//! | `terms` | what goes in and comes out |
//! | `entry` | one task |
//! | `index` | queues by signature, agents by load |
//! | `accept` | tasks come in, are cancelled, put back, withdrawn |
//! | `sessions` | agents come, stay and go |
//! | `attempts` | dispatch, results, failures |
//! | `clock` | deadlines, silence, jumps of the clock |
//! | `retention` | what is kept of finished tasks, and for how long |
//! | `queries` | what others can ask |

mod accept;
mod attempts;
mod audit;
mod clock;
mod entry;
mod index;
mod queries;
mod retention;
mod sessions;
mod terms;
#[cfg(test)]
mod tests;

pub use index::AGEING_MS;
pub use terms::{
    AgentView, CancelReason, Counts, Departure, Effect, Enqueued, Held, Joined, LedgerConfig, Offer, Refusal,
    TaskStatus, TaskView,
};

use super::{Change, Failure, FailureCode, Outcome, Phase, Recovered, TaskRecord, TaskSpec};
use crate::protocol::{AgentId, Fence, Generation, Millis, TaskId};
use entry::{Ending, Entry, Lease, Place, TaskHash};
use index::{AgentIndex, Index};
use sessions::{Agent, Former};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What a task counts for beside its payload, result and key.
pub const RECORD_BYTES: u64 = 512;

/// The coordinator's tasks, and the agents that run them.
#[derive(Debug)]
pub struct Ledger {
    config: LedgerConfig,
    epoch: u64,
    next_task: u64,
    next_generation: u64,
    /// The latest instant that was passed in.
    now: Millis,
    /// When silent agents are looked for next; nothing when there is none to wait for.
    next_sweep: Option<Millis>,
    dispatching: bool,
    /// Boxed: a table that grows moves pointers, and nobody waits for a hundred megabytes to be copied.
    tasks: HashMap<TaskId, Box<Entry>, TaskHash>,
    by_key: HashMap<Arc<str>, TaskId>,
    index: Index,
    agents: Vec<Option<Agent>>,
    free_agents: Vec<AgentIndex>,
    by_agent: HashMap<AgentId, AgentIndex>,
    /// At most one entry a task: `Entry::timer`.
    timers: BTreeSet<(Millis, TaskId)>,
    /// Finished tasks, those that finished first in front.
    retained: BTreeSet<(Millis, TaskId)>,
    dead: BTreeSet<TaskId>,
    counts: Counts,
    changes: Vec<Change>,
    effects: Vec<Effect>,
}

impl Ledger {
    /// A ledger on what a store knew. Tasks that somebody had wait for `agent_timeout_ms`, in case their holder comes
    /// back; agents may still start them in that time.
    pub fn new(config: LedgerConfig, recovered: Recovered, now: Millis) -> Self {
        let mut ledger = Self {
            epoch: recovered.epoch,
            next_task: recovered.next_task,
            // Later logins have larger generations, also after a restart.
            next_generation: (recovered.epoch << 32) + 1,
            now,
            next_sweep: None,
            dispatching: true,
            tasks: HashMap::with_capacity_and_hasher(recovered.tasks.len(), TaskHash::default()),
            by_key: HashMap::new(),
            index: Index::default(),
            agents: Vec::new(),
            free_agents: Vec::new(),
            by_agent: HashMap::new(),
            timers: BTreeSet::new(),
            retained: BTreeSet::new(),
            dead: BTreeSet::new(),
            counts: Counts::default(),
            changes: Vec::new(),
            effects: Vec::new(),
            config,
        };
        for record in recovered.tasks {
            ledger.recover(record);
        }
        ledger.trim();
        ledger
    }

    /// Moves what has to be kept and what has to be done to the ends of the two lists.
    pub fn drain(&mut self, changes: &mut Vec<Change>, effects: &mut Vec<Effect>) {
        changes.append(&mut self.changes);
        effects.append(&mut self.effects);
    }

    /// Gives out no more tasks; those that agents have go on. For a coordinator that is to be closed.
    pub fn suspend(&mut self) {
        self.dispatching = false;
    }

    /// Takes [`Ledger::suspend`] back.
    pub fn resume(&mut self, now: Millis) {
        self.advance(now);
        self.dispatching = true;
        for agent in 0..self.agents.len() {
            self.feed(agent);
        }
    }

    fn entry(&mut self, task: TaskId) -> &mut Entry {
        self.tasks.get_mut(&task).expect("indices name known tasks alone")
    }

    fn agent(&mut self, at: AgentIndex) -> &mut Agent {
        self.agents[at].as_mut().expect("an agent is known as long as it is connected or has leases")
    }

    /// Brings the timer of a task up to date.
    fn set_timer(&mut self, task: TaskId) {
        let entry = self.tasks.get_mut(&task).expect("indices name known tasks alone");
        let due = entry.due();
        let before = std::mem::replace(&mut entry.timer, due);
        if before != due {
            if let Some(before) = before {
                self.timers.remove(&(before, task));
            }
            if let Some(due) = due {
                self.timers.insert((due, task));
            }
        }
    }
}

//! Who runs what next: queues by signature, agents by load.
//!
//! A *signature* is a kind with the capabilities it requires: tasks of one signature can run on the same agents. Each
//! signature has a queue and a set of bits, one for every capable agent. Agents with a free slot are in one of
//! [`LEVELS`] sets of bits, by the share of their slots in use. So the least loaded capable agent is the first common
//! bit of two sets, a few instructions for a thousand agents, and a change of load is two bits, however many
//! signatures an agent serves.
//!
//! Priority ages: the rank of a task is its time of acceptance minus its priority times [`AGEING_MS`], smallest first.
//! A task therefore waits behind later ones of a priority higher by p for at most p times that.

use crate::protocol::{Millis, TaskId};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What one step of priority is worth, in time.
pub const AGEING_MS: u64 = 10_000;

/// Steps of load. Agents with at most so many slots are told apart exactly.
const LEVELS: usize = 16;

/// The level of an agent without a free slot.
const FULL: u8 = LEVELS as u8;

/// Signatures without a task that are kept: building their set of agents anew costs a look at every agent.
const IDLE_SIGNATURES: usize = 256;

/// Number of an agent, small and used again.
pub(super) type AgentIndex = usize;

/// Number of a signature, small and used again.
pub(super) type SignatureIndex = usize;

/// A set of small numbers.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, index: usize, to: bool) {
        if index / 64 >= self.0.len() {
            if !to {
                return;
            }
            self.0.resize(index / 64 + 1, 0);
        }
        let mask = 1 << (index % 64);
        if to {
            self.0[index / 64] |= mask;
        } else {
            self.0[index / 64] &= !mask;
        }
    }

    fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The first number in both sets that is at least `from`.
    fn first_common(&self, other: &Self, from: usize) -> Option<usize> {
        let mut keep = !0 << (from % 64);
        for at in from / 64..self.0.len().min(other.0.len()) {
            let word = self.0[at] & other.0[at] & keep;
            if word != 0 {
                return Some(at * 64 + word.trailing_zeros() as usize);
            }
            keep = !0;
        }
        None
    }
}

/// Tasks that can run on the same agents.
#[derive(Debug)]
struct Signature {
    kind: Arc<str>,
    requires: Vec<Arc<str>>,
    /// Tasks that may run now, by rank.
    queue: BTreeSet<(i64, TaskId)>,
    /// Agents that can run them.
    capable: Bits,
    /// How many those are.
    capable_count: usize,
    /// When the last of them left, if there ever was one.
    left_at: Option<Millis>,
    /// The agent after the one that was chosen last: where agents are equal, they take turns.
    turn: usize,
    /// Tasks without an outcome.
    tasks: usize,
    /// Its number in `idle`, when there are none.
    idle_at: u64,
    /// What is in `heads` for this signature.
    head: Option<(i64, TaskId)>,
}

/// Queues and loads.
#[derive(Debug, Default)]
pub(super) struct Index {
    signatures: Vec<Option<Signature>>,
    free: Vec<SignatureIndex>,
    by_name: HashMap<Arc<str>, HashMap<Vec<Arc<str>>, SignatureIndex>>,
    /// Signatures without tasks, in the order in which they came to it.
    idle: BTreeSet<(u64, SignatureIndex)>,
    /// Numbers that order.
    idle_next: u64,
    /// The first task of every signature that has both tasks and capable agents.
    heads: BTreeSet<(i64, TaskId, SignatureIndex)>,
    /// Agents with a free slot, by load.
    levels: [Bits; LEVELS],
    level_sizes: [usize; LEVELS],
    level_of: Vec<u8>,
}

/// Where a task stands in its queue.
pub(super) fn rank(accepted_at: Millis, priority: u8) -> i64 {
    accepted_at as i64 - (u64::from(priority) * AGEING_MS) as i64
}

impl Index {
    fn signature(&mut self, at: SignatureIndex) -> &mut Signature {
        self.signatures[at].as_mut().expect("a task without outcome keeps its signature")
    }

    /// The signature of a new task, which it keeps until [`Index::release`]. `capable` lists the agents that can run
    /// it and is asked when the signature is new.
    pub(super) fn retain(
        &mut self,
        kind: &Arc<str>,
        requires: &[Arc<str>],
        capable: impl FnOnce() -> Vec<AgentIndex>,
    ) -> SignatureIndex {
        let known = self.by_name.get(kind).and_then(|same_kind| same_kind.get(requires)).copied();
        let at = known.unwrap_or_else(|| {
            let mut signature = Signature {
                kind: kind.clone(),
                requires: requires.to_vec(),
                queue: BTreeSet::new(),
                capable: Bits::default(),
                capable_count: 0,
                left_at: None,
                turn: 0,
                tasks: 0,
                idle_at: 0,
                head: None,
            };
            for agent in capable() {
                signature.capable.set(agent, true);
                signature.capable_count += 1;
            }
            let at = self.free.pop().unwrap_or_else(|| {
                self.signatures.push(None);
                self.signatures.len() - 1
            });
            self.by_name.entry(kind.clone()).or_default().insert(requires.to_vec(), at);
            self.signatures[at] = Some(signature);
            at
        });
        let signature = self.signature(at);
        signature.tasks += 1;
        let idle_entry = (signature.idle_at, at);
        if signature.tasks == 1 {
            self.idle.remove(&idle_entry);
        }
        at
    }

    /// A task of this signature has its outcome. Its place in the queue was given up before.
    pub(super) fn release(&mut self, at: SignatureIndex) {
        let number = self.idle_next;
        let signature = self.signature(at);
        signature.tasks -= 1;
        if signature.tasks > 0 {
            return;
        }
        signature.idle_at = number;
        self.idle_next += 1;
        self.idle.insert((number, at));
        if self.idle.len() > IDLE_SIGNATURES
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, at: SignatureIndex) {
        let signature = self.signatures[at].take().expect("what is idle is known");
        if let Some(same_kind) = self.by_name.get_mut(&signature.kind) {
            same_kind.remove(&signature.requires);
            if same_kind.is_empty() {
                self.by_name.remove(&signature.kind);
            }
        }
        self.free.push(at);
    }

    /// Brings `heads` up to date.
    fn refresh(&mut self, at: SignatureIndex) {
        let signature = self.signatures[at].as_mut().expect("a task without outcome keeps its signature");
        let head = signature.queue.first().copied().filter(|_| signature.capable_count > 0);
        if head != signature.head {
            let before = std::mem::replace(&mut signature.head, head);
            if let Some((rank, task)) = before {
                self.heads.remove(&(rank, task, at));
            }
            if let Some((rank, task)) = head {
                self.heads.insert((rank, task, at));
            }
        }
    }

    /// The task waits.
    pub(super) fn push(&mut self, at: SignatureIndex, rank: i64, task: TaskId) {
        self.signature(at).queue.insert((rank, task));
        self.refresh(at);
    }

    /// The task no longer waits; whether it did.
    pub(super) fn remove_task(&mut self, at: SignatureIndex, rank: i64, task: TaskId) -> bool {
        let was_there = self.signature(at).queue.remove(&(rank, task));
        self.refresh(at);
        was_there
    }

    /// Whether tasks of this signature wait.
    pub(super) fn has_queue(&self, at: SignatureIndex) -> bool {
        self.signatures[at].as_ref().is_some_and(|signature| !signature.queue.is_empty())
    }

    /// An agent came, or can do something else than before.
    pub(super) fn agent_offers(
        &mut self,
        agent: AgentIndex,
        now: Millis,
        can: impl Fn(&str, &[Arc<str>]) -> bool,
    ) {
        for at in 0..self.signatures.len() {
            let Some(signature) = &mut self.signatures[at] else { continue };
            let capable = can(&signature.kind, &signature.requires);
            if capable != signature.capable.has(agent) {
                signature.capable.set(agent, capable);
                if capable {
                    signature.capable_count += 1;
                } else {
                    signature.capable_count -= 1;
                    signature.left_at = Some(now);
                }
                self.refresh(at);
            }
        }
    }

    /// An agent has left.
    pub(super) fn agent_left(&mut self, agent: AgentIndex, now: Millis) {
        self.agent_offers(agent, now, |_, _| false);
        self.set_load(agent, 0, 0);
    }

    /// How many of its slots an agent uses.
    pub(super) fn set_load(&mut self, agent: AgentIndex, outstanding: usize, slots: u32) {
        if agent >= self.level_of.len() {
            self.level_of.resize(agent + 1, FULL);
        }
        let slots = slots as usize;
        let level = if outstanding >= slots { FULL } else { (outstanding * LEVELS / slots) as u8 };
        let before = std::mem::replace(&mut self.level_of[agent], level);
        if before == level {
            return;
        }
        if before != FULL {
            self.levels[usize::from(before)].set(agent, false);
            self.level_sizes[usize::from(before)] -= 1;
        }
        if level != FULL {
            self.levels[usize::from(level)].set(agent, true);
            self.level_sizes[usize::from(level)] += 1;
        }
    }

    /// The capable agent with the smallest share of its slots in use; equal ones take turns.
    pub(super) fn agent_for(&mut self, at: SignatureIndex) -> Option<AgentIndex> {
        let signature = self.signatures[at].as_mut().expect("a task without outcome keeps its signature");
        if signature.capable_count == 0 {
            return None;
        }
        let levels = self.levels.iter().zip(&self.level_sizes).filter(|(_, size)| **size > 0);
        let agent = levels.into_iter().find_map(|(level, _)| {
            let after = signature.capable.first_common(level, signature.turn);
            after.or_else(|| signature.capable.first_common(level, 0))
        })?;
        signature.turn = agent + 1;
        Some(agent)
    }

    /// The first of the waiting tasks that this agent can run. The cost is the number of signatures with a better
    /// rank that it cannot.
    pub(super) fn task_for(&self, agent: AgentIndex) -> Option<TaskId> {
        let capable = |at: SignatureIndex| {
            self.signatures[at].as_ref().is_some_and(|signature| signature.capable.has(agent))
        };
        self.heads.iter().find(|(_, _, at)| capable(*at)).map(|(_, task, _)| *task)
    }

    /// Whether an agent that could run tasks of this signature was connected at this instant or later.
    pub(super) fn was_capable_since(&self, at: SignatureIndex, since: Millis) -> bool {
        self.signatures[at].as_ref().is_some_and(|signature| {
            signature.capable_count > 0 || signature.left_at.is_some_and(|left| left >= since)
        })
    }

    /// Signatures that are known, idle ones included.
    pub(super) fn signatures(&self) -> usize {
        self.signatures.len() - self.free.len()
    }

    /// The most idle signatures that are kept.
    pub(super) fn idle_limit() -> usize {
        IDLE_SIGNATURES
    }
}
